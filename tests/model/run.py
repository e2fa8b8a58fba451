"""Searches the model through all of its states, with the rules as the code keeps them and with one taken out.

    python -m tests.model.run [quick] [holds] [in_hand] [guards] [speed] [deep] [--stories]

Prints a table; exit status 1 when a run ends otherwise than it should. `steps`: how far the farthest state is from one
where the record tells the truth, in events, when nothing goes wrong any more. --stories adds counterexamples.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.model.explore import explore
from tests.model.rules import Rules

ALL = {"crash": 1, "zombie": 1, "net": 1, "roll": 1, "error": 1, "retention": 1, "act": 1}
#: A customer's creation; corrections and cancellations.
CUSTOMER = Rules(acts="c,z")
#: An identification; restarts and corrections.
IDENT = Rules(scenario="ident", acts="s,c")
#: Signing; consents, new terms, nudges and webhooks lost.
SIGN = Rules(scenario="sign", acts="g0,g1", first_docs=1)
#: Signing in steps as the code takes them; somebody signs elsewhere, and Iron answers what no step foresees.
STEPS = Rules(scenario="steps", acts="g0,g1", first_docs=1)
#: A job that Iron refuses until it is corrected.
REFUSED = CUSTOMER.but(refuses_revision_0=True, acts="c")

#: One fault in all, of whatever kind: minutes.
C1, I1 = CUSTOMER.only(1, **ALL), IDENT.only(1, **ALL, bad=1)
S1 = SIGN.only(1, crash=1, zombie=1, net=1, nudge=1, act=2, dash=1)
#: Generations: two faults of Iron and a third of any kind but a roll-back.
G = CUSTOMER.but(acts="c").only(3, crash=1, zombie=1, net=1, error=2, retention=1)
#: Two faults in all: hours.
C2, S2 = CUSTOMER.only(2, **ALL), SIGN.only(2, crash=1, zombie=1, net=1, nudge=1, act=2, dash=1)

Run = tuple[str, Rules, str]

QUICK: list[Run] = [
    ("customer, no fault", CUSTOMER.only(0, act=1), "holds"),
    ("customer, a crash or a lost answer", CUSTOMER.only(1, crash=1, net=1, act=1), "holds"),
    ("customer, a roll-back or a loss", CUSTOMER.but(acts="c").only(1, roll=1, retention=1), "holds"),
    ("identification, a sleeper, a crash or a lost answer", IDENT.only(1, crash=1, net=1, zombie=1, bad=1), "holds"),
    ("signing, nudges and webhooks lost", SIGN.only(1, nudge=1, act=1, dash=1), "holds"),
    ("odd answers, customer", CUSTOMER.only(2, odd=1, net=1, act=1), "holds"),
    ("odd answers, a job that is refused", REFUSED.only(1, odd=1, net=1, act=1), "holds"),
    ("odd answers, identification", IDENT.only(1, odd=1, dash=1, act=1), "holds"),
    ("odd answers, signing in steps", STEPS.only(1, odd=1, nudge=1, act=1, dash=1), "holds"),
    ("identification, not read first", IDENT.only(0, dash=1).but(read_first=False), "L1"),
    ("signing in steps, not read first", STEPS.only(0, act=1, dash=1).but(read_first=False), "L1"),
    ("one refusal is an answer", CUSTOMER.only(1, odd=1).but(two_strikes=False), "L1"),
    (
        "generations, without the settle time before their end",
        G.only(3, net=1, error=2, retention=1).but(settle_before_end=False),
        "S1",
    ),
    (
        "generations, without the wait for sleepers",
        G.only(3, crash=1, error=2, retention=1).but(wait_for_sleepers=False),
        "S1",
    ),
]
HOLDS: list[Run] = [
    ("customer", C1, "holds"),
    ("customer, revision 0 refused", C1.but(refuses_revision_0=True, acts="c"), "holds"),
    ("customer, another body is replayed, not 409", C1.but(other_body="replay", acts="c"), "holds"),
    ("customer, two jobs with one external id", C1.but(two_jobs=True, acts="c"), "holds"),
    ("customer, nudges lost and doubled", CUSTOMER.only(2, crash=1, zombie=1, net=1, nudge=2, act=1), "holds"),
    ("generations", G, "holds"),
    ("identification, 409", I1.but(acts="c"), "holds"),
    ("identification, supersede", I1.but(acts="c", pending="supersede"), "holds"),
    ("identification, dashboard", IDENT.only(1, dash=1, bad=1, act=1, crash=1, zombie=1, net=1), "holds"),
    (
        "identification, roll-back or loss, restart",
        IDENT.but(acts="s").only(1, roll=1, bad=1, act=1, retention=1),
        "holds",
    ),
    ("signing", S1, "holds"),
    ("signing, two documents", SIGN.but(first_docs=3).only(1, crash=1, zombie=1, net=1, act=2), "holds"),
    ("signing, roll-back", SIGN.only(1, zombie=1, net=1, roll=1, act=1, dash=1), "holds"),
    ("signing, the same document again", S1.but(docs_again=True), "holds"),
    ("odd answers, customer", CUSTOMER.only(2, odd=1, net=1, error=1, retention=1, act=1), "holds"),
    ("odd answers, identification", IDENT.only(1, odd=1, crash=1, zombie=1, net=1, bad=1, dash=1, act=1), "holds"),
    (
        "odd answers, signing in steps",
        STEPS.only(1, odd=1, crash=1, zombie=1, net=1, nudge=1, act=2, dash=1),
        "holds",
    ),
    (
        "odd answers, two documents in steps",
        STEPS.but(first_docs=3).only(2, odd=1, crash=1, net=1, nudge=1, act=2),
        "holds",
    ),
]
#: A rule taken out: what is violated then.
GUARDS: list[Run] = [
    ("fence, customer", C1.but(fence=False), "S"),
    ("due at the lease's end, customer", CUSTOMER.only(1, crash=1).but(due_at_lease_end=False), "L1"),
    ("acts wait for claims, customer", CUSTOMER.only(1, zombie=1, act=1).but(acts_wait_for_claims=False), "S6"),
    ("look first, customer", CUSTOMER.only(1, roll=1, net=1, retention=1).but(look_first=False), "S1"),
    ("look after the retention, customer", CUSTOMER.only(1, net=1, retention=1).but(look_after_retention=False), "S1"),
    ("in-flight check, identification", I1.but(in_flight_check=False), "S2"),
    ("settle time, generations", G.but(settle=False), "S1"),
    ("derived keys, customer", C1.but(derived_keys=False), "S1"),
    ("subject in the key, customer", C1.but(subject_in_key=False), "S1"),
    ("document in the key, signing", SIGN.but(first_docs=3).only(0, act=2).but(document_in_key=False), "L1"),
    ("occasions, signing", S1.but(docs_again=True, occasions=False), "L1"),
    ("only a fault that was repeated, generations", G.but(only_confirmed=False), "S1"),
    ("no generation beside a sleeper, generations", G.but(not_abandoned=False), "S1"),
    (
        "generations end with the retention",
        G.only(3, crash=1, net=1, error=2, retention=1, roll=1).but(generations_end=False),
        "S1",
    ),
    ("settle before generations end", G.but(settle_before_end=False), "S1"),
    ("wait for sleepers before generations end", G.but(wait_for_sleepers=False), "S1"),
    ("sweep, signing", S1.but(sweep=False), "L1"),
    ("wake, signing", SIGN.only(0, act=2).but(wake=False), "L1"),
    ("wake after the lease, signing", SIGN.only(1, zombie=1, act=2).but(wake_after_lease=False), "L1"),
    ("read first, identification", IDENT.only(0, dash=1).but(read_first=False), "L1"),
    ("read first, signing in steps", STEPS.only(0, act=1, dash=1).but(read_first=False), "L1"),
    ("two strikes, customer", CUSTOMER.only(1, odd=1).but(two_strikes=False), "L1"),
    ("a correction renews a refused key, customer", REFUSED.only(0, act=1).but(strikes_renew=False), "L1"),
    (
        "a lost claim's step before news, signing in steps",
        STEPS.only(2, crash=1, nudge=1, act=1).but(first_docs=3, lost_step_first=False),
        "L1",
    ),
    ("acts after a doubt, identification", IDENT.only(1, dash=1, crash=1, act=1).but(acts_after_doubt=False), "L1"),
]
#: Rules that safety and arrival do not need: they are for speed or load.
SPEED: list[Run] = [
    ("acts wait for doubt", C1.but(acts="c", acts_wait_for_doubt=False), "holds"),
    ("version in nudges", CUSTOMER.only(1, crash=1, zombie=1, net=1, nudge=1, act=1).but(version=False), "holds"),
    ("commit before send", C1.but(acts="c", commit_first=False), "holds"),
    ("own clock", C1.but(acts="c", own_clock=False), "holds"),
    ("byte-stable bodies", C1.but(acts="c", stable_bytes=False), "holds"),
    ("cap on generations", G.but(cap=False), "holds"),
    ("news before any step", STEPS.only(1, odd=1, nudge=1, act=1, dash=1).but(news_first=False), "holds"),
    ("patience on a 409", CUSTOMER.only(1, net=1, error=1, retention=1).but(patience_on_409=False), "L1"),
]
#: A commit that takes the next claim in the same call (ops/docs/decisions/0006).
IN_HAND: list[Run] = [
    ("customer, goes on in hand", C1.but(in_hand=True), "holds"),
    ("identification, goes on in hand", I1.but(acts="c", in_hand=True), "holds"),
    ("signing, goes on in hand", S1.but(in_hand=True), "holds"),
    ("generations, goes on in hand", G.but(in_hand=True), "holds"),
]
#: Larger budgets, and outside the bounds.
DEEP: list[Run] = [
    ("customer, two faults", C2, "holds"),
    ("signing, two faults", S2, "holds"),
    (
        "a worker sleeps past the retention",
        CUSTOMER.only(1, zombie=1, retention=1).but(sleeps_past_retention=True),
        "S1",
    ),
]
SUITES = {"quick": QUICK, "holds": HOLDS, "in_hand": IN_HAND, "guards": GUARDS, "speed": SPEED, "deep": DEEP}


def main(arguments: Sequence[str]) -> int:
    """Run the suites named, or all but the deep one, and print the table."""
    wrong = 0
    chosen = [name for name in arguments if name in SUITES] or [name for name in SUITES if name != "deep"]
    for suite in chosen:
        print(f"\n{suite:<62}{'states':>10}{'seconds':>9}{'steps':>6}  result", flush=True)
        for name, rules, wanted in SUITES[suite]:
            found = explore(rules)
            as_wanted = found.result.startswith(wanted)
            wrong += not as_wanted
            note = "" if as_wanted else f"   EXPECTED: {wanted}"
            print(
                f"{name:<62}{found.states:>10,}{found.seconds:>9.0f}{found.steps or '':>6}  {found.result}{note}",
                flush=True,
            )
            if not as_wanted or "--stories" in arguments:
                for story in found.stories.values():
                    print("\n".join(f"    {line}" for line in story))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
