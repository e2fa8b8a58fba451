"""The sandbox's state in a file: stopped and started again, it goes on as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.sandbox import ManualClock, Sandbox
from ops.sandbox.hosts.state import StateError, load, save

CUSTOMER = {"customer_type": "Person", "email": "ada+slow@example.com", "name": "Ada", "external_id": "x-1"}


def begun() -> Sandbox:
    """A sandbox with a customer whose identification is under way."""
    sandbox = Sandbox(ManualClock())
    customer = sandbox.request("POST", "/api/customers", CUSTOMER, key="a")
    assert customer.status < 300, customer.body
    [record] = sandbox.provider.store.order
    answer = sandbox.request("POST", f"/api/customers/{record.id}/identifications/v2", {"type": "Link"}, key="b")
    assert answer.status < 300, answer.body
    return sandbox


def again(sandbox: Sandbox, file: Path) -> Sandbox:
    """The same sandbox after a restart; its clock goes on where the other stood."""
    save(sandbox, file)
    other = Sandbox(ManualClock(sandbox.clock.now()))
    load(other, file)
    return other


def test_records_and_effects_are_there_again(tmp_path: Path) -> None:
    """Also the counts by external id, which a check compares."""
    before = begun()
    after = again(before, tmp_path / "state")
    assert (
        after.effects.group()
        == before.effects.group()
        == {"x-1": {"customers": 1, "identifications": 1, "signings": 0}}
    )
    assert [one.id for one in after.provider.store.order] == [one.id for one in before.provider.store.order]


def test_a_script_under_way_goes_on(tmp_path: Path) -> None:
    """What was due later happens later; what fell due in between happens at the start."""
    after = again(begun(), tmp_path / "state")
    [customer] = after.provider.store.order
    assert customer.newest is not None
    assert customer.newest.status == "Pending"
    after.advance(3600)
    assert customer.status == "SigningsRequired"


def test_a_key_is_remembered(tmp_path: Path) -> None:
    """The same request is answered from what is stored, and has no second effect."""
    after = again(begun(), tmp_path / "state")
    assert after.request("POST", "/api/customers", CUSTOMER, key="a").status < 300
    assert after.effects.totals()["create_customer"] == 1
    assert next(iter(after.effects)).replays == 1


def test_new_ids_differ_from_old_ones(tmp_path: Path) -> None:
    """The seeded source goes on, it does not begin anew."""
    after = again(begun(), tmp_path / "state")
    other = CUSTOMER | {"external_id": "x-2", "email": "bob@example.com"}
    assert after.request("POST", "/api/customers", other, key="c").status < 300
    first, second = after.provider.store.order
    assert first.id < second.id


def test_switches_are_kept_but_for_those_that_a_flag_sets(tmp_path: Path) -> None:
    """What was switched comes back, unless the next start says otherwise."""
    before = begun()
    before.switches.approval = "by_call"
    before.switches.lookup_lag_s = 3
    save(before, tmp_path / "state")
    after, other = Sandbox(ManualClock()), Sandbox(ManualClock())
    load(after, tmp_path / "state")
    load(other, tmp_path / "state", keep={"approval"})
    assert (after.switches.approval, after.switches.lookup_lag_s) == ("by_call", 3)
    assert (other.switches.approval, other.switches.lookup_lag_s) == ("by_itself", 3)


def test_a_spell_is_not_kept(tmp_path: Path) -> None:
    """What holds for a while only is over when the sandbox stops."""
    before = begun()
    before.draw(3, keep=("approval",))
    drawn = before.switches.model_copy(deep=True)
    while before.switches == drawn:
        before.request("GET", "/api/customers")
    save(before, tmp_path / "state")
    after = Sandbox(ManualClock())
    load(after, tmp_path / "state")
    assert after.switches == drawn


def test_a_record_of_the_provider_s_own_is_filed_after_a_restart(tmp_path: Path) -> None:
    """A step-up that opens a new record can be read by its id, also after the tables came from a file."""
    after = again(begun(), tmp_path / "state")
    after.switches.step_up = "new_record"
    after.advance(3600)
    after.move("x-1", "stepup")
    [customer] = after.provider.store.order
    assert customer.newest is not None
    assert after.request("GET", f"/api/identifications/{customer.newest.id}").status == 200


def test_no_file_is_an_empty_state(tmp_path: Path) -> None:
    """The first start has nothing to begin from."""
    sandbox = Sandbox(ManualClock())
    load(sandbox, tmp_path / "state")
    assert len(sandbox.effects) == 0


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04}\x94."])
def test_another_file_is_refused_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    """Anything but a state of this release is named."""
    file = tmp_path / "state"
    file.write_bytes(content)
    with pytest.raises(StateError, match="remove it to begin with nothing"):
        load(Sandbox(ManualClock()), file)


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    """It holds names and addresses, if only of made-up people."""
    save(begun(), tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
