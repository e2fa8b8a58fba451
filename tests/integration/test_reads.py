"""Whatever a read answers, in whatever phase: the customer is read within a poll pause, and the record comes out right.

Which reads there are is observed: whole lives are led, and a read by a step in a phase that the table below lacks fails
a test. No webhook arrives in the matrix, since one would hide that nobody looks. Source: design section 2, rule 6.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from itertools import pairwise
from typing import Any

import pytest
import redis

from ops.sandbox import Fault
from ops.sandbox.api.routes import ROUTES
from pipelines.errors import IronError
from pipelines.iron import Iron
from pipelines.lifecycle import FINISHED
from tests.lives import LIVES, Read, Witness, a_world, comes_to, passes, wait
from tests.world import API_KEY, BASE_URL, World
from workers.reconcile.adopt import adopt
from workers.reconcile.sweep import Sweep

#: Every read of a record: the endpoint, the step, the phase, whether its effect is in doubt, and a life that comes by.
TABLE = """
get_customer                refresh                 customer_created        -         refused_and_begun_elsewhere
get_customer                refresh                 identification_pending  -         declined_for_good
get_customer                refresh                 in_review               -         declined_for_good
get_customer                refresh                 step_up_required        -         asked_for_more
get_customer                refresh                 declined                -         declined
get_customer                refresh                 expired                 -         meets_conflicts_later
get_customer                refresh                 signings_required       -         cancelled
get_customer                refresh                 active                  -         archived
get_customer                refresh                 suspended               -         refused
get_customer                refresh                 on_hold                 -         held
get_customer                refresh                 failed                  -         refused_and_begun_elsewhere
get_customer                refresh                 cancelled               -         cancelled
get_customer                reidentify              active                  -         identified_again_by_hand
get_customer_by_external_id create_customer         received                -         declined_for_good
get_customer_by_external_id create_customer         received                doubtful  meets_conflicts
list_identifications        refresh                 customer_created        -         refused_and_begun_elsewhere
list_identifications        refresh                 identification_pending  -         corrected
list_identifications        refresh                 in_review               -         declined_for_good
list_identifications        refresh                 step_up_required        -         asked_for_more
list_identifications        refresh                 declined                -         declined
list_identifications        refresh                 expired                 -         meets_conflicts_later
list_identifications        refresh                 active                  -         found_again
list_identifications        refresh                 suspended               -         refused
list_identifications        refresh                 on_hold                 -         expired
list_identifications        refresh                 failed                  -         refused_and_begun_elsewhere
list_identifications        create_identification   customer_created        -         meets_conflicts
list_identifications        create_identification   customer_created        doubtful  meets_stored_faults
list_identifications        create_identification   declined                -         declined
list_identifications        create_identification   declined                doubtful  meets_conflicts_later
list_identifications        create_identification   expired                 -         meets_conflicts_later
list_identifications        create_identification   expired                 doubtful  meets_conflicts_later
list_identifications        create_identification   on_hold                 -         put_away
list_identifications        create_identification   on_hold                 doubtful  put_away
list_identifications        create_identification   active                  -         identified_again_by_hand
list_identifications        create_identification   active                  doubtful  meets_conflicts_later
list_identifications        reidentify              active                  -         identified_again_by_hand
get_requirements            explain_decline         declined                -         declined_for_good
get_requirements            handle_step_up          step_up_required        -         asked_for_more
get_required_signings       fetch_required_signings signings_required       -         cancelled
get_required_signings       submit_signings         signings_required       -         cancelled
get_required_signings       submit_signings         signings_required       doubtful  meets_conflicts
"""
ROWS = {
    Read(operation, step, phase, doubt == "doubtful"): life
    for operation, step, phase, doubt, life in map(str.split, TABLE.strip().splitlines())
}
#: What a read answers so many times in a row: a status, another JSON value, less than it should, or an unknown value.
ANSWERS = (
    *("400", "404", "409", "410", "422", "empty_list", "null"),
    *("missing_member", "missing_in_items", "unknown_status"),
)
TIMES = 3
#: Answers that spoil nothing where there is nothing of the kind: no list, no object, no status.
DEPENDENT = ("missing_member", "missing_in_items", "unknown_status")
#: Lives in which a job fails as it should, with how often.
FAIL = {"refused": 2, "refused_and_begun_elsewhere": 1}
LOOK_UP, LIST = "get_customer_by_external_id", "list_customers"
#: The sandbox's name of that look-up.
EXTERNAL = "GET /customers/{external_id}/external"


def failures(world: World) -> int:
    """How often the record came to be failed."""
    phases = ["", *(str(entry.get("phase")) for entry in world.ledger.history("k-1"))]
    return sum(after == "failed" != before for before, after in pairwise(phases))


@pytest.mark.parametrize("hears", [True, False], ids=["heard", "deaf"])
@pytest.mark.parametrize("life", LIVES)
def test_every_read_of_a_life_is_in_the_table(client: redis.Redis, life: str, hears: bool) -> None:
    """A read by another step or in another phase than those of the table is one whose odd answers nobody has tried."""
    world = a_world(client, hears=hears)
    witness = Witness(world)
    LIVES[life](world)
    assert witness.seen <= set(ROWS)
    assert failures(world) == FAIL.get(life, 0)


def test_every_read_of_the_client_is_in_the_table() -> None:
    """An endpoint that the client reads is a row's, or it is the list that the sweep reads."""
    documented = (inspect.getdoc(method) or "" for _, method in inspect.getmembers(Iron, inspect.isfunction))
    paths = [match[1] for text in documented if (match := re.match(r"GET (/\S+?)[.,]? ", text + " "))]
    read = {route.operation for route in ROUTES if route.method == "GET" and route.template in paths}
    assert len(read) == len(paths)
    assert read == {row.operation for row in ROWS} | {LIST}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_odd_answer_is_followed_by_a_read(client: redis.Redis, row: Read, answer: str) -> None:
    """After each odd answer the customer is read within a poll pause; nobody fails, and the life ends as without it."""
    life = ROWS[row]
    world = a_world(client, hears=False)
    witness = Witness(world, target=row, fault={"odd": answer}, times=TIMES)
    LIVES[life](world)
    passes(world, 120)
    assert row in witness.seen
    assert witness.spoilt or answer in DEPENDENT
    assert failures(world) == FAIL.get(life, 0)
    assert witness.seen <= set(ROWS)
    if row.operation == LOOK_UP:
        tries = world.sandbox.traffic.times()
        assert len(tries[EXTERNAL] + tries["POST /customers"]) > len(witness.spoilt) + 1
    elif not (row.phase in FINISHED and answer == "unknown_status"):  # nobody polls who is done: the sweep looks
        assert witness.late() == []


#: One row of each endpoint.
FIRST = {row.operation: row for row in reversed(ROWS)}


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 500}, {"malformed": True}], ids=str)
@pytest.mark.parametrize("row", FIRST.values(), ids=str)
def test_other_odd_answers(client: redis.Redis, row: Read, fault: dict[str, Any]) -> None:
    """What is everybody's, and what is cut off, is followed by a read as well."""
    world = a_world(client, hears=False)
    witness = Witness(world, target=row, fault=fault, times=2)
    LIVES[ROWS[row]](world)
    passes(world, 120)
    assert witness.spoilt
    assert row.operation == LOOK_UP or witness.late() == []


# --- the list of all customers, which the sweep and adoption read ----------------------------------------------------


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_odd_list_is_read_again_by_the_sweep(client: redis.Redis, answer: str) -> None:
    """The sweep reads a page again that made no sense, finds what differs, and fails nobody."""
    world = a_world(client, hears=False)
    LIVES["approved"](world)
    world.sandbox.move("k-1", "suspend")
    world.sandbox.faults.add(Fault(operation=LIST, odd=answer, times=TIMES))
    sweep = Sweep(world.ledger, Iron(world.transport, BASE_URL, API_KEY), 60.0)
    for _ in range(TIMES + 2):
        world.advance(sweep.turn() + 0.01)
        wait(world, lambda: True)
        passes(world, 60)
    assert len(world.sandbox.traffic.times()["GET /customers"]) > TIMES
    comes_to(world, "suspended")
    assert failures(world) == 0


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_odd_list_is_read_again_by_adoption(client: redis.Redis, answer: str) -> None:
    """Adoption stops at a page that makes no sense; run again, it adopts each customer once, as Iron shows them."""
    world = a_world(client, hears=False)
    LIVES["approved"](world)
    world.client.flushdb()
    world.sandbox.faults.add(Fault(operation=LIST, odd=answer, times=1))
    iron = Iron(world.transport, BASE_URL, API_KEY)
    with contextlib.suppress(IronError):
        list(adopt(world.ledger, iron))
    results = [one.result for one in adopt(world.ledger, iron)]
    assert results == (["known"] if answer == "unknown_status" else ["adopted"])
    comes_to(world, "active")
