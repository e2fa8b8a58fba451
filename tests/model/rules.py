"""The protocol as the code keeps it, small enough to be searched to its end (ops/docs/decisions/0012).

One ledger record, two workers, the pulse, a broker that is only a bag of nudges, Iron with its idempotency store, and
people who act. Time is a set of events: a lease ends, a due time comes, a settle time passes, 80 % of the retention are
over, then all of it. `Rules` says which rules are in force, so that one can be taken out.

Nothing here runs the program. It asks whether its rules, kept exactly, are enough; tests/integration/test_findings.py
and tests/chaos ask whether the program keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple


class Rec(NamedTuple):
    """The ledger's record. A state of the ledger is this, or None: lost, or not yet submitted."""

    #: R received, C customer known, W waits on Iron or customer, D declined, S signings, A active, U suspended,
    #: H on hold (operator), F failed (refused), Z cancelled.
    ph: str
    #: Revision of the input, and round of identification (or occasion of signing).
    rev: int = 0
    rnd: int = 0
    # The effect in hand, see pipelines.model.Effect.
    gen: int = 0
    #: Generations taken by ourselves, which are capped.
    renewals: int = 0
    #: Age of the key's first call: 0 never called, 1 young, 2 past 80 % of the retention, 3 past all of it.
    age: int = 0
    #: A call was claimed whose outcome no commit has told.
    doubt: int = 0
    #: The next attempt looks before it calls: 1 nothing is known of any call yet, 2 Iron answered 409.
    look: int = 1
    #: Settle time since the last call: 0 no call known, 1 running, 2 passed.
    settle: int = 0
    #: Iron's last answer was a fault; the same fault came again after the settle time.
    error: int = 0
    confirmed: int = 0
    #: A claim of this key ended without a commit: its worker may be asleep, not dead.
    abandoned: int = 0
    #: Iron said with the customer's creation that there is no identification.
    none_yet: int = 0
    #: The document whose signature is in doubt, from 1; 3: any.
    doubtful: int = 0
    # The claim.
    lease: int = 0
    #: Worker whose claim is the latest, 2 one that has another claim by now, -1 none: the fence, as far as needed here.
    own: int = -1
    #: 0 none, 1 a finite due time, 2 far away (a year: only the sweep or a webhook comes sooner).
    due: int = 1
    #: A webhook came, or an act was stored, while a claim was in hand: 1; in steps, 2 for a webhook.
    woken: int = 0
    #: Acts of people, stored and not yet applied.
    acts: tuple[str, ...] = ()
    #: Iron's customer and the newest identification we know, or -1.
    cid: int = -1
    iid: int = -1
    #: Documents consented to, and documents signed (bit masks).
    cons: int = 0
    done: int = 0
    #: Which upstream job made it: two jobs may share one external id.
    job: int = 0
    #: What comes next, where the phase alone does not say it: r read the customer, f fetch the documents, s submit.
    step: str = ""
    #: The documents that Iron listed last (bit mask).
    docs: int = 0
    #: Refusals of the details in a row.
    strikes: int = 0


class Worker(NamedTuple):
    """A worker: where it is in its step (IDLE to REPORT), the call at hand, its view of the record, what it knows."""

    at: int = 0
    op: str = ""
    view: Any = ()
    res: tuple[Any, ...] = ()
    #: Its lease ended while it slept, by its own clock too.
    late: int = 0
    #: Acts that its claim applies.
    applies: tuple[str, ...] = ()
    #: Acts that its claim saw and that have to wait for a call in doubt.
    waiting: tuple[str, ...] = ()


IDLE, CLAIMED, CHECKED, SENT, KNOWS, COMMITTED, EARLY = range(7)
NOBODY = Worker()


class Iron(NamedTuple):
    """Iron: customers, identifications, stored answers by key, requests on the wire, signatures."""

    #: (origin, hidden from look-ups, body) each.
    customers: tuple[Any, ...] = ()
    #: (origin, hidden, status, which identification it follows) each; Pn pending, Ap approved, De declined, Ex expired.
    idents: tuple[Any, ...] = ()
    #: (key, body, answer) each.
    store: tuple[Any, ...] = ()
    #: (key, body, label) each: sent by a worker that has given up or died, and not arrived yet.
    wire: tuple[Any, ...] = ()
    #: IR identification required, SR signings required, AC active, SU suspended.
    status: str = "IR"
    #: How often each document was signed, and which are required (bit mask).
    signed: tuple[int, int] = (0, 0)
    required: int = 0
    #: A webhook is on its way.
    hook: int = 0
    #: Keys whose calls were made before the ledger forgot: their retention may end at any time.
    forgotten: tuple[Any, ...] = ()


class State(NamedTuple):
    """Everything. `durable`: what a roll-back restores; `nudges`: for the record's version, and for older ones."""

    rec: Rec | None
    durable: Rec | None
    workers: tuple[Worker, Worker]
    nudges: tuple[int, int]
    iron: Iron
    budget: tuple[int, ...]
    #: What the latest claimer has read of the customer last.
    read: str = ""


#: Events that cost budget. The faults among them share a total beside.
KINDS = ("crash", "zombie", "net", "nudge", "roll", "error", "odd", "retention", "act", "dash", "bad", "total")
FAULTS = frozenset({"crash", "zombie", "net", "nudge", "roll", "error", "odd"})
FAIR, FAULT = 0, 1
CAP, ROUNDS = 1, 3
#: Calls that change something: create customer, create identification, sign document 0 or 1.
CREATES = {"customer": "P", "ident": "N", "sign": "G"}
BEGIN = {"customer": "R", "ident": "C", "sign": "S"}
#: Scenarios of signing: the customer's status, and in steps.
SIGNING = frozenset({"sign", "steps"})
#: Bit of `woken`: a webhook came.
HEARD = 2
#: Refusals of a job's details in a row that are Iron's answer to the job.
STRIKES = 2


@dataclass(frozen=True)
class Rules:
    """The rules in force. Defaults: as the code keeps them; each can be taken out."""

    scenario: str = "customer"
    # Safety and arrival.
    fence: bool = True
    due_at_lease_end: bool = True
    acts_wait_for_claims: bool = True
    acts_wait_for_doubt: bool = True
    look_first: bool = True
    look_after_retention: bool = True
    in_flight_check: bool = True
    settle: bool = True
    derived_keys: bool = True
    #: The key names what must be unique; the revision of the input is no part of it.
    subject_in_key: bool = True
    document_in_key: bool = True
    occasions: bool = True
    #: On a 409 that shows nothing: the same key again later. Without: an operator.
    patience_on_409: bool = True
    #: A new generation only for a fault that came again after the settle time; not while a worker may sleep.
    only_confirmed: bool = True
    not_abandoned: bool = True
    #: After 80 % of the retention begin at generation 0 again.
    generations_end: bool = True
    #: Before that, settle after generation 1's last call; where its claim ended without a commit, until nobody who had
    #: it in hand can still be asleep.
    settle_before_end: bool = True
    wait_for_sleepers: bool = True
    #: No generation follows until all of the retention is over.
    no_renewal_late: bool = True
    sweep: bool = True
    #: Whatever wakes a record tells its commit so, also where the lease is over and the commit comes late.
    wake: bool = True
    wake_after_lease: bool = True
    #: Acts that waited for a call in doubt are applied at once when it is certain.
    acts_after_doubt: bool = True
    #: After an answer that a step does not foresee the customer is read, and the table decides.
    read_first: bool = True
    #: A refusal is Iron's answer to a job only when it came twice in a row.
    two_strikes: bool = True
    #: A correction takes the next generation of the key already after the first refusal.
    strikes_renew: bool = True
    #: News has the customer read before any step, but not before one whose claim was lost.
    news_first: bool = True
    lost_step_first: bool = True
    # Speed or load.
    version: bool = True
    commit_first: bool = True
    own_clock: bool = True
    stable_bytes: bool = True
    cap: bool = True
    #: A commit that has a next step takes it in hand in the same call.
    in_hand: bool = False
    # Iron, and what people and other systems do.
    pending: str = "409"
    other_body: str = "409"
    refuses_revision_0: bool = False
    sleeps_past_retention: bool = False
    docs_again: bool = False
    first_docs: int = 3
    two_jobs: bool = False
    acts: str = "c"
    budget: dict[str, int] = field(default_factory=dict)

    def but(self, **changes: Any) -> Rules:
        """Give the same rules with some changed."""
        return replace(self, **changes)

    def only(self, total: int = 1, **budget: int) -> Rules:
        """Give the same rules with this budget: so many faults in all."""
        return replace(self, budget=dict(budget, total=total))


def submitted(o: Rules, job: int = 0, *, again: bool = False) -> Rec:
    """Make the record of a submitted job. `again`: after a loss, when nobody knows what was before."""
    match o.scenario:
        case "customer":
            return Rec("R", job=job)
        case "ident":
            return Rec("C", none_yet=int(not again), cid=0, job=job)
        case "steps":
            return Rec("W", cid=0, iid=0 if again else -1, job=job, step="r")
        case _:
            return Rec("W", cid=0, iid=0 if again else -1, job=job)


def start(o: Rules) -> State:
    """Give the first state: the job is submitted, its nudge is sent."""
    us = (("us", 0, (0, 0)),)
    signs = Iron(us, (("us", 0, "Ap", -1),), status="SR", required=o.first_docs)
    iron = {"customer": Iron(), "ident": Iron(customers=us), "sign": signs, "steps": signs}[o.scenario]
    rec = submitted(o)
    budget = tuple(o.budget.get(kind, 0) for kind in KINDS)
    return State(rec, rec if o.budget.get("roll") else None, (NOBODY, NOBODY), (1, 0), iron, budget)


def spent(s: State, kind: str) -> tuple[int, ...] | None:
    """Give the budget after one event of this kind, or None when there is none left."""
    left = list(s.budget)
    at = KINDS.index(kind)
    if not left[at] or (kind in FAULTS and not left[-1]):
        return None
    left[at] -= 1
    if kind in FAULTS:
        left[-1] -= 1
    return tuple(left)


def view_of(rec: Rec) -> Rec:
    """Give what a claim tells its worker."""
    return rec._replace(lease=0, own=-1, due=1, woken=0, acts=())


def with_worker(workers: tuple[Worker, Worker], i: int, worker: Worker) -> tuple[Worker, Worker]:
    """Put a worker into its place."""
    return (worker, workers[1]) if i == 0 else (workers[0], worker)


def canonical(s: State) -> tuple[State, bool]:
    """Keep one of the two mirror images, since the workers are alike. Answers also whether it was mirrored."""
    a, b = s.workers
    if a <= b:
        return s, False
    flip = {0: 1, 1: 0, 2: 2, -1: -1}
    rec = s.rec and s.rec._replace(own=flip[s.rec.own])
    durable = s.durable and s.durable._replace(own=flip[s.durable.own])
    return s._replace(workers=(b, a), rec=rec, durable=durable), True


# --- Iron ----------------------------------------------------------------------------------------------------------


def key_and_body(o: Rules, v: Rec, op: str) -> tuple[tuple[Any, ...], tuple[Any, ...], int]:
    """Give the idempotency key of a call, its body, and what it is meant to follow."""
    if op == "P":
        key = ("P", v.gen) if o.subject_in_key else ("P", v.job, v.rev, v.gen)
        return key, (v.rev, v.job), 0
    if op == "N":
        key = ("N", v.iid, v.gen) if o.subject_in_key else ("N", v.rnd, v.rev, v.gen)
        return key, (v.rev, 0), v.iid
    document = int(op[1])
    key = ("G", document, v.rnd) if o.document_in_key else ("G", v.rnd)
    return key, (document, 0), v.rnd


def newest(iron: Iron, *, all_visible: bool = False) -> int:
    """Give the newest identification that look-ups show, or that there is; -1: none."""
    for i in range(len(iron.idents) - 1, -1, -1):
        if all_visible or not iron.idents[i][1]:
            return i
    return -1


def execute(
    o: Rules, iron: Iron, key: tuple[Any, ...], body: tuple[Any, ...], label: int, fail: str = ""
) -> tuple[Iron, tuple[Any, ...], str]:
    """Let Iron execute one POST. Answers Iron, its answer, and what is violated."""
    if o.derived_keys:
        for known, its_body, answer in iron.store:
            if known == key and (its_body == body or o.other_body != "execute"):
                refused = answer[0] == "busy" or (its_body != body and o.other_body == "409")
                return iron, ("409",) if refused else answer, ""

    def kept(after: Iron, answer: tuple[Any, ...]) -> Iron:
        if not o.derived_keys:
            return after
        return after._replace(store=tuple(sorted((*after.store, (key, body, answer)))))

    if fail == "500":
        return kept(iron, ("500",)), ("500",), ""
    if fail == "500 not stored":
        return iron, ("500",), ""
    if key[0] == "P" and o.refuses_revision_0 and body[0] == 0:
        return kept(iron, ("400",)), ("400",), ""
    in_flight = newest(iron, all_visible=True)
    if key[0] == "N" and in_flight >= 0 and iron.idents[in_flight][2] == "Pn" and o.pending == "409":
        return kept(iron, ("409",)), ("409",), ""
    if moved_on(o, iron, key):
        return kept(iron, ("odd",)), ("odd",), ""
    after, answer, bad = _effect(iron, key, body, label)
    if fail == "500 after the effect":
        return kept(after, ("500",)), ("500",), bad
    return kept(after, answer), answer, bad


def moved_on(o: Rules, iron: Iron, key: tuple[Any, ...]) -> bool:
    """Say whether a customer whom somebody else took care of gets no answer that the operation foresees."""
    if key[0] == "N":
        return iron.status != "IR"
    return o.scenario == "steps" and key[0] == "G" and not iron.required & (1 << key[1]) and not iron.signed[key[1]]


def _effect(iron: Iron, key: tuple[Any, ...], body: tuple[Any, ...], label: int) -> tuple[Iron, tuple[Any, ...], str]:
    """Let the effect of a request happen."""
    if key[0] == "P":
        customers = (*iron.customers, ("us", 1, body))
        twice = sum(one[0] == "us" for one in customers) > 1
        bad = "S1: a second customer on Iron" if twice else ""
        return iron._replace(customers=customers), ("ok", len(customers) - 1), bad
    if key[0] == "N":
        n = newest(iron, all_visible=True)
        bad = ""
        if n >= 0 and iron.idents[n][2] == "Pn" and iron.idents[n][0] == "us":
            bad = "S2: an identification created while our own newest one is in flight"
        elif any(one[0] == "us" and one[3] == label for one in iron.idents):
            bad = "S2: two identifications of one round"
        idents = (*iron.idents, ("us", 1, "Pn", label))
        return iron._replace(idents=idents), ("ok", len(idents) - 1), bad
    document = body[0]
    bad = "" if iron.required & (1 << document) else "S3: a document signed twice"
    signed = tuple(count + (i == document) for i, count in enumerate(iron.signed))
    return iron._replace(signed=signed, required=iron.required & ~(1 << document)), ("ok", document), bad


# --- the steps: what a worker begins with, and what follows from an answer -------------------------------------------


def creating(o: Rules, v: Rec) -> bool:
    """Say whether the record's step creates something."""
    return o.scenario in ("customer", "ident") and v.ph == BEGIN[o.scenario] and v.step != "r"


def first_call(o: Rules, v: Rec) -> str:
    """Give the step's first call: a look (L, I), or at once the operation (P, N). See Attempt.perform."""
    if o.scenario == "customer" and v.ph != "R":
        return "none"
    if o.scenario == "steps":
        return "I" if v.step == "r" else "Q"
    if not creating(o, v):
        return "I"
    look, create = ("L", "P") if o.scenario == "customer" else ("I", "N")
    if o.scenario == "ident" and not o.in_flight_check:
        return create
    settled_fault = v.error and v.settle == 2
    first = v.look == 1 and o.look_first and not (v.none_yet and not v.abandoned)
    return look if first or v.look == 2 or settled_fault or (v.age >= 2 and o.look_after_retention) else create


def answer_of_read(o: Rules, s: State, op: str) -> tuple[Any, ...]:
    """Give what a GET tells: hidden things are there but not shown yet."""
    iron = s.iron
    if op == "L":
        visible = [i for i, one in enumerate(iron.customers) if not one[1]]
        return ("found", visible[0]) if visible else ("none",)
    if op == "Q" and o.scenario == "steps" and (iron.status != "SR" or not iron.required):
        return ("odd",)  # 409, 404 or an empty list, as Iron likes
    if op == "Q":
        return ("required", iron.required)
    n = newest(iron)
    return ("list", iron.status, n, iron.idents[n][2] if n >= 0 else "")


def quiet(v: Rec) -> Rec:
    """Drop the effect: its outcome is certain."""
    return v._replace(
        gen=0, renewals=0, age=0, doubt=0, look=1, settle=0, error=0, confirmed=0, abandoned=0, doubtful=0, strikes=0
    )  # fmt: skip


def adopt(v: Rec, n: int, status: str) -> tuple[Any, ...]:
    """Decide by the table for the newest identification."""
    v = quiet(v)._replace(iid=n, none_yet=0)
    if status == "Ex":
        return (
            ("commit", v._replace(ph="H"), 0)
            if v.rnd + 1 >= ROUNDS
            else ("commit", v._replace(ph="C", rnd=v.rnd + 1), 1)
        )
    phase, due = {"Pn": ("W", 1), "Ap": ("A", 2), "De": ("D", 1)}[status]
    return "commit", v._replace(ph=phase, due=due), 0


def nothing_found(o: Rules, v: Rec) -> tuple[Any, ...]:
    """Go on after a look that found nothing: begin again, take a new generation, or call."""
    call = CREATES[o.scenario]
    if v.age >= 2 and o.look_after_retention:
        if v.gen and v.abandoned and v.age == 2 and o.wait_for_sleepers:
            return "commit", v, 0
        if v.gen and v.settle == 1 and o.settle_before_end:
            return "commit", v, 0
        return "op", call, begun_again(o, v)
    renewable = (
        (v.confirmed or (not o.only_confirmed and v.error))
        and not (v.abandoned and o.not_abandoned)
        and (v.renewals < CAP or not o.cap)
    )
    if v.settle == 2 and renewable:
        renewed = quiet(v)._replace(gen=min(v.gen + 1, 3), renewals=v.renewals + 1, age=v.age)
        return "commit", renewed, 1
    return "op", call, v


def begun_again(o: Rules, v: Rec) -> Rec:
    """Begin at generation 0: anew after all of the retention, before that with the clock running on."""
    if not o.generations_end:
        return v
    if v.age == 3:
        return quiet(v)
    renewals = CAP if o.no_renewal_late else v.renewals
    return quiet(v)._replace(age=v.age, settle=v.settle, renewals=renewals, doubt=v.doubt)


def after_create(o: Rules, v: Rec, op: str, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """Note what an operation's answer says about the effect. See Effect.after."""
    running = 1 if o.settle else 2
    called = v._replace(age=max(v.age, 1), look=0, none_yet=0)
    if answer[0] == "ok":
        known = quiet(v)._replace(none_yet=0)
        if op == "P":
            return "commit", known._replace(cid=answer[1], ph="C"), 1
        return "commit", known._replace(iid=answer[1], ph="W"), 0
    if answer[0] == "400" and o.two_strikes and v.strikes + 1 < STRIKES:
        return read_first(o, certain_of(called._replace(strikes=v.strikes + 1)))
    if answer[0] == "400":
        return "commit", called._replace(ph="F", doubt=0, settle=running, error=0, confirmed=0, strikes=0), 0
    if answer[0] == "odd":
        return read_first(o, certain_of(called))
    called = called._replace(strikes=0)
    if answer[0] == "409" and not o.patience_on_409:
        return "commit", called._replace(ph="H"), 0
    fault = int(answer[0] == "500")
    again = int(fault and v.error and v.settle == 2)
    look = 2 if answer[0] == "409" else 0
    return read_first(o, called._replace(doubt=1, settle=running, error=fault, confirmed=again, look=look))


def certain_of(v: Rec) -> Rec:
    """Give the record after a call that surely had no effect: in doubt is what was so before."""
    return v._replace(doubt=int(v.settle > 0 or v.abandoned or v.doubtful > 0))


def read_first(o: Rules, v: Rec) -> tuple[Any, ...]:
    """Let the customer be read before a step comes again that met an answer which it does not foresee."""
    known = o.scenario == "steps" or (o.scenario == "ident" and v.ph == "C")
    return "commit", v._replace(step="r") if known and o.read_first else v, 0


def decide(o: Rules, w: Worker) -> tuple[Any, ...]:
    """Say what follows from what a worker knows: ("op", call, view) or ("commit", record, nudge now?)."""
    v, op, answer = w.view, w.op, w.res
    if op == "acts" and o.scenario == "steps":
        return "commit", onward(v), int(v.ph != "Z")
    if op in ("none", "acts"):
        return "commit", v, int(op == "acts" and v.ph != "Z")
    if op in ("L", "I", "Q") and answer[0] == "odd":
        return read_first(o, certain_of(v))
    if op in ("P", "N"):
        return after_create(o, v, op, answer)
    if op == "L":
        if answer[0] == "found":
            return "commit", quiet(v)._replace(cid=answer[1], ph="C"), 1
        return nothing_found(o, v)
    if o.scenario == "sign":
        return sign(o, v, op, answer)
    if o.scenario == "steps":
        return stepwise(o, v, op, answer)
    if v.ph == "C" and v.step == "r":
        return looked(v, answer)
    if answer[1] == "AC" and not creating(o, v):
        return "commit", quiet(v)._replace(ph="A", due=2), 0
    n, status = answer[2], answer[3]
    if n < v.iid:  # the list is behind: it says nothing
        return nothing_found(o, v) if creating(o, v) else ("commit", v, 0)
    if n > v.iid or (n >= 0 and (not creating(o, v) or status in ("Pn", "Ap"))):
        return adopt(v, n, status) if v.ph != "F" or n > v.iid else ("commit", v, 0)
    return nothing_found(o, v) if creating(o, v) else ("commit", v, 0)


def looked(v: Rec, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """Decide by the table for a customer who was to be identified and is read."""
    v, (_, customer, n, status) = v._replace(step=""), answer
    if customer == "AC":
        return "commit", quiet(v)._replace(ph="A", due=2, iid=max(n, v.iid)), 0
    return adopt(v, n, status) if n > v.iid else ("commit", v, 1)


def stepwise(o: Rules, v: Rec, op: str, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sign in steps, each of which follows from the record: read the customer, fetch the documents, submit."""
    if op == "I":
        phase = {"IR": "W", "SR": "S", "AC": "A", "SU": "U"}[answer[1]]
        done = v.done | v.cons if phase == "A" else v.done
        v = v._replace(ph=phase, due=2 if phase == "A" else 1, done=done)
        v = v if phase == "S" else v._replace(doubt=0, doubtful=0, abandoned=0)
        v = onward(v)
        return "commit", v, int(v.step != "r" and (v.step == "s" or not v.docs))
    if op == "Q":
        return submits(v, listed(v, answer[1]))
    document = int(op[1])
    if answer[0] == "ok":
        v = v._replace(done=v.done | (1 << document))
        asleep = v.doubtful == 3 and v.docs & v.cons & ~v.done  # any of them may be in the hands of a worker asleep
        return "commit", onward(v if asleep else v._replace(doubt=0, doubtful=0, abandoned=0)), 1
    if answer[0] == "odd":
        return read_first(o, certain_of(v))
    return read_first(o, v._replace(doubtful=v.doubtful if v.doubtful == 3 else document + 1))


def submits(before: Rec, v: Rec) -> tuple[Any, ...]:
    """Go on after the list of documents was read: submit one, the doubtful one first; certainty is committed first."""
    todo = v.docs & v.cons & ~v.done
    doubted = before.doubtful in (1, 2) and 1 << (before.doubtful - 1)
    if before.step == "s" and todo and (not doubted or todo & doubted):
        return "op", "G0" if (todo & doubted or todo) & 1 else "G1", v
    return "commit", onward(v._replace(doubt=0, doubtful=0, abandoned=0), "f"), int(bool(todo))


def listed(v: Rec, required: int) -> Rec:
    """Bring the documents up to Iron's list: again is a new occasion; gone is signed if in doubt, else void."""
    again = required & v.done
    if again:
        v = v._replace(rnd=v.rnd + 1, cons=v.cons & ~again, done=v.done & ~again)
    gone = v.docs & ~required & v.cons & ~v.done
    signed = gone if v.doubtful == 3 else gone & (1 << v.doubtful >> 1)
    return v._replace(docs=required, done=v.done | signed, cons=v.cons & (required | v.done | signed))


def onward(v: Rec, after: str = "") -> Rec:
    """Give the step that follows from the record. `after`: the step that is through."""
    if v.ph != "S":
        return v._replace(step="r", docs=0)
    if v.docs & v.cons & ~v.done:
        return v._replace(step="s")
    return v._replace(step="r" if after == "f" or v.step == "f" else "f")


def sign(o: Rules, v: Rec, op: str, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """Follow the customer's status, and sign one document a claim."""
    if op == "I":
        phase = {"IR": "W", "SR": "S", "AC": "A", "SU": "U"}[answer[1]]
        if phase == "S" and v.ph == "A" and o.occasions:
            v = v._replace(rnd=v.rnd + 1, cons=0, done=0)
        v = v._replace(ph=phase, due=2 if phase == "A" else 1)
        v = v if phase == "S" else v._replace(doubt=0, doubtful=0)
        return ("op", "Q", v) if phase == "S" and (v.cons & ~v.done or o.occasions) else ("commit", v, 0)
    if op == "Q":
        again = answer[1] & v.done
        if again and o.occasions:
            v = v._replace(rnd=v.rnd + 1, cons=v.cons & ~again, done=v.done & ~again)
        todo = answer[1] & v.cons & ~v.done
        doubted = v.doubtful in (1, 2) and 1 << (v.doubtful - 1)
        if doubted and not todo & doubted:  # it is signed: one effect a claim, so the next document is another's
            return "commit", v._replace(done=v.done | doubted & v.cons, doubt=0, doubtful=0), int(bool(todo))
        if todo:
            return "op", "G0" if (todo & doubted or todo) & 1 else "G1", v
        return "commit", v._replace(doubt=0, doubtful=0), 0
    document = int(op[1])
    if answer[0] == "ok":
        return "commit", v._replace(ph="S", done=v.done | (1 << document), doubt=0, doubtful=0), 1
    if answer[0] == "unknown" or o.patience_on_409:
        return "commit", v._replace(ph="S", doubtful=document + 1), 0
    return "commit", v._replace(ph="H"), 0


# --- the ledger ------------------------------------------------------------------------------------------------------


def applied(o: Rules, rec: Rec) -> tuple[Rec, tuple[str, ...]]:
    """Apply acts in order; one that has to wait for a call in doubt holds up none of the others."""
    done = []
    for act in rec.acts:
        if o.acts_wait_for_doubt and rec.doubt and act in ("c", "s", "z"):
            continue
        rec = act_on(o, rec, act)
        done.append(act)
    return rec, tuple(done)


def act_on(o: Rules, rec: Rec, act: str) -> Rec:
    """Apply one act: c correct, s restart, z cancel, g0 and g1 consent to a document."""
    if act == "z":
        return rec._replace(ph="Z", due=0)
    if act == "c" and rec.ph != "Z":
        corrected = rec._replace(rev=rec.rev + 1)
        if rec.ph == "F" or (rec.strikes and o.strikes_renew):  # refused: the next generation, which is not counted
            corrected = quiet(corrected)._replace(
                ph=BEGIN[o.scenario], gen=min(rec.gen + 1, 3), renewals=rec.renewals, age=rec.age
            )
        elif not o.subject_in_key:  # another revision is another key
            corrected = quiet(corrected)
        return corrected
    if act == "s" and rec.ph in "DH":
        return quiet(rec)._replace(ph="C", rnd=rec.rnd + 1)
    if act[0] == "g" and o.scenario == "steps" and not rec.docs & (1 << int(act[1])):
        return rec  # it is not asked for any more
    if act[0] == "g":
        return rec._replace(cons=rec.cons | (1 << int(act[1])))
    return rec


def without(acts: tuple[str, ...], done: tuple[str, ...]) -> tuple[str, ...]:
    """Take the acts that were applied out of the list."""
    left = list(acts)
    for act in done:
        if act in left:
            left.remove(act)
    return tuple(left)


def claim(o: Rules, s: State, i: int) -> State:
    """Let a worker take the record in hand: for its acts, where some can be applied, else for its step."""
    assert s.rec is not None
    rec = s.rec
    calls = creating(o, rec) or rec.step == "s" or (o.scenario == "sign" and bool(rec.cons & ~rec.done))
    age = max(rec.age, int(creating(o, rec)))
    if rec.own >= 0 and calls:
        rec = rec._replace(abandoned=1, doubt=1, age=age, doubtful=rec.doubtful or 3)
    shown, done = applied(o, rec) if o.acts_wait_for_claims else (rec, ())
    if done:
        worker = Worker(KNOWS, "acts", view_of(shown), applies=done, waiting=without(rec.acts, done))
    else:
        shown = rec = rec._replace(doubt=1, age=age) if calls else rec
        worker = Worker(CLAIMED, first_call(o, rec), view_of(rec), waiting=rec.acts if o.acts_wait_for_claims else ())
    rec = rec._replace(lease=1, own=i, woken=rec.woken & HEARD, due=int(o.due_at_lease_end))
    durable = s.durable
    if durable and durable.own == i:
        durable = durable._replace(own=2)
    return s._replace(rec=rec, durable=durable, workers=with_worker(s.workers, i, worker))


def commit(o: Rules, s: State, i: int, new: Rec, now: int) -> tuple[State, bool, str]:
    """Write what a step found out. Answers the state, whether it was accepted, and what is violated."""
    rec, w = s.rec, s.workers[i]
    if rec is None or (o.fence and rec.own != i):
        return s, False, ""
    bad = ""
    if rec.own != i and o.scenario not in SIGNING:
        bad = "S4: a stale commit was accepted"
    if new.ph == "A" and o.scenario in SIGNING and s.read not in ("", "AC"):
        bad = "S5: Active claimed although the last read said otherwise"
    unconsented = (
        rec.cons & ~new.cons and new.rnd == rec.rnd and (o.scenario != "steps" or rec.cons & ~new.cons & new.docs)
    )
    if new.rev < rec.rev or new.rnd < rec.rnd or (rec.ph == "Z" and new.ph != "Z") or unconsented:
        bad = bad or "S6: an act of a person was overwritten"
    left = without(rec.acts, w.applies)
    certain = o.acts_after_doubt and bool(applied(o, new._replace(acts=w.waiting))[1])
    soon = now or certain or (rec.woken and o.wake)
    due = 1 if soon and new.ph != "Z" else new.due
    out = new._replace(lease=0, own=-1, woken=0, acts=left, job=rec.job, due=due)
    if rec.woken & HEARD and o.news_first:
        out = out._replace(step="r")
    return s._replace(rec=out), True, bad


# --- where a record may rest -----------------------------------------------------------------------------------------


def at_rest(s: State, o: Rules) -> bool:
    """Say whether the record tells what is true on Iron, has nothing pending, and a due time unless it is final."""
    rec, iron = s.rec, s.iron
    if rec is None or rec.acts or rec.lease:
        return False
    if rec.ph == "Z" or not rec.due:
        return rec.ph == "Z"
    if rec.ph == "H":
        return rec.rnd + 1 >= ROUNDS
    if rec.ph == "F":
        return o.refuses_revision_0 and rec.rev == 0
    if o.scenario == "customer":
        return rec.ph == "C" and rec.cid >= 0
    if o.scenario == "ident":
        n = newest(iron, all_visible=True)
        if iron.status == "AC":
            return rec.ph == "A"
        return n >= 0 and rec.iid == n and rec.ph == {"Pn": "W", "Ap": "A", "De": "D", "Ex": "X"}[iron.idents[n][2]]
    want = {"SR": "S", "AC": "A", "SU": "U", "IR": "W"}[iron.status]
    if o.scenario == "steps":
        untold = sum(1 << i for i in (0, 1) if iron.signed[i]) & ~iron.required & ~rec.done
        asked = rec.docs & ~rec.done
        return rec.ph == want and not untold and (want != "S" or (iron.required == asked and not asked & rec.cons))
    return rec.ph == want and not (want == "S" and iron.required & rec.cons)
