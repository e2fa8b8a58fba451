"""Drawing a provider: every switch has its plausible values, one seed draws one provider, and what is odd ends."""

import random
from typing import Any

import pytest

from ops.sandbox import ManualClock, Sandbox, Switches, draw
from ops.sandbox.api.routes import ROUTES
from ops.sandbox.lab.drawing import CHOICES, LENGTHS, NO_CHOICE, ODD_KINDS, ODD_OPERATIONS, Dice

ADA: dict[str, Any] = {"customer_type": "Person", "email": "ada@example.com", "external_id": "crm-1"}


def drawn(seed: int) -> Switches:
    """The provider of a seed."""
    return draw(Switches(), random.Random(seed))


def test_every_switch_can_be_drawn_or_says_why_not() -> None:
    """A switch without a row of plausible values, or with one and a reason against it, is a blind spot."""
    assert set(CHOICES) | set(NO_CHOICE) == set(Switches.model_fields)
    assert not set(CHOICES) & set(NO_CHOICE)
    assert all(reason for reason in NO_CHOICE.values())


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_every_value_is_one_that_the_switch_takes(name: str) -> None:
    """The default is among the values for good, all of them can be set, and there is something to draw."""
    choice, default = CHOICES[name], getattr(Switches(), name)
    assert default in choice.values
    for value in (*choice.values, *choice.odd):
        assert getattr(Switches(**{name: value}), name) == value
    assert len({repr(value) for value in (*choice.values, *choice.odd)}) > 1
    assert bool(choice.odd) == bool(choice.spell_odds)


def test_every_documented_alternative_is_drawn() -> None:
    """A switch that lists its values has all of them drawn, for good or for a spell."""
    for name, choice in CHOICES.items():
        schema = Switches.model_json_schema()["properties"][name]
        if listed := schema.get("enum"):
            covered = {repr(value) for value in (*choice.values, *choice.odd)}
            missing = {repr(value) for value in listed} - covered
            assert missing <= ({"422"} if name == "signing_again" else set()), name


def test_a_seed_draws_one_provider() -> None:
    """The same seed gives the same switches, and seeds differ; what is to be kept is kept."""
    assert drawn(7) == drawn(7)
    assert len({drawn(seed).model_dump_json() for seed in range(50)}) > 45
    held = Switches(order="sign_first", lookup_lag_s=3)
    kept = draw(held, random.Random(1), keep=("order", "lookup_lag_s"))
    assert (kept.order, kept.lookup_lag_s) == ("sign_first", 3)
    assert held == Switches(order="sign_first", lookup_lag_s=3)


def test_each_value_for_good_comes_up() -> None:
    """Over many seeds every value that may hold for good is drawn."""
    seen = [drawn(seed) for seed in range(300)]
    for name, choice in CHOICES.items():
        possible = {repr(getattr(Switches(**{name: value}), name)) for value in choice.values}
        assert {repr(getattr(one, name)) for one in seen} == possible, name


def answers(seed: int, calls: int = 400) -> list[tuple[int, bytes]]:
    """What a customer's reads answer under the dice of a seed."""
    sandbox = Sandbox(switches=drawn(seed), dice=random.Random(seed))
    sandbox.switches.key_form = "any"
    sandbox.request("POST", "/api/customers", ADA, key="a")
    path = f"/api/customers/{sandbox.provider.store.order[0].id}" if sandbox.provider.store.order else "/api/customers"
    seen = []
    for _ in range(calls):
        sandbox.advance(5)
        answer = sandbox.request("GET", path)
        seen.append((answer.status, answer.body))
    return seen


def test_the_same_dice_give_the_same_answers() -> None:
    """Two sandboxes with one seed answer alike, byte for byte; one answer follows another."""
    assert answers(3) == answers(3)
    assert len({body for _, body in answers(3)}) > 5


def test_sane_answers_stay_likeliest() -> None:
    """Of many reads most are answered with 200; some are not, and 200 comes back each time."""
    for seed in range(5):
        statuses = [status for status, _ in answers(seed)]
        odd = sum(status != 200 for status in statuses)
        assert 0 < odd < len(statuses) / 2
        assert 200 in statuses[-100:]


def test_a_spell_ends() -> None:
    """An oddity holds for its time at most, and what was before comes back."""
    for name, choice in CHOICES.items():
        if not choice.odd:
            continue
        switches = Switches()
        dice = Dice(switches, random.Random(1), keep=set(CHOICES) - {name})
        met = 0
        for second in range(0, 20_000_000, 5_000):
            dice.throw(second, "get_customer")
            if getattr(switches, name) in choice.odd:
                met += 1
                dice._end(second + max(LENGTHS) * choice.longest_s)
                assert getattr(switches, name) in choice.values
        assert met, name


def test_odd_reads_begin_with_the_read_that_is_odd() -> None:
    """A spell of odd reads is about what is being read, and no spell begins where their odds are none."""
    switches = Switches()
    dice = Dice(switches, random.Random(1), keep=set(CHOICES) - {"odd_reads"})
    dice.times = 0
    for second in range(20_000):
        dice.throw(second, "get_customer")
        assert switches.odd_reads == {}
    dice.times = 1
    met = set()
    for second in range(0, 20_000_000, 1_000):
        dice.throw(second, "list_identifications")
        met |= set(switches.odd_reads.items())
        dice.end_spells()
        dice.throw(second, "create_customer")
        assert switches.odd_reads == {}
    assert {operation for operation, _ in met} == {"list_identifications"}
    assert {kind for _, kind in met} == set(ODD_KINDS)


def test_calm_ends_what_is_odd() -> None:
    """After `calm` the switches are as they were drawn, and stay so."""
    sandbox = Sandbox(switches=drawn(11), dice=random.Random(11))
    for _ in range(2_000):
        sandbox.request("GET", "/api/customers")
    sandbox.calm()
    for _ in range(200):
        sandbox.request("GET", "/api/customers")
        assert sandbox.switches == drawn(11)


def test_what_is_set_during_a_spell_stays() -> None:
    """The end of a spell does not undo what a test or the control interface has set meanwhile."""
    switches = Switches()
    dice = Dice(switches, random.Random(0))
    dice._begin("refuse_all", 403, 100.0)
    switches.refuse_all = 401
    dice.end_spells()
    assert switches.refuse_all == 401


def test_what_is_kept_is_not_redrawn() -> None:
    """The dice leave alone what they are told to."""
    sandbox = Sandbox(ManualClock(), dice=random.Random(2), keep=set(CHOICES))
    for _ in range(500):
        assert sandbox.request("GET", "/api/customers").status == 200
    assert sandbox.switches == Switches()


def test_a_reset_ends_spells() -> None:
    """After a reset the switches are those of the beginning, also later, when a spell would have ended."""
    sandbox = Sandbox(dice=random.Random(5), switches=Switches(lookup_lag_s=3))
    for _ in range(300):
        sandbox.request("GET", "/api/customers")
    sandbox.reset()
    sandbox.calm()
    assert sandbox.switches == Switches(lookup_lag_s=3)


def test_odd_operations_are_reads() -> None:
    """Each operation whose reads may be odd is an endpoint that reads."""
    assert set(ODD_OPERATIONS) <= {route.operation for route in ROUTES if route.method == "GET"}
