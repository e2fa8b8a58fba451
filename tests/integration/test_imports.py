"""Imports as things: loading, going on after an interruption, fair shares, pausing, cancelling, and what is shown."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from pipelines.intake import IntakeError
from pipelines.lanes import BEGUN
from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from tests.world import World, a_job, noted
from workers.imports.imports import ImportNameError, Imports, NoSuchImportError, default_name
from workers.intake.submit import ImportCancelledError
from workers.ledger import PREFIX, Claim, Ledger, Lists, New, connect
from workers.ledger.import_store import ImportStore
from workers.operate.audit import Auditor

#: Rows that may be begun beside those that an import has begun already; see BEGUN_MAX in imports.lua.
BEGUN_MAX = 128


@pytest.fixture
def imports(world: World) -> Imports:
    """What can be done with imports in this world."""
    return Imports(world.ledger, world.vault)


def jobs(folder: Path, count: int, name: str = "customers", start: int = 0, **changes: Any) -> Path:
    """A JSONL file of so many valid jobs."""
    file = folder / f"{name}.jsonl"
    lines = (json.dumps(a_job(f"{name}-{number}", "manual", **changes)) for number in range(start, start + count))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def load(imports: Imports, file: Path, **options: Any) -> dict[str, Any]:
    """Load a file; answers the result without the time."""
    return imports.load(file, by="olga", **options).as_json() | {"seconds": 0}


def result(name: str, rows: int, **counts: int) -> dict[str, Any]:
    """The result that is expected."""
    return {"name": name, "rows": rows, "create": 0, "unchanged": 0, "conflict": 0, "error": 0, "seconds": 0, **counts}


def healthy(world: World) -> bool:
    """The auditor finds nothing."""
    return list(Auditor(world.ledger, world.policy, wait=lambda: None, shift_ms=lambda: world.shift_ms).run()) == []


# --- loading ---------------------------------------------------------------------------------------------------------


def test_rows_become_due_records_of_the_import(world: World, imports: Imports, tmp_path: Path) -> None:
    """Each row has a record that is due now at its import's place, names its import, and no message is sent."""
    assert load(imports, jobs(tmp_path, 3)) == result("customers", 3, create=3)
    assert world.client.zcard(f"{PREFIX}due:bulk/customers") == 3
    assert Lists(world.ledger).lanes()["bulk"] == {"due": 3, "scheduled": 0}
    assert not world.queue.nudges
    assert [(read.record.key, read.record.lane) for read in ImportStore(world.ledger).imported("customers")] == [
        (f"customers-{number}", "bulk") for number in range(3)
    ]
    one = imports.get("customers")
    assert (one.state, one.by, one.rows, one.waiting, one.started, one.phases) == (
        *("running", "olga", 3, 3, 0),
        {"received": 3},
    )
    assert healthy(world)


def test_customers_of_an_import_arrive(world: World, imports: Imports, tmp_path: Path) -> None:
    """Everybody gets a link; the import is finished when nothing is left to do for us; the counts stay whole."""
    load(imports, jobs(tmp_path, 5))
    world.run(until=lambda: imports.get("customers").state == "finished")
    one = imports.get("customers")
    assert (one.waiting, one.started, one.finished) == (0, 5, 5)
    assert one.phases == {"identification_pending": 5}
    assert one.finished_ms is not None
    assert {key: effects["identifications"] for key, effects in world.effects().items()} == {
        f"customers-{number}": 1 for number in range(5)
    }
    assert healthy(world)


def test_the_same_file_again_changes_nothing(world: World, imports: Imports, tmp_path: Path) -> None:
    """A second run under the same name tells that everything is unchanged, and leaves the import's counts."""
    file = jobs(tmp_path, 3)
    load(imports, file)
    assert load(imports, file) == result("customers", 3, unchanged=3)
    assert (imports.get("customers").create, imports.get("customers").unchanged) == (3, 0)
    assert [one.name for one in imports.all()] == ["customers"]


def test_another_file_of_that_name_is_another_import(world: World, imports: Imports, tmp_path: Path) -> None:
    """A name made from the file's gets the next number; one that was asked for is refused, with the way out."""
    load(imports, jobs(tmp_path, 2))
    longer = jobs(tmp_path, 3)
    assert load(imports, longer) == result("customers-2", 3, create=1, unchanged=2)
    assert load(imports, longer) == result("customers-2", 3, unchanged=3)
    with pytest.raises(ImportNameError, match="give this one another name"):
        load(imports, longer, name="customers")


@pytest.mark.parametrize("name", ["", "a b", "+", "é", "a/b", "x" * 65, ".."])
def test_names_are_plain(imports: Imports, tmp_path: Path, name: str) -> None:
    """A name that could not stand in a key or an address is refused with what is allowed."""
    with pytest.raises(ImportNameError, match="letters, digits"):
        load(imports, jobs(tmp_path, 1), name=name)


@pytest.mark.parametrize(
    ("file", "name"), [("März 2026.csv", "M-rz-2026"), ("..csv", "import"), ("a.b.jsonl", "a.b"), ("x" * 99, "x" * 56)]
)
def test_names_from_files(file: str, name: str) -> None:
    """Whatever a file is called, its import has a plain name."""
    assert default_name(Path(file)) == name


def test_the_same_file_read_in_another_way_is_another_import(imports: Imports, tmp_path: Path) -> None:
    """The lane belongs to what is imported."""
    file = jobs(tmp_path, 1)
    load(imports, file)
    assert load(imports, file, lane="interactive")["name"] == "customers-2"


def test_interrupted_anywhere_it_is_as_if_it_ran_once(world: World, imports: Imports, tmp_path: Path) -> None:
    """However far an interrupted run got, the next one tells of every row what a single run would have told."""
    file = jobs(tmp_path, 1_200)
    with file.open("a", encoding="utf-8") as more:
        more.write(json.dumps(a_job("customers-0", "manual")) + "\n" + '{"idempotency_key": "x"}\n')

    def interrupt(result: Any) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            imports.load(file, by="olga", progress=interrupt)
    assert imports.get("customers").state == "loading"
    world.shift_ms += 120_000
    assert imports.get("customers").state == "interrupted"
    assert imports.compare(file).as_json() | {"seconds": 0} == result(
        "customers", 1_202, create=1_200, unchanged=1, error=1
    )
    assert load(imports, file) == result("customers", 1_202, create=1_200, unchanged=1, error=1)
    assert (imports.get("customers").total, imports.get("customers").create) == (1_200, 1_200)
    assert world.client.llen(f"{PREFIX}imported:customers") == 1_200


class Repeating(Ledger):
    """Sends every call of a script twice, as redis-py does when the first answer is lost."""

    def _call(self, operation: str, *arguments: Any, **more: Any) -> Any:
        super()._call(operation, *arguments)
        return super()._call(operation, *arguments, **more)


def test_a_lost_answer_is_asked_for_again(world: World, tmp_path: Path) -> None:
    """Loading, pausing, resuming and cancelling with every call sent twice: nothing doubles, each answer is right."""
    repeating = Imports(Repeating(world.client), world.vault)
    file = jobs(tmp_path, 250)
    assert load(repeating, file) == result("customers", 250, create=250)
    assert repeating.pause("customers", by="olga")
    assert repeating.resume("customers")
    world.ledger.act("customers-0", {"act": "read", "by": "anna"})
    assert repeating.cancel("customers", by="olga", reason="the wrong list") == 250
    assert world.client.llen(f"{PREFIX}imported:customers") == 250
    assert repeating.get("customers").phases == {"cancelled": 249, "received": 1}
    assert [len(world.ledger.history(f"customers-{number}")) for number in range(3)] == [1, 2, 2]
    assert world.client.llen(f"{PREFIX}acts:customers-0") == 2
    assert world.client.xlen(f"{PREFIX}events") == 250 + 249
    assert healthy(world)


@pytest.mark.parametrize("lost", ["nothing", "the script", "the rows or their answers", "their answers"])
def test_rows_in_flight(ledger_url: str, lost: str) -> None:
    """Whatever is lost between sending rows and reading their answers, each has its record once."""
    with connect(ledger_url) as client, connect(ledger_url) as other:
        ledger = Ledger(client)
        ImportStore(ledger).begin_import("list", "digest", "olga")
        if lost == "the script":
            other.script_flush()
        new = [New(Record(f"k-{n}", external_id=f"k-{n}", lane="bulk", import_name="list"), {}) for n in range(250)]
        loading = ImportStore(ledger).load("list", {}, new)
        ends = time.monotonic() + 10
        while lost == "their answers" and other.llen(f"{PREFIX}imported:list") < 250:
            assert time.monotonic() < ends
        if lost.endswith("answers"):
            other.client_kill_filter(_type="normal", skipme=True)
        assert [one.status for one in loading.created() or []] == ["created"] * 250
        keys = other.lrange(f"{PREFIX}imported:list", 0, -1)
        assert keys == [one.record.key.encode() for one in new]
        again = ImportStore(ledger).load("list", {}, new[:120])
        again.abandon()
        assert [one.status for one in ImportStore(ledger).load("list", {}, new[:120]).created() or []] == [
            "exists"
        ] * 120
        assert other.llen(f"{PREFIX}imported:list") == 250


def test_an_adopted_customer_joins_the_import(world: World, imports: Imports, tmp_path: Path) -> None:
    """A row whose customer was adopted takes that record over and counts as made."""
    world.onboard("k-1")
    world.client.flushdb()
    from workers.reconcile.adopt import adopt

    assert [found.result for found in adopt(world.ledger, world.runner.iron.on_behalf_of(None, lambda _: None))] == [
        "adopted"
    ]
    file = tmp_path / "list.jsonl"
    file.write_text(json.dumps(a_job("row-1", external_id="k-1")) + "\n", encoding="utf-8")
    assert load(imports, file) == result("list", 1, create=1)
    assert [read.record.key for read in ImportStore(world.ledger).imported("list")] == ["row-1"]
    assert imports.get("list").phases == {"active": 1}
    assert imports.get("list").state == "finished"


# --- turns -----------------------------------------------------------------------------------------------------------


def began(world: World, key: str) -> None:
    """Somebody takes a record in hand and goes away with it."""
    world.ledger.claim(key, 1, "create_customer")


def test_imports_take_turns(world: World, imports: Imports, tmp_path: Path) -> None:
    """Of two imports of very different size each is begun as often, beside single jobs of the bulk lane."""
    for name, count in (("large", 120), ("small", 30)):
        load(imports, jobs(tmp_path, count, name))
    for number in range(40):
        world.submit(f"single-{number}", lane="bulk")
    taken: Counter[str] = Counter()
    for _ in range(12):
        for nudge in world.ledger.take({"bulk": 5}).nudges:
            taken[nudge.key.rpartition("-")[0]] += 1
            began(world, nudge.key)
    assert taken == {"large": 20, "small": 20, "single": 20}


def test_imports_take_turns_where_few_may_begin(world: World, imports: Imports, tmp_path: Path) -> None:
    """While only one customer may begin at a time, and goes on before the next one does, imports begin in turn."""
    for name in ("a", "b", "c"):
        load(imports, jobs(tmp_path, 9, name))
    begun = f"{PREFIX}due:{BEGUN}"
    world.client.zadd(begun, {f"x-{number}": world.ledger.now_ms() + 86_400_000 for number in range(BEGUN_MAX - 1)})
    order = ""
    for _ in range(9):
        [row] = world.ledger.take({"bulk": 1}).nudges
        began(world, row.key)
        world.shift_ms += 7_000  # the lease is over
        assert [again.key for again in world.ledger.take({"bulk": 1}).nudges] == [row.key]
        world.client.zrem(begun, row.key)
        order += row.key[0]
    assert order == "abcabcabc"


@pytest.fixture
def watched(world: World) -> World:
    """Forty customers of the bulk lane who have their links and do nothing; all are to be read again by now."""
    for number in range(40):
        world.submit(f"w-{number}", "manual", lane="bulk")
    world.run(until=lambda: Lists(world.ledger).phases().get(Phase.IDENTIFICATION_PENDING, (0, 0))[0] == 40)
    world.client.delete(f"{PREFIX}turn_read")  # nothing is owed to them yet
    world.shift_ms += 60_000
    return world


@pytest.mark.parametrize("at_once", [1, 5, 16])
def test_reading_again_comes_last_and_has_its_share(
    watched: World, imports: Imports, tmp_path: Path, at_once: int
) -> None:
    """While there is something else to do in the bulk lane, one nudge in eight reads again; else all may."""
    load(imports, jobs(tmp_path, 80, "list"))
    taken = ""
    while len(taken) < 80:
        for nudge in watched.ledger.take({"bulk": at_once}).nudges:
            taken += nudge.key[0]
            watched.client.zrem(f"{PREFIX}due:{BEGUN}", nudge.key)
            began(watched, nudge.key)
        for key in watched.client.zrange(f"{PREFIX}due:{BEGUN}", 0, -1):
            watched.client.zrem(f"{PREFIX}due:{BEGUN}", key)
    assert taken[:80].count("w") == 10
    imports.pause("list", by="olga")
    assert {nudge.key[0] for nudge in watched.ledger.take({"bulk": 20}).nudges} == {"w"}


@pytest.mark.parametrize("how", ["wake", "act", "woken in hand", "woken after a crash"])
def test_news_come_before_reading_again(watched: World, how: str) -> None:
    """Whoever is woken is not behind those who are only read again, though they have been due for longer."""
    record = watched.record("w-39")
    assert record.customer_id is not None
    watched.shift_ms += 600_000
    if how == "act":
        watched.act("w-39", "read")
    elif how == "wake":
        watched.ledger.wake(record.customer_id)
    else:
        claim = watched.ledger.claim("w-39", record.version, record.step)
        assert isinstance(claim, Claim)
        watched.shift_ms += 7_000 if how == "woken after a crash" else 0
        watched.ledger.wake(record.customer_id)
        if how == "woken in hand":
            watched.ledger.commit(claim, Next(record, 600.0))
    watched.queue.nudges.clear()  # nobody claims what is sent at once
    watched.shift_ms += 7_000
    assert [nudge.key for nudge in watched.ledger.take({"bulk": 1}).nudges] == ["w-39"]
    assert healthy(watched)


def test_a_share_that_is_not_needed_goes_to_the_others(world: World, imports: Imports, tmp_path: Path) -> None:
    """A small import is through at once and the rest of the places goes to the large one."""
    load(imports, jobs(tmp_path, 90, "large"))
    load(imports, jobs(tmp_path, 3, "small"))
    taken = Counter(nudge.key.rpartition("-")[0] for nudge in world.ledger.take({"bulk": 64}).nudges)
    assert taken == {"large": 61, "small": 3}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_turns_go_on_where_they_stopped(world: World, imports: Imports, tmp_path: Path, size: int) -> None:
    """However few are taken at once, nobody is passed over."""
    names = ("a", "b", "c", "d")
    for name in names:
        load(imports, jobs(tmp_path, 30, name))
    taken: Counter[str] = Counter()
    for _ in range(84 // size):
        for nudge in world.ledger.take({"bulk": size}).nudges:
            taken[nudge.key.rpartition("-")[0]] += 1
            began(world, nudge.key)
    assert taken == dict.fromkeys(names, 21)


def test_an_import_begins_no_more_than_can_go_on(world: World, imports: Imports, tmp_path: Path) -> None:
    """While as many as allowed wait for Iron's budget no further customer is begun; single jobs go on."""
    load(imports, jobs(tmp_path, 200))
    for _ in range(4):
        for nudge in world.ledger.take({"bulk": 64}).nudges:
            began(world, nudge.key)
    assert BEGUN_MAX <= world.client.zcard(f"{PREFIX}due:{BEGUN}") < BEGUN_MAX + 64
    world.submit("single", lane="bulk")
    assert [nudge.key for nudge in world.ledger.take({"bulk": 64}).nudges] == ["single"]


def test_trouble_does_not_keep_an_import_from_going_on(world: World, imports: Imports, tmp_path: Path) -> None:
    """Customers whom Iron's errors hold up do not count among those whom the budget holds up."""
    from ops.sandbox import Fault

    load(imports, jobs(tmp_path, 2))
    world.sandbox.faults.add(Fault(operation="create_identification", status=500, times=2))
    world.pulse.run_once()
    world.drain()
    assert world.client.zcard(f"{PREFIX}due:{BEGUN}") == 0
    assert world.client.zcard(f"{PREFIX}due:bulk") == 2


# --- pausing and cancelling ------------------------------------------------------------------------------------------


def test_a_paused_import_begins_nothing(world: World, imports: Imports, tmp_path: Path) -> None:
    """Not even what is in the queue already; who is begun goes on; resumed, everybody arrives."""
    load(imports, jobs(tmp_path, 8))
    first, *_ = world.ledger.take({"bulk": 8}).nudges
    world.runner.run(first.step, first.key, first.version)
    assert imports.pause("customers", by="olga", reason="a look at the list")
    assert not imports.pause("customers", by="olga")
    world.pulse.run_once()
    for number in range(8):
        world.runner.run("create_customer", f"customers-{number}", 1)
    world.drain()
    one = imports.get("customers")
    assert (one.state, one.halted_by, one.halted_reason) == ("paused", "olga", "a look at the list")
    assert (one.waiting, one.started) == (7, 1)
    assert list(world.effects()) == [first.key]
    assert healthy(world)
    assert imports.resume("customers")
    assert not imports.resume("customers")
    world.advance(10)
    world.run(until=lambda: imports.get("customers").state == "finished")
    assert imports.get("customers").finished == 8


def test_rows_that_come_while_it_is_paused_wait_too(world: World, imports: Imports, tmp_path: Path) -> None:
    """An import may be paused while its file is read."""
    file = jobs(tmp_path, 600)
    paused: list[bool] = []
    imports.load(file, by="olga", progress=lambda _: paused.append(imports.pause("customers", by="olga")))
    assert world.ledger.take({"bulk": 64}).nudges == ()
    assert imports.get("customers").waiting == 600


def test_cancelling_ends_what_is_not_begun(world: World, imports: Imports, tmp_path: Path) -> None:
    """Each has it in its history, with who and why; who is begun goes on to the end; the ledger stays healthy."""
    load(imports, jobs(tmp_path, 250))
    first, *_ = world.ledger.take({"bulk": 1}).nudges
    claim = world.ledger.claim(first.key, first.version, first.step)
    assert imports.cancel("customers", by="olga", reason="the wrong list") == 249
    assert imports.cancel("customers", by="olga", reason="again") == 0
    one = imports.get("customers")
    assert (one.state, one.waiting, one.phases) == ("cancelled", 0, {"cancelled": 249, "received": 1})
    assert world.ledger.history("customers-7")[-1]["note"] == noted("cancel", "olga", "the wrong list")
    assert world.client.pttl(f"{PREFIX}input:customers-7") > 0
    assert healthy(world)
    assert claim is not None
    world.advance(10)
    world.run_until(first.key, Phase.IDENTIFICATION_PENDING)
    assert healthy(world)


def test_cancelling_goes_on_after_an_interruption(world: World, imports: Imports, tmp_path: Path) -> None:
    """Killed in the middle, nothing is begun meanwhile, and the same call ends it."""
    load(imports, jobs(tmp_path, 250))

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imports.cancel("customers", by="olga", reason="the wrong list", progress=interrupt)
    assert world.ledger.take({"bulk": 64}).nudges == ()
    assert imports.cancel("customers", by="olga", reason="the wrong list") == 150
    assert imports.get("customers").phases == {"cancelled": 250}


def test_what_somebody_did_before_is_not_lost_by_cancelling(world: World, imports: Imports, tmp_path: Path) -> None:
    """A row with an act that nobody applied yet is taken up, and cancelled after it."""
    load(imports, jobs(tmp_path, 2))
    world.ledger.act("customers-0", {"act": "read", "by": "anna"})
    assert imports.cancel("customers", by="olga", reason="the wrong list") == 2
    world.run_until("customers-0", Phase.CANCELLED)
    notes = world.ledger.history("customers-0")[-1]["note"]
    assert notes == f"{noted('read', 'anna')} {noted('cancel', 'olga', 'the wrong list')}"
    assert world.effects() == {}
    assert healthy(world)


def test_a_cancelled_import_takes_no_more_rows(world: World, imports: Imports, tmp_path: Path) -> None:
    """Neither while its file is being read nor when it is read again; what was loaded is cancelled."""
    file = jobs(tmp_path, 1_200)
    with pytest.raises(ImportCancelledError, match="give another name"):
        imports.load(file, by="olga", progress=lambda _: imports.cancel("customers", by="anna", reason="stop"))
    assert imports.get("customers").phases in ({"cancelled": 500}, {"cancelled": 1_000})  # one batch is read ahead
    with pytest.raises(ImportCancelledError):
        load(imports, file)
    with pytest.raises(ImportCancelledError):
        imports.compare(file)


def test_a_cancelled_customer_can_be_taken_up_again(world: World, imports: Imports, tmp_path: Path) -> None:
    """`restart` of one customer works as after any cancellation."""
    load(imports, jobs(tmp_path, 2))
    imports.cancel("customers", by="olga", reason="the wrong list")
    world.act("customers-1", "restart")
    world.run_until("customers-1", Phase.IDENTIFICATION_PENDING)
    assert imports.get("customers").phases == {"cancelled": 1, "identification_pending": 1}


def test_unknown_imports_are_named(imports: Imports) -> None:
    """Every question about an import that is not there is answered with where to look."""
    calls: tuple[Callable[[], Any], ...] = (
        lambda: imports.get("x"),
        lambda: imports.pause("x", by="olga"),
        lambda: imports.resume("x"),
        lambda: imports.cancel("x", by="olga", reason="r"),
        lambda: list(imports.report("x")),
    )
    for call in calls:
        with pytest.raises(NoSuchImportError) as raised:
            call()
        assert str(raised.value) == "There is no import 'x': `onboarding imports` lists all."


# --- the report ------------------------------------------------------------------------------------------------------


def test_the_ledger_keeps_the_refused_rows_sealed(world: World, imports: Imports, tmp_path: Path) -> None:
    """The report has the refused rows alone, can be imported again once mended, is encrypted, and expires."""
    file = tmp_path / "list.csv"
    file.write_text("external_id,email,customer_type\na,ann@example.com,Person\nb,nobody,Person\n", encoding="utf-8")
    assert load(imports, file) == result("list", 2, create=1, error=1)
    text = "".join(imports.report("list"))
    assert '"b","nobody","Person","3","error","email","not_an_email"' in text
    assert "ann@" not in text
    assert all(b"nobody" not in part for part in world.client.hvals(f"{PREFIX}report:list"))
    assert 0 < world.client.pttl(f"{PREFIX}report:list") <= 7 * 86_400_000
    mended = tmp_path / "mended.csv"
    mended.write_text(text.replace("nobody", "b@example.com", 1), encoding="utf-8")
    assert load(imports, mended) == result("mended", 1, create=1)


def test_a_long_report_comes_in_parts_and_ends(
    world: World, imports: Imports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts join seamlessly; beyond the limit rows are counted and not kept; a new run begins a new report."""
    monkeypatch.setattr("workers.imports.loading.SEALED_AT_ONCE", 4_000)
    monkeypatch.setattr("workers.imports.loading.REPORTED", 300)
    file = tmp_path / "list.csv"
    file.write_text("external_id,email,customer_type\n" + "x,nobody,Person\n" * 400, encoding="utf-8")
    for _ in range(2):
        assert load(imports, file) == result("list", 400, error=400)
        assert len(list(imports.report("list"))) > 1
        assert len("".join(imports.report("list")).splitlines()) == 301


def test_a_report_without_rows_is_empty(imports: Imports, tmp_path: Path) -> None:
    """Nothing was refused, nothing is told."""
    load(imports, jobs(tmp_path, 1))
    assert "".join(imports.report("customers")) == ""


# --- the estimate ----------------------------------------------------------------------------------------------------


def test_a_file_at_fault_leaves_the_import_unfinished(world: World, imports: Imports, tmp_path: Path) -> None:
    """What changed while it was read was stored up to there, is told, and the changed file is another import."""
    file = jobs(tmp_path, 1_200)

    def append(_: Any) -> None:
        with file.open("a", encoding="utf-8") as more:
            more.write("{}\n")

    with pytest.raises(IntakeError, match="changed while it was read"):
        imports.load(file, by="olga", progress=append)
    assert imports.get("customers").state == "loading"
    assert load(imports, file)["name"] == "customers-2"


def test_ledger_without_imports(client: redis.Redis) -> None:
    """An empty ledger has no imports and all its lanes."""
    ledger = Ledger(client)
    assert Imports(ledger).all() == []
    assert set(Lists(ledger).lanes()) == {"interactive", "bulk", "reidentify"}
