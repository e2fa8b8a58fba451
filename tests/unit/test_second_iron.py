"""The second Iron: its documented way, its books, its determinism, and that no answer it may draw stops a customer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import uuid
from collections import Counter
from typing import Any

import httpx
import pytest

from pipelines.iron import Iron
from tests.second_iron import QUESTIONS, SecondIron

BASE_URL = "http://iron.test/api"
#: Every answer of every question.
ANSWERS = [(name, answer) for name, question in QUESTIONS.items() for answer in question.answers]
#: Questions that arise with faults only.
OF_FAULTS = ("fault", "retry_after", "fault_body", "stored_fault")
#: Answers for a calm Iron, where a test is about one thing.
CALM: dict[str, Any] = {
    "read_spell": ("none",),
    "unknown_status": ("none",),
    "customer_shown": ("whole",),
    "list_lag_s": (0,),
    "lookup_lag_s": (0,),
    "second_email": ("created",),
    "approval_delay_s": (0.2,),
    "activation_delay_s": (0,),
    "required_signings_lag_s": (0,),
    "documents_replaced": ("no",),
    "webhook_delay_s": (0,),
    "webhook_unknown": ("none",),
    "after_decline": ("stays",),
    "after_expiry": ("stays",),
}


class Caller:
    """A partner who calls Iron, and the clock of both."""

    def __init__(
        self, seed: int = 0, *, choices: dict[str, Any] | None = None, calm: bool = False, **more: Any
    ) -> None:
        self.now, self.keys = 1_800_000_000.0, itertools.count()
        self.iron = SecondIron(lambda: self.now, seed, choices=(CALM if calm else {}) | (choices or {}), **more)
        self.version = "2026-07-01"
        self.answers: list[Any] = []
        #: Calls tried by document: after several failures comes the next key, for a key's failure may be kept.
        self.tries: Counter[str] = Counter()

    def call(self, method: str, path: str, body: Any = None, *, key: Any = None, **headers: str) -> httpx.Response:
        """Send a request; `key` is any value that names the operation."""
        sent = {"X-API-Key": "a-key", "X-API-Version": self.version} | {
            n.replace("_", "-"): v for n, v in headers.items()
        }
        if key is not None:
            sent["IDEMPOTENCY-KEY"] = str(uuid.uuid5(uuid.NAMESPACE_OID, str(key)))
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        answer = self.iron.handle_request(httpx.Request(method, BASE_URL + path, headers=sent, content=content))
        self.answers.append((answer.status_code, dict(answer.headers), answer.content))
        return answer

    def post(self, path: str, body: Any, *, key: Any = None) -> Any:
        """Post until it is done: under the same key, and after several failures under the next."""
        key = next(self.keys) if key is None else key
        for attempt in range(12):
            answer = self.call("POST", path, body, key=(key, attempt // 3))
            if answer.status_code == 201:
                return answer.json()
            self.advance(3)
        raise AssertionError(answer.text)

    def get(self, path: str, *members: str) -> Any:
        """Read until the answer has these members."""
        for _ in range(40):
            answer = self.call("GET", path)
            value = answer.json() if answer.status_code == 200 else None
            if isinstance(value, dict) and set(members) <= set(value):
                return value
            self.advance(1)
        raise AssertionError(answer.text)

    def customer(self, external_id: str = "k-1", tag: str = "manual") -> str:
        """Create a customer; gives Iron's id."""
        email = f"{external_id}+{tag}@example.com"
        body = {"customer_type": "Person", "email": email, "external_id": external_id}
        return self.post("/customers", body, key=external_id)["id"]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.iron.run_due()

    def wait(self) -> None:
        """Let time pass to Iron's next event, or a little."""
        wait_s = self.iron.next_event_s()
        self.advance(5 if wait_s is None else min(wait_s + 0.001, 30))

    def settle(self) -> None:
        """Let everything happen that will happen by itself."""
        while (wait_s := self.iron.next_event_s()) is not None:
            self.advance(wait_s + 0.001)

    def sign(self, id_: str, signed: set[str]) -> None:
        """Sign what is asked for and not signed yet."""
        answer = self.call("GET", f"/customers/{id_}/required-signings")
        documents = answer.json() if answer.status_code == 200 else None
        for document in documents if isinstance(documents, list) else ():
            if document["id"] not in signed:
                body = {"content_id": document["id"], "signed": True}
                self.tries[document["id"]] += 1
                key = id_, document["id"], self.tries[document["id"]] // 3
                answer = self.call("POST", f"/customers/{id_}/signings", body, key=key)
                signed |= {document["id"]} if answer.status_code == 201 else set()

    def quick_start(self, external_id: str = "k-1", tag: str = "manual") -> str:
        """Go the documented way, in whatever order Iron wants it, until the customer is Active."""
        iron, id_, signed, begun = self.iron, self.customer(external_id, tag), set[str](), False
        for _ in range(400):
            status = self.get(f"/customers/{id_}", "status")["status"]
            if status == "IdentificationRequired" and not begun:
                begun = bool(self.post(f"/customers/{id_}/identifications/v2", {"type": "Link"}, key=(id_, "link")))
                if tag == "manual":
                    iron.act(external_id, "approve")
            elif status == "SigningsRequired":
                self.sign(id_, signed)
            elif status == "Active":
                return id_
            self.wait()
        raise AssertionError(iron.status_of(external_id))


@pytest.mark.parametrize("seed", range(40))
def test_the_quick_start_ends_active(seed: int) -> None:
    """Create, link, approve, two signatures: the customer is Active, and the books show each effect once."""
    caller = Caller(seed, faults=bool(seed % 2))
    caller.quick_start()
    assert caller.iron.status_of("k-1") == "Active"
    assert caller.iron.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 2}}


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_no_single_answer_stops_a_customer(name: str, answer: Any) -> None:
    """Whatever one question is always answered with, the quick start ends Active and its books are right."""
    for seed in range(2):
        caller = Caller(seed, choices={name: (answer,)}, faults=name in OF_FAULTS)
        caller.version = "2025-03-13" if name == "onboarding_order" else caller.version
        caller.quick_start(tag=("manual", "approve")[seed])
        assert caller.iron.status_of("k-1") == "Active"
        assert caller.iron.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 2}}


#: By tag: the status in which a customer ends, identifications begun over the API, signatures.
ENDS = {
    "approve": ("Active", 1, 2),
    "slow": ("Active", 1, 2),
    "decline": ("IdentificationRequired", 1, 0),
    "decline-final": ("IdentificationRequired", 1, 0),
    "expire": ("IdentificationRequired", 1, 0),
    "manual": ("IdentificationRequired", 1, 0),
    "stepup": ("Active", 1, 2),
    "newterms": ("Active", 1, 3),
    "suspend": ("Active", 1, 2),
}


def play(caller: Caller, tag: str) -> str:
    """Let a customer of a tag go its whole way; the caller signs what is due."""
    id_ = caller.customer(tag, tag)
    caller.post(f"/customers/{id_}/identifications/v2", {"type": "Link"}, key=(id_, "link"))
    for _ in range(200):
        caller.wait()
        if caller.iron.status_of(tag) == "SigningsRequired":
            answer = caller.call("GET", f"/customers/{id_}/required-signings")
            for document in answer.json() if answer.status_code == 200 else ():
                body = {"content_id": document["id"], "signed": True}
                assert caller.call("POST", f"/customers/{id_}/signings", body, key=caller.now).status_code == 201
                caller.advance(0.01)
        elif caller.iron.next_event_s() is None:
            return id_
    raise AssertionError(caller.iron.status_of(tag))


@pytest.mark.parametrize("tag", ENDS)
@pytest.mark.parametrize("seed", range(6))
def test_a_tag_ends_as_it_says(tag: str, seed: int) -> None:
    """Each tag's customer comes to its end by itself, but for signing, and nothing happens any more."""
    caller = Caller(seed, calm=True, choices={"read_spell": ("none",)})
    play(caller, tag)
    status, identifications, signings = ENDS[tag]
    assert caller.iron.status_of(tag) == status
    assert caller.iron.effects()[tag] == {"customers": 1, "identifications": identifications, "signings": signings}


def tour(seed: int) -> Caller:
    """Ask for everything, rightly and wrongly, over some hours."""
    caller = Caller(seed, faults=True, lost=0.1)
    iron, call = caller.iron, caller.call
    caller.version = ("2025-03-13", "2026-07-01")[seed % 2]
    ids = {tag: caller.customer(tag, tag) for tag in ENDS}
    link, wrong = {"type": "Link"}, {"type": "Business", "company_data": {"documents": []}}
    for tag, id_ in ids.items():
        caller.call("GET", f"/customers/{id_}/requirements")
        caller.post(f"/customers/{id_}/identifications/v2", {"type": "Token"} if tag == "slow" else link)
    signed: dict[str, set[str]] = {tag: set() for tag in ids}
    for turn in range(12):
        for tag, id_ in ids.items():
            for path in ("", "/identifications", "/signings", "/requirements"):
                call("GET", f"/customers/{id_}{path}")
            call("GET", f"/customers/{tag}/external")
            caller.sign(id_, signed[tag])
            for document in list(signed[tag])[: turn % 3]:
                call(
                    "POST",
                    f"/customers/{id_}/signings",
                    {"content_id": document, "signed": True},
                    key=next(caller.keys),
                )
        call("GET", f"/customers?page_size={turn + 1}&search_term={'approve' if turn % 2 else 'example.com'}")
        iron.take_webhooks()
        caller.advance(40)
    strange(caller, ids, link, wrong)
    return caller


def strange(caller: Caller, ids: dict[str, str], link: Any, wrong: Any) -> None:
    """Send what no right client sends, each thing often enough to find Iron well in between."""
    iron, call, nobody, keys = caller.iron, caller.call, str(uuid.UUID(int=7, version=4)), caller.keys
    manual, person = ids["manual"], {"customer_type": "Person", "email": "ada@example.com"}
    known = {**person, "external_id": "manual"}
    for _ in range(12):
        call("POST", f"/customers/{manual}/identifications/v2", link, key=next(keys))
        call("POST", f"/customers/{manual}/identifications/v2", link)
        call("POST", f"/customers/{manual}/identifications/v2", link, IDEMPOTENCY_KEY="odd")
        call("POST", f"/customers/{manual}/identifications/v2", wrong, key=next(keys))
        call("POST", f"/customers/{manual}/identifications/v2", b"[", key="refused")
        call("POST", "/customers", known, key=next(keys))
        call("POST", "/customers", {**person, "external_id": f"x{next(keys)}", "more": 1}, key=next(keys))
        call("POST", "/customers", {**person, "external_id": f"x{next(keys)}" + "x" * 300}, key=next(keys))
        call("POST", "/customers", b"{}", key=next(keys), Content_Type="text/plain")
        call("POST", f"/customers/{manual}/signings", {"content_id": nobody, "signed": True}, key=next(keys))
        call("POST", f"/customers/{manual}/signings", {"content_id": nobody, "signed": False}, key=next(keys))
        call("PUT", f"/customers/{manual}", {"email": "new+manual@example.com"})
        call("PUT", f"/customers/{nobody}", {"email": "new@example.com"})
        call("PUT", f"/customers/{manual}", {"email": "new+manual@example.com"}, X_API_Key="read-only-key")
        call("GET", "/customers?page_size=101")
        call("GET", f"/customers/{manual}/identifications?page_size=1&cursor={nobody}")
        call("GET", "/customers/no-uuid")
        call("GET", f"/customers/{manual}", X_API_Key="")
        call("GET", f"/customers/{manual}", X_API_Version="1999-01-01")
        call("GET", f"/customers/{manual}", X_SUB_PARTNER_ID=nobody)
        call("GET", f"/identifications/{nobody}")
        newest = iron.life.customers[ids["approve"]].identifications[-1].id
        call("GET", f"/identifications/{newest}")
        call("POST", f"/sandbox/identification/{newest}", {"approved": True}, key=next(keys))
    for _ in range(4):
        call("PUT", f"/customers/{ids['suspend']}/archive")
        call("POST", f"/customers/{ids['suspend']}/identifications/v2", link, key=next(keys))
        call("PUT", f"/identifications/{newest}/archive")
        for path in (f"/customers/{ids['approve']}", "/customers/suspend/external"):
            call("GET", path)


def test_every_answer_is_drawn_over_some_seeds() -> None:
    """No answer of the table is out of reach: each is given at least once over some seeds."""
    missing = set(ANSWERS)
    for seed in range(100):
        missing -= set(tour(seed).iron.draw.drawn)
        if not missing:
            return
    raise AssertionError(missing)


def test_the_same_seed_gives_the_same_answers() -> None:
    """Two Irons of one seed that are asked the same answer the same, to the byte, and tell the same."""
    one, other, another = tour(3), tour(3), tour(5)
    assert one.answers == other.answers
    assert one.iron.effects() == other.iron.effects()
    assert one.answers != another.answers


@pytest.mark.parametrize(("name", "answers"), [("no_such_question", (1,)), ("ids", ("no such",)), ("ids", ())])
def test_a_choice_that_is_not_in_the_table_is_refused(name: str, answers: tuple[Any, ...]) -> None:
    """A slip in the name of a question or an answer does not go unnoticed."""
    with pytest.raises(ValueError, match="no such question or answer"):
        SecondIron(lambda: 0.0, choices={name: answers})


def test_a_key_is_executed_once_and_forgotten_after_a_day() -> None:
    """Same key, same body: one answer, one effect; another body: 409; a day later it is executed again."""
    caller = Caller(calm=True, choices={"second_customer": ("created",)})
    body = {"customer_type": "Person", "email": "k-1@example.com", "external_id": "k-1"}
    first, again = (caller.call("POST", "/customers", body, key="a") for _ in range(2))
    assert (first.status_code, again.content) == (201, first.content)
    assert caller.call("POST", "/customers", body | {"name": "Ada"}, key="a").status_code == 409
    assert caller.iron.effects()["k-1"]["customers"] == 1
    caller.advance(86_401)
    assert caller.call("POST", "/customers", body, key="a").status_code == 201
    assert caller.iron.effects()["k-1"]["customers"] == 2


@pytest.mark.parametrize(("stored", "status"), [("replayed", 409), ("executed", 201)])
def test_a_key_that_was_refused(stored: str, status: int) -> None:
    """A key's refusal is answered again, or the call is executed when it fits, as drawn for the key."""
    choices = {"stored_error": (stored,), "pending_identification": ("conflict",), "pending_means": ("in flight",)}
    caller = Caller(calm=True, choices=choices)
    path = f"/customers/{caller.customer()}/identifications/v2"
    caller.post(path, {"type": "Link"})
    assert caller.call("POST", path, {"type": "Link"}, key="b").status_code == 409
    caller.iron.act("k-1", "decline")
    assert caller.call("POST", path, {"type": "Link"}, key="b").status_code == status


@pytest.mark.parametrize(("answer", "signings"), [("same", 2), ("second", 3), (404, 2), (409, 2), (422, 2)], ids=str)
def test_the_books_show_what_a_second_signature_did(answer: Any, signings: int) -> None:
    """A signature that is answered with the first one is no effect; one that is recorded beside it is."""
    caller = Caller(calm=True, choices={"signing_again": (answer,)})
    id_ = caller.quick_start()
    content_id = caller.get(f"/customers/{id_}/signings", "items")["items"][0]["content_id"]
    got = caller.call("POST", f"/customers/{id_}/signings", {"content_id": content_id, "signed": True}, key="again")
    assert got.status_code == (answer if isinstance(answer, int) else 201)
    assert caller.iron.effects()["k-1"]["signings"] == signings


def test_what_is_listed_by_mistake_is_not_signed_twice() -> None:
    """Who signs again what required-signings still list gets the first signature, and the books hold one."""
    caller = Caller(calm=True, choices={"signing_again": ("second",), "required_signings_lag_s": (60,)})
    id_ = caller.quick_start()
    listed = caller.call("GET", f"/customers/{id_}/required-signings").json()
    assert listed
    for document in listed:
        body = {"content_id": document["id"], "signed": True}
        assert caller.call("POST", f"/customers/{id_}/signings", body, key=next(caller.keys)).status_code == 201
    assert caller.iron.effects()["k-1"]["signings"] == 2


def test_the_look_up_never_denies_by_a_spell() -> None:
    """A customer that the look-up has shown stays there: only a lag, which ends, may say that it is not."""
    caller = Caller(calm=True, choices={"read_spell": (404,)})
    caller.customer()
    assert {caller.call("GET", "/customers/k-1/external").status_code for _ in range(30)} == {200}


def test_whole_seconds_tell_which_identification_is_the_newest() -> None:
    """Two identifications begun in one instant are apart by their times as shown, to the second."""
    caller = Caller(calm=True, choices={"pending_identification": ("superseded",), "timestamp": ("Z",)})
    id_ = caller.customer()
    ids = [caller.post(f"/customers/{id_}/identifications/v2", {"type": "Link"})["id"] for _ in range(3)]
    items = caller.get(f"/customers/{id_}/identifications", "items")["items"]
    assert [one["id"] for one in sorted(items, key=lambda one: one["created_at"])] == ids
    assert len({one["created_at"] for one in items}) == 3


@pytest.mark.parametrize(("answer", "customers"), [("created", 2), (400, 1), (409, 1)])
def test_the_books_show_a_second_customer(answer: Any, customers: int) -> None:
    """A second customer with one external id is taken or refused, and the books tell which."""
    caller = Caller(calm=True, choices={"second_customer": (answer,)})
    caller.customer()
    body = {"customer_type": "Person", "email": "other@example.com", "external_id": "k-1"}
    assert caller.call("POST", "/customers", body, key="other").status_code == (201 if customers == 2 else answer)
    assert caller.iron.effects()["k-1"]["customers"] == customers


def test_a_superseded_identification_counts_no_longer() -> None:
    """The newest identification drives the status; an older one that is approved changes nothing."""
    caller = Caller(calm=True, choices={"pending_identification": ("superseded",)})
    id_ = caller.customer()
    old = caller.post(f"/customers/{id_}/identifications/v2", {"type": "Link"})["id"]
    caller.advance(2)
    caller.post(f"/customers/{id_}/identifications/v2", {"type": "Link"})
    caller.post(f"/sandbox/identification/{old}", {"approved": True})
    caller.settle()
    assert caller.iron.status_of("k-1") == "IdentificationRequired"
    caller.iron.act("k-1", "approve")
    caller.settle()
    assert caller.iron.status_of("k-1") == "SigningsRequired"
    assert caller.iron.effects()["k-1"]["identifications"] == 2


@pytest.mark.parametrize("shape", ["Pending", "Approved", "new record"])
def test_a_step_up_is_no_effect_of_the_partner(shape: str) -> None:
    """Iron wants more of an active customer, on whichever record; the books stay, and approval leads back to Active."""
    caller = Caller(calm=True, choices={"step_up": (shape,), "data_complete": ("Pending",)})
    id_ = caller.quick_start()
    caller.iron.act("k-1", "step_up")
    assert caller.iron.status_of("k-1") == "IdentificationRequired"
    items = caller.get(f"/customers/{id_}/identifications", "items")["items"]
    assert len(items) == (2 if shape == "new record" else 1)
    caller.iron.act("k-1", "approve")
    caller.settle()
    assert caller.iron.status_of("k-1") == "Active"
    assert caller.iron.effects()["k-1"] == {"customers": 1, "identifications": 1, "signings": 2}


def test_what_people_do() -> None:
    """Each act of people changes the status as the sheets say, and what does not fit any more changes nothing."""
    caller = Caller(calm=True, choices={"new_terms_id": ("same",)})
    iron, id_ = caller.iron, caller.quick_start()
    seen = []
    for act in ("suspend", "restore", "new_terms", "approve", "status:UnderWatch", "expire", "begin", "archive"):
        iron.act("k-1", act)
        seen.append(iron.status_of("k-1"))
    assert seen[:4] == ["Suspended", "Active", "SigningsRequired", "SigningsRequired"]
    assert seen[4:] == ["UnderWatch", "SigningsRequired", "IdentificationRequired", "Archived"]
    assert iron.effects()["k-1"]["identifications"] == 1
    assert len(iron.life.customers[id_].identifications) == 2
    with pytest.raises(ValueError, match="nobody does this"):
        iron.act("k-1", "dance")
    with pytest.raises(LookupError):
        iron.act("k-2", "approve")


@pytest.mark.parametrize(
    "status", ["IdentificationRequired", "SigningsRequired", "Active", "Suspended", "UserRequired"]
)
def test_a_customer_made_in_the_dashboard_is_no_effect(status: str) -> None:
    """It has the status that was asked for and is in no book, and its own id is found over the API."""
    caller = Caller(calm=True)
    id_ = caller.iron.add_customer("k-1", "k-1+manual@example.com", status=status)
    assert caller.iron.status_of("k-1") == status
    caller.settle()
    assert caller.iron.status_of("k-1") == status
    assert caller.iron.effects()["k-1"] == {"customers": 0, "identifications": 0, "signings": 0}
    assert caller.get("/customers/k-1/external", "status")["id"] == id_


def test_a_lag_ends_and_never_hides_what_is_read_by_id() -> None:
    """A new customer is there by id at once, and by external id and in the list after 60 s at most."""
    caller = Caller(calm=True, choices={"lookup_lag_s": (60,), "list_lag_s": (60,), "lag_share": (1.0,)})
    id_ = caller.customer()
    paths = (f"/customers/{id_}", "/customers/k-1/external", "/customers?search_term=k-1")
    assert [caller.call("GET", path).status_code for path in paths] == [200, 404, 200]
    assert caller.get(paths[2], "items")["items"] == []
    caller.advance(61)
    assert [caller.call("GET", path).status_code for path in paths] == [200, 200, 200]
    assert [one["id"] for one in caller.get(paths[2], "items")["items"]] == [id_]


@pytest.mark.parametrize("answer", [one for one in QUESTIONS["read_spell"].answers if one != "none"])
def test_a_spell_ends(answer: Any) -> None:
    """Reads are wrong four times at most, and then right at least twice as often; nothing is false for good."""
    caller = Caller(calm=True, choices={"read_spell": (answer,)})
    id_ = caller.customer()
    right = []
    for _ in range(60):
        got = caller.call("GET", f"/customers/{id_}")
        value = got.json() if got.status_code == 200 else None
        right.append(isinstance(value, dict) and "status" in value)
    runs = [(good, len(list(run))) for good, run in itertools.groupby(right)]
    assert all(length >= 8 if good else length <= 4 for good, length in runs[:-1])
    assert not right[0]


def test_a_status_that_nobody_documented_goes_away() -> None:
    """An unknown status shows in a few reads, and never where the truth is asked for."""
    caller = Caller(calm=True, choices={"unknown_status": ("UnderWatch",)})
    id_ = caller.customer()
    seen = Counter(caller.get(f"/customers/{id_}", "status")["status"] for _ in range(24))
    assert set(seen) == {"UnderWatch", "IdentificationRequired"}
    assert seen["UnderWatch"] <= 8
    assert caller.iron.status_of("k-1") == "IdentificationRequired"


@pytest.mark.parametrize("seed", range(8))
def test_pages_lead_through_a_list(seed: int) -> None:
    """A list's pages hold each record once, as many as were asked for, and end; the filter and the order are kept."""
    caller = Caller(seed, calm=True, choices={"archived_found": ("found",)})
    ids = []
    for number in range(7):
        ids.append(caller.customer(f"k-{number}"))
        caller.advance(1)
    caller.iron.act("k-3", "suspend")
    query, seen = "status=IdentificationRequired,Archived&status=Active&page_size=2&sort_order=asc", []
    cursor: str | None = ""
    while cursor is not None:
        page = caller.get(f"/customers?{query}" + (f"&cursor={cursor}" if cursor else ""), "items")
        seen.append([one["id"] for one in page["items"]])
        cursor = page.get("cursor")
    assert [len(page) for page in seen] == [2, 2, 2]
    assert list(itertools.chain(*seen)) == [id_ for id_ in ids if id_ != ids[3]]


@pytest.mark.parametrize("secret", ["raw", "base64"])
def test_a_webhook_is_signed_and_tells_of_each_status(secret: str) -> None:
    """Each delivery's signature is right under the drawn key, and each change of the customer's status is told once."""
    choices = {"webhook_secret": (secret,), "webhook_signatures": ("one",), "webhook_message": ("wrapped",)}
    caller = Caller(calm=True, choices=choices, doubled=0.0, secret="whsec_" + base64.b64encode(b"secret").decode())
    key = b"secret" if secret == "base64" else b"whsec_" + base64.b64encode(b"secret")
    id_ = caller.quick_start()
    caller.settle()
    hooks, told = caller.iron.take_webhooks(), []
    for hook in hooks:
        signed = hook.headers["webhook-timestamp"].encode() + hook.body
        assert hook.headers["webhook-signature"] == "v1=" + hmac.new(key, signed, hashlib.sha256).hexdigest()
        assert hook.customer_id == json.loads(hook.body)["data"]["customer_id"] == id_
        told.append(json.loads(hook.body)["data"]["message"].get("CustomerStatus", {}).get("status"))
    assert [status for status in told if status][-1] == "Active"
    assert "SigningsRequired" in told
    assert caller.iron.take_webhooks() == []


@pytest.mark.parametrize(("lost", "doubled", "times"), [(1.0, 0.0, 0), (0.0, 0.0, 1), (0.0, 1.0, 2)])
def test_webhooks_are_lost_and_doubled_as_asked(lost: float, doubled: float, times: int) -> None:
    """With the odds at one each delivery is lost, or comes twice."""
    caller = Caller(calm=True, lost=lost, doubled=doubled)
    caller.customer()
    assert len(caller.iron.take_webhooks()) == times


@pytest.mark.parametrize("seed", range(8))
def test_our_client_reads_its_answers(seed: int) -> None:
    """What it answers outside its spells is what the project's own client can read, however it is written."""
    caller = Caller(seed, calm=True)
    id_ = caller.quick_start()
    iron = Iron(caller.iron, BASE_URL, "a-key")
    assert (iron.customer(id_).id, iron.customer(id_).status) == (id_, "Active")
    assert [one.id for one in iron.customers()[0]] == [id_]
    assert [one.status for one in iron.identifications(id_)] == ["Approved"]
    assert iron.requirements(id_).may_retry
    assert iron.customer_by_external_id("k-2") is None
    iron.update_customer(id_, email="k-2+manual@example.com", external_id="k-2")
    found = iron.customer_by_external_id("k-2")
    assert found is not None
    assert found.id == id_


def test_calls_are_counted_by_template() -> None:
    """A test sees how often each endpoint was called, without ids."""
    caller = Caller(calm=True)
    id_ = caller.customer()
    caller.get(f"/customers/{id_}", "status")
    assert caller.iron.calls == {"POST /customers": 1, "GET /customers/{id}": 1}
