"""Fields of an identification that this release does not know, at each door: refused, or on their way to Iron.

One setting decides, ONBOARDING_UNKNOWN_FIELDS; whoever has the settings hands its value to the one judge of jobs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dramatiq
import httpx
import pytest
from dramatiq.brokers.redis import RedisBroker

from pipelines.job import JobInvalidError, JobRules
from tests.gateway import TOKENS, Gateway
from tests.given_details import PERSON
from tests.integration.test_cli_parts import lines, started, until
from tests.integration.test_console import Operator
from tests.world import Run, World, a_job
from workers.imports.imports import Imports
from workers.intake.messages import ACTOR, DirectEnqueueing
from workers.intake.rejections import Refusals
from workers.intake.submit import FrontDoor
from workers.ledger import PREFIX
from workers.secrets.tokens import Role, digest

SETTING = "ONBOARDING_UNKNOWN_FIELDS"
RULES = [JobRules(), JobRules(unknown_fields="pass")]
#: A link with fields that no release has heard of.
BODY = {"type": "Link", "with_edd": False, "surprise": {"deep": [None, 1.5]}, "nothing": None}


def odd(key: str = "k-1", **changes: Any) -> dict[str, Any]:
    """A job with unknown fields in its identification."""
    return a_job(key, identification=BODY, **changes)


def stored(world: World, key: str = "k-1") -> Any:
    """The body that waits for Iron, None: there is no such onboarding, or its record says it all."""
    return world.door.personal(key, by="a test").get("identification") if world.ledger.read(key) else None


def as_settled(world: World, rules: JobRules) -> None:
    """Check that nothing came in, or all of it as it was sent."""
    assert stored(world) == (BODY if rules.unknown_fields == "pass" else None)
    assert (world.ledger.read("k-1") is None) is (rules.unknown_fields == "refuse")


# --- each door -------------------------------------------------------------------------------------------------------


def by_python(world: World, rules: JobRules) -> None:
    """Hand in from Python."""
    door = FrontDoor(world.ledger, world.vault, world.queue.send, rules)
    with nullcontext() if rules == RULES[1] else pytest.raises(JobInvalidError, match="not known"):
        door.submit(odd())


def by_message(world: World, rules: JobRules) -> None:
    """Hand in as the actor of direct messages does."""
    door, refusals = FrontDoor(world.ledger, world.vault, world.queue.send, rules), Refusals(world.ledger)
    DirectEnqueueing(door, refusals)._take(dramatiq.Message("interactive", ACTOR, (odd(),), {}, {}))
    assert len(refusals.newest()) == (rules.unknown_fields == "refuse")


def by_file(world: World, rules: JobRules, folder: Path) -> None:
    """Import a file of jobs, after a look at what that would do."""
    file = folder / "jobs.jsonl"
    file.write_text(json.dumps(odd()) + "\n", encoding="utf-8")
    imports, passes = Imports(world.ledger, world.vault, rules), rules.unknown_fields == "pass"
    for result in (imports.compare(file), imports.load(file, by="a test")):
        assert (result.create, result.error) == (passes, not passes)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("enter", [by_python, by_message])
def test_python_and_messages(world: World, rules: JobRules, enter: Callable[[World, JobRules], None]) -> None:
    """A job from Python or from a message is judged by the rules of the front door."""
    enter(world, rules)
    as_settled(world, rules)


@pytest.mark.parametrize("rules", RULES)
def test_files(world: World, rules: JobRules, tmp_path: Path) -> None:
    """An import, and what it says beforehand, are judged by the rules that it is made with."""
    by_file(world, rules, tmp_path)
    as_settled(world, rules)


def test_a_file_can_be_imported_again_once_the_setting_is_another(world: World, tmp_path: Path) -> None:
    """The same file under the same name: the rows that the rules refused before come in now."""
    for rules in RULES:
        by_file(world, rules, tmp_path)
    assert stored(world) == BODY
    assert [one.name for one in Imports(world.ledger).all()] == ["jobs"]


@pytest.mark.parametrize("rules", RULES)
def test_http(world: World, broker_url: str, rules: JobRules, tmp_path: Path) -> None:
    """Jobs, corrections and files over HTTP, and the document that describes them, follow the gateway's rules."""
    gateway, passes = Gateway(world, broker_url, job_rules=rules), rules.unknown_fields == "pass"
    try:
        answer = gateway.request("POST", "/v1/onboardings", role="submitter", json=odd())
        assert answer.status_code == (202 if passes else 422)
        as_settled(world, rules)
        world.submit("k-2")
        body = {"reason": "a test", "job": odd("k-2")}
        answer = gateway.request("POST", "/v1/onboardings/k-2/actions/correct", role="operator", json=body)
        assert answer.status_code == (202 if passes else 422)
        answer = gateway.request(
            "POST", "/v1/imports", role="submitter", params={"name": "one"}, content=json.dumps(odd("k-3")),
            headers={"Content-Type": "application/jsonl"},
        )  # fmt: skip
        assert answer.status_code == 202
        until(lambda: gateway.get("/v1/imports/one", role="viewer").json()["loaded_at"], "the import")
        assert stored(world, "k-3") == (BODY if passes else None)
        shapes = gateway.get("/openapi.json").json()["components"]["schemas"]
        closed = {name: shapes[name]["additionalProperties"] for name in ("Job", "Customer", "Link", "Address")}
        below: Any = {} if passes else False
        assert closed == {"Job": False, "Customer": False, "Link": below, "Address": below}
    finally:
        gateway.close()


@pytest.mark.parametrize("rules", RULES)
def test_console(world: World, broker_url: str, rules: JobRules) -> None:
    """A correction at the console follows the gateway's rules."""
    world.submit()
    console = Operator(world, broker_url, job_rules=rules)
    try:
        console.sign_in("operator")
        answer = console.act("k-1", "correct", reason="a test", job=json.dumps(odd()), sure="yes")
        assert answer.status_code == (303 if rules.unknown_fields == "pass" else 422), answer.text
    finally:
        console.close()


@pytest.mark.parametrize("rules", RULES)
def test_command_line(world: World, run: Run, rules: JobRules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`submit`, `correct` and `import` follow the setting."""
    passes = rules.unknown_fields == "pass"
    monkeypatch.setenv(SETTING, rules.unknown_fields)
    for number, words in enumerate((["submit"], ["import", "--dry-run"], ["import"])):
        file = tmp_path / f"{number}.jsonl"
        file.write_text(json.dumps(odd(f"k-{number + 1}")), encoding="utf-8")
        assert run(*words, file) == (0 if passes else 2 if number == 0 else 5)
    as_settled(world, rules)
    assert [stored(world, key) for key in ("k-2", "k-3")] == [None, BODY if passes else None]
    world.submit("k-4")
    file = tmp_path / "correction.json"
    file.write_text(json.dumps(odd("k-4")), encoding="utf-8")
    assert run("correct", "k-4", file) == (0 if passes else 2)


@pytest.mark.parametrize("rules", RULES)
def test_processes(world: World, ledger_url: str, broker_url: str, rules: JobRules, tmp_path: Path) -> None:
    """The gateway and a worker, as they run, read the setting."""
    settings = {
        "ONBOARDING_REDIS_URL": ledger_url,
        "ONBOARDING_BROKER_URL": broker_url,
        "ONBOARDING_ENCRYPTION_KEYS": world.key,
        "ONBOARDING_API_TOKENS": f"crm:submitter:{digest(TOKENS[Role.SUBMITTER])}",
        "ONBOARDING_LOG": "json",
        "IRON_BASE_URL": "http://127.0.0.1:1/api",
        "IRON_API_KEY": "sandbox-key",
        SETTING: rules.unknown_fields,
    }
    passes = rules.unknown_fields == "pass"
    with started(["gateway", "--port", "0"], tmp_path, settings) as (_, log):
        port = re.search(r'"port": (\d+)', until(lambda: lines(log, "gateway.started"), "the gateway")[0])
        assert port
        bearer = {"Authorization": f"Bearer {TOKENS[Role.SUBMITTER]}"}
        address = f"http://127.0.0.1:{port[1]}/v1/onboardings"
        answer = httpx.post(address, json=odd(lane="bulk"), headers=bearer, trust_env=False)
        assert answer.status_code == (202 if passes else 422)
    as_settled(world, rules)
    with started(["worker", "--processes", "1", "--threads", "2"], tmp_path, settings) as (_, log):
        producer = RedisBroker(url=broker_url)  # type: ignore[no-untyped-call]
        producer.declare_queue("interactive")
        job = odd("k-2")
        producer.enqueue(
            dramatiq.Message(queue_name="interactive", actor_name=ACTOR, args=(job,), kwargs={}, options={})
        )
        outcome = until(lambda: lines(log, r"job\.(accepted|refused)"), "the job")[0]
        assert ("job.accepted" in outcome) is passes
        producer.close()
        producer.client.close()


# --- what becomes of them --------------------------------------------------------------------------------------------


def passing(world: World) -> FrontDoor:
    """Let this world pass unknown fields on."""
    world.door = FrontDoor(world.ledger, world.vault, world.queue.send, RULES[1])
    return world.door


def sent(world: World) -> list[Any]:
    """Note the body of each identification that goes to Iron, and let Iron see what it knows."""
    bodies: list[Any] = []
    handle = world.sandbox.handle

    def note(method: str, path: str, query: str = "", headers: Any = None, body: bytes = b"") -> Any:
        if method == "POST" and path.endswith("/identifications/v2"):
            bodies.append(json.loads(body))
            known = {name: value for name, value in bodies[-1].items() if name not in ("surprise", "nothing")}
            body = json.dumps(known).encode()
        return handle(method, path, query, headers, body)

    world.sandbox.handle = note  # type: ignore[method-assign]
    return bodies


@pytest.mark.parametrize("identification", [BODY, PERSON | {"surprise": 1, "nothing": None}])
def test_iron_gets_them_unchanged(world: World, identification: dict[str, Any]) -> None:
    """The first identification has the fields as they were given; then they are dropped, and later rounds are links."""
    bodies = sent(world)
    passing(world).submit(a_job("k-1", "expire", identification=identification))
    assert b"surprise" not in world.client.hget(f"{PREFIX}input:k-1", "identification")
    world.run(until=lambda: world.record().round == 2, seconds=3 * 3600)
    assert bodies == [identification, {"type": "Link", "with_edd": False}]
    assert world.client.hkeys(f"{PREFIX}input:k-1") == [b"customer"]


def test_they_are_part_of_the_job(world: World) -> None:
    """The same job again is unchanged; one with another value in an unknown field is another job."""
    door = passing(world)
    assert [door.submit(odd()).status, door.submit(odd()).status] == ["created", "unchanged"]
    for other in (BODY | {"surprise": 1}, {"type": "Link"}):
        assert door.submit(a_job(identification=other)).status == "idempotency_key_reused"


@pytest.mark.parametrize("before", [BODY, PERSON])
def test_a_correction_drops_what_is_corrected_away(world: World, before: dict[str, Any]) -> None:
    """A job that is corrected to a plain link goes out as one, and what it had before is gone."""
    bodies = sent(world)
    passing(world).submit(a_job("k-1", "manual", identification=before))
    world.correct(a_job("k-1", "manual"))
    world.run_until("k-1", "identification_pending")
    assert bodies == [{"type": "Link", "with_edd": False}]
    assert world.client.hkeys(f"{PREFIX}input:k-1") == [b"customer"]


def test_what_came_in_before_goes_out_after_the_setting_is_back(world: World) -> None:
    """The rules judge jobs as they come in: a job that was accepted is carried out as it is."""
    bodies = sent(world)
    passing(world).submit(odd())
    world.door = FrontDoor(world.ledger, world.vault, world.queue.send)
    world.run_until("k-1", "signings_required", seconds=86_400)
    assert bodies == [BODY]
