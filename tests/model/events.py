"""Everything that can happen next in a state of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.model.rules import (
    CHECKED,
    CLAIMED,
    COMMITTED,
    EARLY,
    FAIR,
    FAULT,
    HEARD,
    IDLE,
    KNOWS,
    NOBODY,
    SENT,
    SIGNING,
    Iron,
    Rec,
    Rules,
    State,
    Worker,
    act_on,
    answer_of_read,
    canonical,
    claim,
    commit,
    decide,
    execute,
    key_and_body,
    newest,
    spent,
    submitted,
    with_worker,
)

#: What happened, fair or a fault, the next state or what is violated, and whether the workers were mirrored.
Step = tuple[str, int, Any, bool]
Add = Callable[..., None]


def successors(s: State, o: Rules) -> list[Step]:
    """List what can happen in a state."""
    out: list[Step] = []

    def add(label: str, kind: int, after: State, bad: str = "") -> None:
        out.append((label, kind, bad, False) if bad else (label, kind, *canonical(after)))

    upstream_and_pulse(s, o, add)
    for i in (0, 1):
        if not (i == 1 and s.workers[1] == s.workers[0] == NOBODY):
            worker_moves(o, s, i, add)
    broker(s, add)
    lease_ends(s, add)
    time_passes(s, o, add)
    ledger_forgets(s, add)
    wire(s, o, add)
    people(s, o, add)
    iron_moves(s, o, add)
    return out


def upstream_and_pulse(s: State, o: Rules, add: Add) -> None:
    """Jobs are submitted, again after a loss; the pulse sends what is due."""
    rec = s.rec
    if rec is None:
        for job in (0, 1) if o.two_jobs else (0,):
            add(f"upstream submits job {job}", FAIR, s._replace(rec=submitted(o, job, again=True), nudges=(1, 0)))
    elif rec.due == 1 and not rec.lease and not s.nudges[0] and rec.ph != "Z":
        add("the record is due, the pulse sends a nudge", FAIR, s._replace(nudges=(1, s.nudges[1])))


def broker(s: State, add: Add) -> None:
    """Nudges are lost and doubled."""
    n, old = s.nudges
    budget = spent(s, "nudge")
    if budget and n:
        add("a nudge is lost", FAULT, s._replace(nudges=(n - 1, old), budget=budget))
        if n < 2:
            add("a nudge is doubled", FAULT, s._replace(nudges=(n + 1, old), budget=budget))


def lease_ends(s: State, add: Add) -> None:
    """The lease ends by the server's clock: behind a worker that died, or one that sleeps."""
    rec = s.rec
    if not rec or not rec.lease:
        return
    holder = s.workers[rec.own] if rec.own in (0, 1) else NOBODY
    alive = holder.at in (CLAIMED, CHECKED, SENT, KNOWS, EARLY)
    after = s._replace(rec=rec._replace(lease=0))
    if not alive:
        add("the lease ends", FAIR, after)
    elif budget := spent(s, "zombie"):
        workers = with_worker(s.workers, rec.own, holder._replace(late=1))
        label = f"the lease ends while worker {'AB'[rec.own]} sleeps"
        add(label, FAULT, after._replace(workers=workers, budget=budget))


def shown(iron: Iron) -> Iron:
    """Let look-ups show everything."""
    return iron._replace(
        customers=tuple((one[0], 0, one[2]) for one in iron.customers),
        idents=tuple((one[0], 0, *one[2:]) for one in iron.idents),
    )


def time_passes(s: State, o: Rules, add: Add) -> None:
    """Hidden things become visible, the settle time passes, the retention passes its 80 % and ends."""
    rec, iron = s.rec, s.iron
    if shown(iron) != iron:
        add("what was created becomes visible to look-ups", FAIR, s._replace(iron=shown(iron)))
    elif rec and rec.settle == 1 and not iron.wire and all(w.at != SENT for w in s.workers):
        add("the settle time passes", FAIR, s._replace(rec=rec._replace(settle=2)))
    if not o.budget.get("retention"):
        return
    if rec and rec.age == 1:
        older = [one and one._replace(age=2 if one.age == 1 else one.age) for one in (rec, s.durable)]
        add("80 % of the retention are over", FAIR, s._replace(rec=older[0], durable=older[1]))
    resting = all(w.at in (IDLE, COMMITTED) for w in s.workers)
    counting = iron.store or (rec and rec.age in (1, 2))
    if not counting or iron.wire or not (resting or o.sleeps_past_retention):
        return

    def over(one: Rec | None) -> Rec | None:
        return one and one._replace(age=3 if one.age else 0, none_yet=0)

    after = s._replace(iron=shown(iron)._replace(store=(), forgotten=()))
    # No roll-back reaches behind the retention, so what is durable is what is.
    add("Iron's retention ends", FAIR, after._replace(rec=over(rec), durable=s.durable and over(rec)))
    if iron.forgotten and shown(iron) == iron:
        # Of errors only: what took effect is shown by look-ups by then, and found by the look that comes first.
        store = tuple(one for one in iron.store if one[0] not in iron.forgotten or one[2][0] == "ok")
        after = s._replace(iron=iron._replace(store=store, forgotten=()), rec=rec and rec._replace(none_yet=0))
        add("Iron's retention of a call that the ledger forgot ends", FAIR, after)


def ledger_forgets(s: State, add: Add) -> None:
    """The ledger rolls back, or is lost altogether."""
    budget = spent(s, "roll")
    if not budget:
        return
    if s.rec and s.rec != s.durable:
        add("(the ledger is durable up to here)", FAULT, s._replace(durable=s.rec))
    forgetting = s._replace(iron=s.iron._replace(forgotten=tuple(key for key, _, _ in s.iron.store)), budget=budget)
    if s.durable and s.durable != s.rec:
        rolled = s._replace(budget=budget) if s.durable.age else forgetting
        add("the ledger rolls back to the durable state", FAULT, rolled._replace(rec=s.durable))
    if s.rec:
        lost = forgetting._replace(rec=None, durable=None, nudges=(0, 0))
        add("the ledger is lost altogether", FAULT, lost)


def wire(s: State, o: Rules, add: Add) -> None:
    """A request whose sender gave up or died arrives late, is at work for long, or is lost."""
    iron = s.iron
    for j, (key, body, label) in enumerate(iron.wire):
        rest = iron._replace(wire=iron.wire[:j] + iron.wire[j + 1 :])
        begun = any(known == key and answer[0] == "busy" for known, _, answer in rest.store)
        if begun:
            at_work = (key, "busy")
            rest = rest._replace(store=tuple(one for one in rest.store if (one[0], one[2][0]) != at_work))
        after, _, bad = execute(o, rest, key, body, label)
        add("a delayed request reaches Iron", FAIR, s._replace(iron=after), bad)
        if begun:
            continue
        add("a delayed request is lost on the wire", FAIR, s._replace(iron=rest))
        if o.derived_keys and all(known != key for known, _, _ in rest.store):
            store = tuple(sorted((*iron.store, (key, body, ("busy",)))))
            add("Iron begins to work on a delayed request", FAIR, s._replace(iron=iron._replace(store=store)))


# --- workers ---------------------------------------------------------------------------------------------------------


def worker_moves(o: Rules, s: State, i: int, add: Add) -> None:
    """A worker goes on from where it is, or dies there."""
    w = s.workers[i]
    if w.at == IDLE:
        takes_a_nudge(o, s, i, add)
        return
    dies(s, i, add)
    if w.at == CLAIMED:
        if w.late and o.own_clock:
            gone = s._replace(workers=with_worker(s.workers, i, NOBODY))
            add(f"worker {'AB'[i]} sees its lease is over and gives up", FAIR, gone)
        else:
            checked = s._replace(workers=with_worker(s.workers, i, w._replace(at=CHECKED)))
            add(f"worker {'AB'[i]} is about to call {w.op}", FAIR, checked)
    elif w.at == CHECKED:
        calls(o, s, i, add)
    elif w.at == SENT:
        is_answered(o, s, i, add)
    elif w.at == COMMITTED:
        sent = s._replace(nudges=(min(2, s.nudges[0] + 1), s.nudges[1]), workers=with_worker(s.workers, i, NOBODY))
        add(f"worker {'AB'[i]} sends the next nudge, acknowledges", FAIR, sent)
    else:
        concludes(o, s, i, add)


def takes_a_nudge(o: Rules, s: State, i: int, add: Add) -> None:
    """An idle worker takes a nudge and claims, or drops it."""
    rec, (n, old) = s.rec, s.nudges
    for current in (True,) if o.version else (True, False):
        if not (n if current else old):
            continue
        taken = s._replace(nudges=(n - 1, old) if current else (n, old - 1))
        if rec is None or rec.lease or rec.ph == "Z":
            add(f"worker {'AB'[i]} drops a nudge", FAIR, taken)
        else:
            add(f"worker {'AB'[i]} claims", FAIR, claim(o, taken, i))


def dies(s: State, i: int, add: Add) -> None:
    """A worker dies. Its request may stay on the wire; a nudge in its hand is lost."""
    w, iron = s.workers[i], s.iron
    budget = spent(s, "crash")
    if not budget:
        return
    dead = s._replace(workers=with_worker(s.workers, i, NOBODY), budget=budget)
    add(f"worker {'AB'[i]} dies", FAULT, dead)
    if w.at == SENT and len(iron.wire) < 2:
        late = iron._replace(wire=tuple(sorted((*iron.wire, w.res))))
        add(f"worker {'AB'[i]} dies, its request is still on the wire", FAULT, dead._replace(iron=late))


def calls(o: Rules, s: State, i: int, add: Add) -> None:
    """A worker sends its request, or reads."""
    w, rec = s.workers[i], s.rec
    if w.op[0] in "PNG":
        key, body, label = key_and_body(o, w.view, w.op)
        if not o.stable_bytes:
            body = (body[0], 10 + sum(known == key for known, _, _ in s.iron.store))
        sent = w._replace(at=SENT, res=(key, body, label))
        add(f"worker {'AB'[i]} sends {w.op}, key {key}", FAIR, s._replace(workers=with_worker(s.workers, i, sent)))
        return
    if w.op in ("L", "I", "Q") and (budget := spent(s, "odd")):
        odd = s._replace(workers=with_worker(s.workers, i, w._replace(at=KNOWS, res=("odd",))), budget=budget)
        add(f"Iron answers worker {'AB'[i]} what nobody foresees ({w.op})", FAULT, odd)
    answer = answer_of_read(o, s, w.op)
    read = (
        answer[1] if w.op == "I" and answer[0] == "list" and o.scenario in SIGNING and rec and rec.own == i else s.read
    )
    knows = w._replace(at=KNOWS, res=answer)
    label = f"worker {'AB'[i]} reads ({w.op}): {answer}"
    add(label, FAIR, s._replace(workers=with_worker(s.workers, i, knows), read=read))


def is_answered(o: Rules, s: State, i: int, add: Add) -> None:
    """Iron answers a worker, or executes and the answer is lost, or the request is late, or Iron faults."""
    w, iron = s.workers[i], s.iron
    key, body, label = w.res

    def knowing(answer: tuple[Any, ...]) -> tuple[Worker, Worker]:
        return with_worker(s.workers, i, w._replace(at=KNOWS, res=answer))

    after, answer, bad = execute(o, iron, key, body, label)
    if w.op == "N" and answer[0] == "ok" and answer[1] <= w.view.iid:
        bad = "S6: a new round is answered with an identification that had ended already"
    add(f"Iron answers worker {'AB'[i]}: {answer}", FAIR, s._replace(iron=after, workers=knowing(answer)), bad)
    if budget := spent(s, "net"):
        unknown = s._replace(workers=knowing(("unknown",)), budget=budget)
        add(f"Iron executes, but worker {'AB'[i]} gets no answer", FAULT, unknown._replace(iron=after), bad)
        if len(iron.wire) < 2:
            late = iron._replace(wire=tuple(sorted((*iron.wire, w.res))))
            add(f"worker {'AB'[i]} times out, its request is still on the wire", FAULT, unknown._replace(iron=late))
    if budget := spent(s, "odd"):
        for answer in (("odd",), ("400",)) if w.op in ("P", "N") else (("odd",),):
            odd = s._replace(workers=knowing(answer), budget=budget)
            add(f"Iron answers worker {'AB'[i]} what nobody foresees: {answer}", FAULT, odd)
    budget = spent(s, "error")
    if budget and all(known != key for known, _, _ in iron.store):
        for fail in ("500", "500 not stored", "500 after the effect"):
            after, answer, bad = execute(o, iron, key, body, label, fail)
            failed = s._replace(iron=after, workers=knowing(answer), budget=budget)
            add(f"Iron answers worker {'AB'[i]}: {fail}", FAULT, failed, bad)


def concludes(o: Rules, s: State, i: int, add: Add) -> None:
    """A worker that knows an answer makes its next call, or commits."""
    w = s.workers[i]
    what = decide(o, w)
    if what[0] == "op":
        going_on = w._replace(at=CLAIMED, op=what[1], res=(), view=what[2])
        add(f"worker {'AB'[i]} goes on to {what[1]}", FAIR, s._replace(workers=with_worker(s.workers, i, going_on)))
    elif not o.commit_first and what[2] and w.at == KNOWS:
        early = s._replace(
            nudges=(min(2, s.nudges[0] + 1), s.nudges[1]), workers=with_worker(s.workers, i, w._replace(at=EARLY))
        )
        add(f"worker {'AB'[i]} sends the next nudge before its commit", FAIR, early)
    else:
        commits(o, s, i, what[1], what[2], add)


def commits(o: Rules, s: State, i: int, new: Rec, now: int, add: Add) -> None:
    """A worker's commit is accepted or refused."""
    after, accepted, bad = commit(o, s, i, new, now)
    if not accepted:
        refused = s._replace(workers=with_worker(s.workers, i, NOBODY))
        add(f"worker {'AB'[i]}'s commit is refused", FAIR, refused)
        return
    early = s.workers[i].at == EARLY
    if not early:
        after = after._replace(nudges=(0, 0 if o.version else min(2, sum(after.nudges))))
    if now and o.in_hand:
        add(f"worker {'AB'[i]} commits phase {new.ph} and goes on with it in hand", FAIR, claim(o, after, i), bad)
        return
    rests = NOBODY._replace(at=COMMITTED) if now and not early else NOBODY
    after = after._replace(workers=with_worker(after.workers, i, rests))
    add(f"worker {'AB'[i]} commits phase {new.ph}", FAIR, after, bad)


# --- people and Iron -------------------------------------------------------------------------------------------------


def people(s: State, o: Rules, add: Add) -> None:
    """A person does something; it is stored, and wakes the record."""
    rec, budget = s.rec, spent(s, "act")
    if not budget or rec is None or rec.ph == "Z" or len(rec.acts) > 1:
        return
    words = {"c": "corrects the input", "z": "cancels", "s": "asks for a restart"}
    for act in o.acts.split(","):
        if act[0] == "g" and o.scenario == "steps" and not rec.docs & ~rec.done & (1 << int(act[1])):
            continue
        if (act[0] == "g" and rec.ph != "S") or (act == "s" and rec.ph not in "DH"):
            continue
        later = woken(o, rec._replace(acts=(*rec.acts, act)), 1)
        stored = later if o.acts_wait_for_claims else act_on(o, rec, act)
        add(f"a person {words.get(act, f'consents ({act})')}", FAULT, s._replace(rec=stored, budget=budget))


def iron_moves(s: State, o: Rules, add: Add) -> None:
    """Iron decides, customers act there, the dashboard interferes; a webhook tells of it."""
    iron, rec = s.iron, s.rec
    n = newest(iron, all_visible=True)

    def move(label: str, kind: int, after: Iron, budget: tuple[int, ...] | None = None) -> None:
        told = after._replace(hook=int(o.scenario in SIGNING))
        add(label, kind, s._replace(iron=told, budget=budget or s.budget))

    if n >= 0 and iron.idents[n][2] == "Pn":
        origin, hidden, _, follows = iron.idents[n]

        def ending(status: str) -> Iron:
            ended = (origin, hidden, status, follows)
            return iron._replace(idents=(*iron.idents[:n], ended, *iron.idents[n + 1 :]))

        move("Iron approves the identification", FAIR, ending("Ap"))
        if budget := spent(s, "bad"):
            move("Iron declines the identification", FAULT, ending("De"), budget)
            move("the identification expires", FAULT, ending("Ex"), budget)
    differs = rec and rec.due == 2 and not rec.lease
    if o.scenario == "ident" and o.sweep and rec and differs and rec.iid != n:
        add("the sweep finds a difference", FAIR, s._replace(rec=rec._replace(due=1)))
    budget = spent(s, "dash")
    if (
        o.scenario == "ident"
        and budget
        and iron.status == "IR"
        and len(iron.idents) < 3
        and (n < 0 or iron.idents[n][2] != "Pn")
    ):
        made = iron._replace(idents=(*iron.idents, ("dash", 1, "Pn", 9)))
        move("the dashboard creates an identification", FAULT, made, budget)
        move("the dashboard makes the customer Active", FAULT, iron._replace(status="AC"), budget)
    if o.scenario in SIGNING:
        customer_moves(s, o, move, budget)
        hooks(s, o, add)
        if o.sweep and rec and differs and iron.status != "AC":
            add("the sweep finds a difference", FAIR, s._replace(rec=rec._replace(due=1)))


def customer_moves(s: State, o: Rules, move: Callable[..., None], budget: tuple[int, ...] | None) -> None:
    """Iron moves a customer who signs."""
    iron = s.iron
    if iron.status == "SR" and not iron.required:
        move("Iron makes the customer Active", FAIR, iron._replace(status="AC"))
    if iron.status == "SU":
        move("Iron lifts the suspension", FAIR, iron._replace(status="AC"))
    if budget and o.scenario == "steps" and iron.required:
        move("somebody signs the documents elsewhere", FAULT, iron._replace(required=0), budget)
    if budget and iron.status == "AC":
        move("Iron suspends the customer", FAULT, iron._replace(status="SU"), budget)
        required = 1 if o.docs_again else 2
        move("Iron asks for new terms", FAULT, iron._replace(status="SR", required=required), budget)


def woken(o: Rules, rec: Rec, what: int) -> Rec:
    """Make a record due; while a claim may yet commit, its commit will."""
    may_commit = rec.own >= 0 if o.wake_after_lease else bool(rec.lease)
    return rec._replace(woken=(rec.woken | what) if may_commit else 0, due=rec.due if rec.lease else 1)


def heard(o: Rules, rec: Rec) -> Rec:
    """Make a record due for a webhook: the customer is read before any step, but not before that of a lost claim."""
    if o.scenario != "steps":
        return woken(o, rec, 1)
    lost = rec.own >= 0 and o.lost_step_first
    first = o.news_first and not rec.lease and not lost
    return woken(o, rec._replace(step="r") if first else rec, HEARD)


def hooks(s: State, o: Rules, add: Add) -> None:
    """A webhook arrives, or never does."""
    rec, iron = s.rec, s.iron
    if not iron.hook:
        if o.scenario == "steps" and (budget := spent(s, "nudge")):
            add("a webhook comes again", FAULT, s._replace(iron=iron._replace(hook=1), budget=budget))
        return
    told = iron._replace(hook=0)
    add("a webhook arrives", FAIR, s._replace(rec=rec and heard(o, rec), iron=told))
    if budget := spent(s, "nudge"):
        add("a webhook is lost", FAULT, s._replace(iron=told, budget=budget))
