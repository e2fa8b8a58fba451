"""Keys and what they seal: another key in place of an old one, a ring that lacks one, and what needs no ring."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet

from ops.cli import main
from pipelines.begin import begin
from pipelines.consent import Consent
from pipelines.errors import InputLostError
from pipelines.iron import Iron
from pipelines.job import parse_job
from pipelines.keys import canonical_json, fingerprint
from pipelines.lifecycle import Phase
from pipelines.model import Next
from tests.world import API_KEY, BASE_URL, Run, World, a_job
from workers.events.endpoints import Endpoints
from workers.events.stream import OLDEST
from workers.imports.imports import Imports
from workers.intake.consent import record_consent
from workers.intake.submit import FrontDoor
from workers.ledger import PREFIX, Claim, New
from workers.operate.search import find
from workers.reconcile.adopt import adopt
from workers.secrets.key_ids import KeyIds
from workers.secrets.links import CustomerLinks
from workers.secrets.rotation import ACT_RESTS_MS, Rotation, Walk
from workers.secrets.vault import FERNET, Place, Vault, key_id, new_key


def use(world: World, *ring: str, lookup: tuple[str, ...] = ()) -> Vault:
    """Let every process of a world have this ring from now on."""
    world.vault = Vault(ring, lookup=lookup)
    world.door = FrontDoor(world.ledger, world.vault, world.queue.send)
    world.runner = world.worker()
    world.run_step = world.runner.run
    return world.vault


def former(key: str, owner: str, value: Any) -> bytes:
    """A value as it was sealed before keys had ids."""
    return Fernet(key).encrypt(canonical_json([owner, value]))


def consent(world: World, key: str = "k-1") -> None:
    """Bring a customer to the signatures and agree to them, with evidence."""
    world.run_until(key, Phase.SIGNINGS_REQUIRED)
    world.run(until=lambda: bool(world.record(key).signings))
    record = world.record(key)
    proof = Consent(documents=[one.id for one in record.signings], signed_by="Ada Example")
    record_consent(world.ledger, world.vault, record, proof)


def furnished(world: World, tmp_path: Path) -> None:
    """A ledger with everything that is sealed: input, evidence, a correction that waits, a report, an endpoint."""
    world.submit("k-1")
    consent(world)
    world.submit("k-2", "manual")
    world.correct(a_job("k-2", "slow"))
    world.queue.nudges.clear()
    file = tmp_path / "customers.csv"
    file.write_text(
        "idempotency_key,email,customer_type,name\nk-3,none,Person,Zoe\nk-4,k-4@example.com,Person,Zoe\n",
        encoding="utf-8",
    )
    Imports(world.ledger, world.vault).load(file, by="a test")
    Endpoints(world.ledger, world.vault).add(
        "crm", "http://127.0.0.1:1/", types=(), after=OLDEST, by="a test", private=True
    )


def opened(world: World, vault: Vault) -> dict[str, Any]:
    """Everything that is sealed, opened with a ring."""
    client = world.client
    found: dict[str, Any] = {}
    for key in ("k-1", "k-2", "k-4"):
        for part, sealed in world.ledger.input(key).items():
            found[f"{key} {part}"] = vault.open(Place("input", key, part), sealed)
    found["evidence"] = [
        vault.open(Place("evidence", "k-1"), one) for one in client.lrange(f"{PREFIX}evidence:k-1", 0, -1)
    ]
    found["report"] = list(Imports(world.ledger, vault).report("customers"))
    endpoints = Endpoints(world.ledger, vault)
    found["endpoint"] = endpoints.secrets(endpoints.find("crm").endpoint)
    return found


def test_another_key_in_place_of_the_old_one(world: World, tmp_path: Path) -> None:
    """Everything that the old key sealed is sealed by the new one and says the same; the old one is needed no more."""
    furnished(world, tmp_path)
    client, old, new = world.client, world.key, new_key()
    KeyIds(world.ledger).begin(world.vault)
    client.pexpire(f"{PREFIX}input:k-1", 600_000)
    before = opened(world, world.vault)
    world.advance(ACT_RESTS_MS / 1000 + 1)
    vault = use(world, new, old)
    KeyIds(world.ledger).begin(vault)
    rotated = Rotation(world.ledger, vault).run()
    assert rotated.complete
    assert rotated.walk.counts == {key_id(new): rotated.resealed}
    assert rotated.resealed == len(before) + 1  # the correction
    assert opened(world, use(world, new)) == before
    assert 0 < client.pttl(f"{PREFIX}input:k-1") <= 600_000
    assert list(KeyIds(world.ledger).all()) == [key_id(new)]
    assert not client.exists(f"{PREFIX}rotation")
    world.run_until("k-2", "in_review")  # as the correction says, which the new key alone opens
    assert world.email_of("k-2") == "k-2+slow@example.com"


def test_what_was_sealed_before_keys_had_ids_is_replaced(world: World, tmp_path: Path) -> None:
    """Fernet values of every kind are sealed in the form of now, with the same ring."""
    furnished(world, tmp_path)
    client, key = world.client, world.key
    world.run_until("k-2", "in_review")
    before = opened(world, world.vault)
    for owner in ("k-1", "k-2", "k-4"):
        for part in world.ledger.input(owner):
            client.hset(f"{PREFIX}input:{owner}", part, former(key, owner, before[f"{owner} {part}"]))
    client.lset(f"{PREFIX}evidence:k-1", 0, former(key, "k-1", before["evidence"][0]))
    client.hset(f"{PREFIX}report:customers", "0", former(key, "report:customers", before["report"][0]))
    crm = json.loads(client.hget(f"{PREFIX}endpoints", "crm") or b"")
    crm["sealed"] = former(key, "endpoint:crm", [[before["endpoint"][0], 0]]).decode()
    client.hset(f"{PREFIX}endpoints", "crm", canonical_json(crm))
    assert opened(world, world.vault) == before
    assert Rotation(world.ledger, world.vault).count().counts[FERNET] == len(before)
    rotated = Rotation(world.ledger, world.vault).run()
    assert (rotated.complete, rotated.resealed, rotated.walk.counts[FERNET]) == (True, len(before), 0)
    assert opened(world, world.vault) == before


def test_a_commit_beside_it_wins(world: World) -> None:
    """A value that changed since it was read stays as it is now, as does one that is gone, and the walk goes on."""
    world.submit("k-1")
    place, call = Place("input", "k-1", "customer"), world.ledger.call
    read = world.ledger.input("k-1")["customer"]
    newer = world.vault.seal(place, {"email": "newer@example.com"})
    world.client.hset(f"{PREFIX}input:k-1", "customer", newer)
    late = world.vault.seal(place, {"email": "late@example.com"})
    assert call("reseal", "input", "k-1", "customer", read, late) == [0]
    assert world.ledger.input("k-1") == {"customer": newer}
    world.client.delete(f"{PREFIX}input:k-1")
    assert call("reseal", "input", "k-1", "customer", read, late) == [0]
    assert world.ledger.input("k-1") == {}
    assert call("reseal", "evidence", "k-1", "", read, late) == [0]


def test_an_act_in_a_workers_hands_rests(world: World) -> None:
    """A correction that a worker is about to apply, or whose sender may repeat it, stays as it is: it counts once."""
    world.submit("k-1")
    world.correct(a_job("k-1", "slow"))
    before = world.record()
    vault = use(world, new_key(), world.key)
    assert Rotation(world.ledger, vault).run().walk.left == 1  # it is new
    world.advance(ACT_RESTS_MS / 1000 + 1)
    claim = world.ledger.claim("k-1", before.version, before.step)
    assert isinstance(claim, Claim)
    rotated = Rotation(world.ledger, vault).run()
    assert (rotated.complete, rotated.walk.left) == (False, 1)
    world.ledger.commit(claim, Next(claim.record, 60.0, "applied", applied=claim.acts))
    assert world.read().acts_waiting == 0
    assert Rotation(world.ledger, vault).run().complete


def test_what_cannot_be_opened_is_named_and_stays(world: World) -> None:
    """A value of a lost key, and one that was moved, are counted, named and left; the others are sealed anew."""
    for key in ("k-1", "k-2", "k-3"):
        world.submit(key)
    lost = Vault([new_key()]).seal(Place("input", "k-1", "customer"), {})
    moved = world.ledger.input("k-3")["customer"]
    for key, sealed in (("k-1", lost), ("k-2", moved)):
        world.client.hset(f"{PREFIX}input:{key}", "customer", sealed)
    vault = use(world, new_key(), world.key)
    rotated = Rotation(world.ledger, vault).run()
    assert (rotated.complete, rotated.resealed, rotated.walk.unreadable) == (True, 1, 2)
    assert sorted(rotated.walk.named) == ["input:k-1", "input:k-2"]
    assert [world.ledger.input(key)["customer"] for key in ("k-1", "k-2")] == [lost, moved]


def test_an_interrupted_rotation_goes_on_where_it_was(world: World) -> None:
    """What was done before a kill is not done again, and a rotation to another key begins at the beginning."""
    keys = [f"k-{number}" for number in range(120)]
    for key in keys:
        world.submit(key)
    vault, steps = use(world, new_key(), world.key), 0

    def killed(walk: Walk) -> None:
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rotation(world.ledger, vault, step=20).run(killed)
    done = Rotation(world.ledger, vault).count().counts[vault.ids[0]]
    assert 0 < done < len(keys)
    assert int(world.client.hget(f"{PREFIX}rotation", "cursor") or 0) > 0
    rest: list[int] = []
    rotated = Rotation(world.ledger, vault, step=20).run(lambda walk: rest.append(walk.resealed))
    assert (rotated.complete, rotated.resealed) == (True, len(keys) - done)
    whole: list[int] = []
    assert Rotation(world.ledger, vault, step=20).run(lambda walk: whole.append(walk.resealed)).resealed == 0
    assert len(whole) < len(rest) < 2 * len(whole)  # the rest of the one walk, and another one that finds nothing left
    assert rotated.walk.counts == {vault.ids[0]: len(keys)}


def test_a_rotation_ends_with_a_whole_walk(world: World) -> None:
    """One that goes on behind the last value begins again at the beginning before it says that nothing is left."""
    world.submit("k-1")
    vault = use(world, new_key(), world.key)
    kept = {"to": vault.ids[0], "sort": "acts", "cursor": 0}
    world.client.hset(f"{PREFIX}rotation", mapping=kept)
    rotated = Rotation(world.ledger, vault).run()
    assert (rotated.complete, rotated.resealed) == (True, 1)


def test_a_process_with_an_old_ring_is_told(world: World) -> None:
    """What is sealed with an old key behind the walk's back keeps the rotation from being called complete."""
    world.submit("k-1")
    place, old = Place("input", "k-1", "customer"), world.vault
    vault = use(world, new_key(), world.key)

    def straggler(_: Walk) -> None:
        world.client.hset(f"{PREFIX}input:k-1", "customer", old.seal(place, {}))

    rotated = Rotation(world.ledger, vault).run(straggler)
    assert not rotated.complete
    assert Rotation(world.ledger, vault).run().complete


# --- a ring that lacks a key -----------------------------------------------------------------------------------------

STARTS = [
    ("worker",),
    ("gateway", "--port", "0"),
    ("submit", "--key", "k-2", "--email", "a@example.com"),
    ("keys", "rotate"),
]


@pytest.mark.parametrize("words", STARTS, ids=" ".join)
def test_no_process_starts_without_the_key_that_seals_now(
    words: tuple[str, ...], run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2, and one line that names the key by its id; nothing is stored."""
    KeyIds(world.ledger).begin(world.vault)
    for name, value in (
        ("IRON_BASE_URL", BASE_URL.replace("http:", "https:")),
        ("IRON_API_KEY", API_KEY),
        ("ONBOARDING_ENCRYPTION_KEYS", new_key()),
    ):
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "ops.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()[-1:]
    assert line.startswith(f"ONBOARDING_ENCRYPTION_KEYS lacks the key {key_id(world.key)}, ")
    assert world.ledger.read("k-2") is None
    assert list(KeyIds(world.ledger).all()) == [key_id(world.key)]


def test_a_lost_key_is_given_up(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who has lost a key says so once, with --yes, and everything starts; a key that is unknown is told."""
    assert run("submit", "--key", "k-1", "--email", "ada@example.com") == 0
    KeyIds(world.ledger).begin(world.vault)
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", new_key())
    lost = key_id(world.key)
    assert main(["keys", "forget", lost]) == 1
    assert main(["submit", "--key", "k-2", "--email", "a@example.com"]) == 2
    assert main(["keys", "forget", "00000000", "--yes"]) == 1
    assert main(["keys", "forget", lost, "--yes"]) == 0
    assert main(["submit", "--key", "k-2", "--email", "a@example.com"]) == 0
    capsys.readouterr()
    assert main(["keys", "status", "--json"]) == 5
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["state"], row["values"]) for row in rows] == [("seals", 1), ("missing", 1)]


def test_the_doctor_names_the_key_that_is_missing(
    world: World, ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which key a ring lacks, before any process is started with it."""
    KeyIds(world.ledger).begin(world.vault)
    monkeypatch.setenv("ONBOARDING_REDIS_URL", ledger_url)
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", new_key())
    assert main(["doctor", "--json"]) == 1
    checks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [broken] = [one["text"] for one in checks if one["check"] == "encryption" and one["state"] == "broken"]
    assert broken.startswith(f"ONBOARDING_ENCRYPTION_KEYS lacks the key {key_id(world.key)}, ")


def test_an_older_ring_does_not_become_the_newest_again(world: World) -> None:
    """Whoever starts with the keys in another order changes nothing of which key is the newest."""
    old, new = world.key, new_key()
    ids = KeyIds(world.ledger)
    world.advance(1)
    assert ids.begin(Vault([old])) == ()
    world.advance(1)
    assert ids.begin(Vault([new, old])) == ()
    world.advance(1)
    assert ids.begin(Vault([old, new])) == ()
    assert ids.begin(Vault([old])) != ()
    assert ids.begin(Vault([new])) == ()


def test_a_worker_without_the_key_waits_for_it(world: World) -> None:
    """Its customer needs an operator, nothing fails, and with the key on the ring again it goes on by itself."""
    world.submit("k-1")
    use(world, new_key())
    world.run(until=lambda: world.record().problem is not None)
    problem = world.record().problem
    assert problem is not None
    assert (problem.code, problem.retryable, problem.operator) == ("key_missing", True, True)
    assert key_id(world.key) in problem.text
    use(world, world.key)
    assert world.run_until("k-1", "signings_required", seconds=900).problem is None
    assert world.effects()["k-1"]["customers"] == 1


# --- what does not depend on the ring --------------------------------------------------------------------------------


def test_a_rotation_costs_no_link_and_no_address(world: World) -> None:
    """With keys of their own, links open and customers are found by e-mail when the old key has left the ring."""
    lookup, link = new_key(), new_key()
    use(world, world.key, lookup=(lookup,))
    world.submit("k-1")
    token = CustomerLinks([link], "default").token("k-1")
    new = new_key()
    Rotation(world.ledger, use(world, new, world.key, lookup=(lookup,))).run()
    vault = use(world, new, lookup=(lookup,))
    assert [read.record.key for read in find(world.ledger, vault, "k-1+approve@example.com")] == ["k-1"]
    assert CustomerLinks([link], "default").read(world.ledger, token).record.key == "k-1"
    assert world.submit("k-1").status == "unchanged"


def test_keys_of_the_ring_become_keys_of_their_own(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set to what the ring was, lookup and link keys keep every link, address and job, whatever becomes of the ring."""
    monkeypatch.setenv("ONBOARDING_PUBLIC_URL", "https://go.example.com")
    assert run("submit", "--key", "k-1", "--email", "ada@example.com") == 0
    assert run("link", "k-1") == 0
    before = capsys.readouterr().out
    new = new_key()
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", f"{new},{world.key}")
    assert main(["keys", "rotate"]) == 0
    assert "ONBOARDING_LINK_KEYS is not set" in capsys.readouterr().err
    for name in ("ONBOARDING_LINK_KEYS", "ONBOARDING_LOOKUP_KEYS"):
        monkeypatch.setenv(name, world.key)
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", new)
    assert main(["keys", "status"]) == 0
    assert "is not set" not in capsys.readouterr().err
    assert main(["link", "k-1"]) == 0
    assert capsys.readouterr().out == before
    assert main(["find", "ada@example.com", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["idempotency_key"] == "k-1"


# --- a job that is known ---------------------------------------------------------------------------------------------


def test_a_record_does_not_confirm_a_guess(world: World) -> None:
    """Whoever has the ledger and guesses a whole job right sees nothing in the record that says so."""
    world.submit("k-1")
    mark = fingerprint(parse_job(a_job()).canonical())
    assert mark.encode() not in (world.client.get(f"{PREFIX}record:k-1") or b"")
    world.correct(a_job("k-1", "slow"))
    corrected = fingerprint(parse_job(a_job("k-1", "slow")).canonical())
    assert not any(corrected.encode() in act for act in world.client.lrange(f"{PREFIX}acts:k-1", 0, -1))


def test_a_job_of_before_is_recognised(world: World, tmp_path: Path) -> None:
    """A record with the fingerprint in the form of before is the same job's: sent, imported and compared again."""
    job = a_job("k-1")
    record = begin(parse_job(job).canonical())
    assert world.ledger.create([New(record, world.door.sealed("k-1", parse_job(job).canonical()))])
    assert world.submit("k-1").status == "unchanged"
    assert world.submit("k-1", "slow").status == "idempotency_key_reused"
    file = tmp_path / "customers.jsonl"
    file.write_text(json.dumps(job | {"lane": "interactive"}) + "\n", encoding="utf-8")
    imports = Imports(world.ledger, world.vault)
    assert imports.compare(file).unchanged == 1
    assert imports.load(file, by="a test").unchanged == 1


def test_a_job_is_recognised_after_the_lookup_key_changed(world: World) -> None:
    """While the old lookup key is there, a job sent again is the same job."""
    old, new = new_key(), new_key()
    use(world, world.key, lookup=(old,))
    world.submit("k-1")
    use(world, world.key, lookup=(new, old))
    assert world.submit("k-1").status == "unchanged"


def test_evidence_goes_with_the_record_that_a_job_takes_over(world: World) -> None:
    """What an adopted customer agreed to opens under the key of the job that joined the record."""
    world.submit("k-1", external_id="e-1")
    world.run_until("k-1", Phase.SIGNINGS_REQUIRED)
    world.client.flushdb()
    list(adopt(world.ledger, Iron(world.transport, BASE_URL, API_KEY)))
    consent(world, "e-1")
    world.run_until("e-1", Phase.ACTIVE)
    world.submit("k-1", external_id="e-1")
    [sealed] = world.client.lrange(f"{PREFIX}evidence:k-1", 0, -1)
    assert world.vault.open(Place("evidence", "k-1"), sealed)["signed_by"] == "Ada Example"
    with pytest.raises(InputLostError):
        world.vault.open(Place("evidence", "e-1"), sealed)


def test_evidence_of_a_join_that_was_cut_off_is_found(world: World) -> None:
    """Where a kill came between the join and the new seal, a rotation opens evidence under the key of before."""
    world.submit("k-1", external_id="e-1")
    proof = world.vault.seal(Place("evidence", "e-1"), {"signed_by": "Ada Example"})
    world.client.rpush(f"{PREFIX}evidence:k-1", proof)
    rotated = Rotation(world.ledger, use(world, new_key(), world.key)).run()
    assert (rotated.complete, rotated.walk.unreadable) == (True, 0)
    [sealed] = world.client.lrange(f"{PREFIX}evidence:k-1", 0, -1)
    assert world.vault.open(Place("evidence", "k-1"), sealed) == {"signed_by": "Ada Example"}


def test_status_names_each_key(
    run: Run, world: World, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each key by its id with how many values it seals; what nothing uses can be taken off the ring."""
    old, new = world.key, new_key()
    for number in range(3):
        assert run("submit", "--key", f"k-{number}", "--email", "ada@example.com") == 0
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", f"{new},{old}")
    capsys.readouterr()

    def told() -> list[tuple[str, str, int]]:
        assert main(["keys", "status", "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(row["id"], row["state"], row["values"]) for row in rows]

    assert told() == [(key_id(new), "seals", 0), (key_id(old), "opens", 3)]
    assert main(["keys", "rotate", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["resealed"], result["left"], result["unreadable"], result["complete"]) == (3, 0, 0, True)
    assert told() == [(key_id(new), "seals", 3), (key_id(old), "unused", 0)]
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", new)
    assert told() == [(key_id(new), "seals", 3)]
