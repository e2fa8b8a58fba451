"""The client against a transport: what leaves, what an answer means, and what never stands in a message."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.errors import (
    AccessRefusedError,
    AnswerLostError,
    AnswerUnreadableError,
    ConflictError,
    IronError,
    NotAppliedError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRefusedError,
    ServerFaultError,
    StaleClaimError,
    UnreachableError,
)
from pipelines.iron import Filters, Iron, Requirement
from pipelines.iron.answers import LONGEST_SAID, TRANSPORT_ERRORS
from pipelines.iron.client import LONGEST_ANSWER, MAX_PAGES, USER_AGENT
from pipelines.job import JobInvalidError, parse_job
from pipelines.pauses import LONGEST_RETRY_AFTER_S, retry_after_s

#: Stands wherever something must not come out again: key, e-mail, link, body, header, foreign message.
MARKER = "marker-7f3a"
KEY = "5f0c7a52-0000-4000-8000-000000000001"
SUB_PARTNER = "0199c0de-0000-4000-8000-000000000001"
ODD = "a/b c?ü"
ODD_SEGMENT = "a%2Fb%20c%3F%C3%BC"

CUSTOMER = {"id": "c-1", "status": "IdentificationRequired"}
IDENTIFICATION = {"id": "i-1", "status": "Pending"}
PAGE = {"items": []}

Method = Callable[[Iron], Any]

#: Call, method, path, body, whether it carries a key, an answer that it takes.
CALLS: dict[str, tuple[Method, str, str, bytes, bool, Any]] = {
    "create_customer": (
        lambda iron: iron.create_customer({"email": "ü@example.com", "customer_type": "Person"}, KEY),
        "POST", "/customers", '{"customer_type":"Person","email":"ü@example.com"}'.encode(), True, CUSTOMER,
    ),
    "customer": (lambda iron: iron.customer(ODD), "GET", f"/customers/{ODD_SEGMENT}", b"", False, CUSTOMER),
    "customer_by_external_id": (
        lambda iron: iron.customer_by_external_id(ODD),
        "GET", f"/customers/{ODD_SEGMENT}/external", b"", False, CUSTOMER,
    ),
    "update_customer": (
        lambda iron: iron.update_customer(ODD, email="ü@example.com", external_id="crm-1"),
        "PUT", f"/customers/{ODD_SEGMENT}", '{"email":"ü@example.com","external_id":"crm-1"}'.encode(), False, None,
    ),
    "customers": (lambda iron: iron.customers(), "GET", "/customers?page_size=100", b"", False, PAGE),
    "requirements": (
        lambda iron: iron.requirements(ODD), "GET", f"/customers/{ODD_SEGMENT}/requirements", b"", False, {},
    ),
    "create_identification": (
        lambda iron: iron.create_identification(ODD, {"with_edd": False, "type": "Link"}, KEY),
        "POST", f"/customers/{ODD_SEGMENT}/identifications/v2", b'{"type":"Link","with_edd":false}', True,
        IDENTIFICATION,
    ),
    "identifications": (
        lambda iron: iron.identifications(ODD),
        "GET", f"/customers/{ODD_SEGMENT}/identifications?page_size=100", b"", False, PAGE,
    ),
    "required_signings": (
        lambda iron: iron.required_signings(ODD),
        "GET", f"/customers/{ODD_SEGMENT}/required-signings", b"", False, [],
    ),
    "create_signing": (
        lambda iron: iron.create_signing(ODD, "d-1", KEY),
        "POST", f"/customers/{ODD_SEGMENT}/signings", b'{"content_id":"d-1","signed":true}', True, {"id": "s-1"},
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("name", CALLS)
#: Methods that read the answer's body.
READ = sorted(set(CALLS) - {"update_customer"})
EACH_THAT_READS = pytest.mark.parametrize("name", READ)

#: The forms that a body of Iron, or of a proxy before it, may have.
BODIES = {
    "json string": b'"marker-7f3a is wrong"',
    "plain text": b"authorization error marker-7f3a",
    "api error": b'{"message":"marker-7f3a","trace_id":"00-ab12-00"}',
    "empty": b"",
    "html": b"<html><body>marker-7f3a</body></html>",
    "not utf-8": b"\xff\xfe marker-7f3a",
    "cut off": b'{"id":"marker-7f3a","stat',
}


def iron_with(answer: Callable[[httpx.Request], httpx.Response], **changes: Any) -> Iron:
    """A client whose requests end in a function."""
    return Iron(httpx.MockTransport(answer), "http://iron.test/api", MARKER, **changes)


def answering(status: int, body: Any = b"", **headers: str) -> Iron:
    """A client that always gets one answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return iron_with(lambda _: httpx.Response(status, content=content, headers=headers))


def shown(error: BaseException) -> str:
    """Everything that a log or a record could show of an error."""
    return "\n".join([str(error), repr(error), *traceback.format_exception_only(error), repr(error.__cause__)])


# --- what leaves -----------------------------------------------------------------------------------------------------


@EACH
def test_request(name: str) -> None:
    """Each method sends one request: its verb, its quoted path, its headers and its canonical body."""
    call, method, path, body, keyed, answer = CALLS[name]
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=answer)

    call(iron_with(take))
    (request,) = sent
    assert (request.method, request.url.raw_path.decode(), request.content) == (method, f"/api{path}", body)
    assert request.headers["x-api-key"] == MARKER
    assert request.headers["x-api-version"] == "2026-07-01"
    assert request.headers["user-agent"] == USER_AGENT
    assert request.headers.get("idempotency-key") == (KEY if keyed else None)
    assert "x-sub-partner-id" not in request.headers
    assert request.headers.get("content-type") == ("application/json; charset=utf-8" if body else None)
    assert request.extensions["timeout"] == {"connect": 10.0, "read": 10.0, "write": 10.0, "pool": 10.0}


@EACH
def test_on_behalf_of_a_sub_partner(name: str) -> None:
    """Each call for a sub-partner names it, and is checked once before it leaves."""
    call, *_, answer = CALLS[name]
    events: list[str] = []

    def take(request: httpx.Request) -> httpx.Response:
        events.append(request.headers["x-sub-partner-id"])
        return httpx.Response(200, json=answer)

    iron = iron_with(take)
    call(iron.on_behalf_of(SUB_PARTNER, lambda _: events.append("checked")))
    assert events == ["checked", SUB_PARTNER]
    assert iron.sub_partner_id is None


@EACH
def test_a_call_that_must_not_leave_does_not(name: str) -> None:
    """What the check raises stops the request before the transport sees it."""

    def lost(_: str) -> None:
        raise StaleClaimError

    iron = iron_with(lambda _: pytest.fail("a request left"))
    with pytest.raises(StaleClaimError):
        CALLS[name][0](iron.on_behalf_of(None, lost))


def test_settings_of_the_client_reach_the_wire() -> None:
    """Version and timeout are those of the client."""
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=CUSTOMER)

    iron_with(take, api_version="2026-08-01", timeout_s=3.5).customer("c-1")
    assert sent[0].headers["x-api-version"] == "2026-08-01"
    assert set(sent[0].extensions["timeout"].values()) == {3.5}


# --- what an answer means --------------------------------------------------------------------------------------------


def meaning(status: int) -> type[IronError]:
    """The error that a status means, as the tree in words has it."""
    named = {401: AccessRefusedError, 403: AccessRefusedError, 404: NotFoundError, 408: AnswerLostError}
    named |= {409: ConflictError, 429: RateLimitedError}
    if status in named:
        return named[status]
    return AnswerUnreadableError if status < 400 else RequestRefusedError if status < 500 else ServerFaultError


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_means_one_error(status: int) -> None:
    """Each status from 300 to 599 with each form of body is the error of its status, and shows nothing of the body."""
    for form, body in BODIES.items():
        for name in ("customer", "create_signing"):
            with pytest.raises(IronError) as raised:
                CALLS[name][0](answering(status, body, location=f"https://{MARKER}/"))
            assert type(raised.value) is meaning(status), form
            assert raised.value.status == status
            assert MARKER not in shown(raised.value)


@pytest.mark.parametrize("form", BODIES)
@EACH_THAT_READS
def test_an_answer_that_makes_no_sense_is_in_doubt(name: str, form: str) -> None:
    """A success whose body is not as documented has had its effect, perhaps: never a success, never a refusal."""
    if (name, form) == ("requirements", "api error"):
        return  # an object without any group: nothing is required
    with pytest.raises(AnswerUnreadableError) as raised:
        CALLS[name][0](answering(201, BODIES[form]))
    assert isinstance(raised.value, OutcomeUnknownError)
    assert MARKER not in shown(raised.value)


@pytest.mark.parametrize("body", [None, 5, "text", [], {}, {"id": "", "status": "x"}, {"id": 5}, {"id": None}, [5]])
@EACH_THAT_READS
def test_json_of_another_shape_is_in_doubt(name: str, body: Any) -> None:
    """JSON without the fields that we need is an answer that cannot be read."""
    if (name == "required_signings" and body == []) or (name == "requirements" and isinstance(body, dict)):
        return  # nothing to sign, nothing required: answers that Iron may give
    with pytest.raises(AnswerUnreadableError):
        CALLS[name][0](answering(200, body))


@pytest.mark.parametrize(("status", "error"), [(200, AnswerUnreadableError), (500, ServerFaultError)])
def test_json_nested_beyond_reason_is_an_answer_like_another(status: int, error: type[IronError]) -> None:
    """A body that no parser follows to its end is told as what its status means, not as a fault of the program."""
    for name in READ if status == 200 else CALLS:
        with pytest.raises(error):
            CALLS[name][0](answering(status, b"[" * 200_000))


class Pieces(httpx.SyncByteStream):
    """A body in pieces."""

    def __init__(self, piece: bytes, count: int) -> None:
        self.piece, self.count, self.closed = piece, count, False

    def __iter__(self) -> Any:
        """Give the pieces, one by one."""
        for _ in range(self.count):
            yield self.piece

    def close(self) -> None:
        """Note that nobody reads on."""
        self.closed = True


def test_an_answer_that_does_not_end_is_in_doubt() -> None:
    """A body longer than any of Iron's is not read to its end: the connection is given back, the outcome is unknown."""
    body = Pieces(b" " * 1_000_000, 10**9)
    with pytest.raises(AnswerLostError):
        iron_with(lambda _: httpx.Response(201, stream=body)).create_signing("c-1", "d-1", KEY)
    assert body.closed
    just = Pieces(b" " * (LONGEST_ANSWER - 12) + b'{"id":"s-1"}', 1)
    assert iron_with(lambda _: httpx.Response(201, stream=just)).create_signing("c-1", "d-1", KEY) == "s-1"


def test_an_answer_that_trickles_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit holds for the whole answer, not for each piece: a body that comes slowly ends in time as well."""
    clock = iter(range(0, 1_000, 3))
    monkeypatch.setattr("pipelines.iron.client.time", SimpleNamespace(monotonic=lambda: next(clock)))
    body = Pieces(b" ", 10**6)
    with pytest.raises(AnswerLostError):
        iron_with(lambda _: httpx.Response(201, stream=body)).create_signing("c-1", "d-1", KEY)
    assert body.closed


@pytest.mark.parametrize(("status", "body"), [(200, {"id": "another"}), (200, b"no json"), (204, b"")])
def test_an_updates_answer_is_not_read(status: int, body: Any) -> None:
    """Whatever a successful update answers, it was made."""
    answering(status, body).update_customer("c-1", email="a@example.com", external_id="crm-1")


@pytest.mark.parametrize(
    ("body", "codes", "may_retry"),
    [
        ({}, (), True),
        ({"missing": None, "issues": None}, (), True),
        ({"complete": [{"code": "done", "retryable": False}], "pending": [{"code": "soon"}]}, (), True),
        ({"missing": [{"code": "b", "retryable": True}, {"code": "a"}, {"code": "b"}]}, ("a", "b"), True),
        ({"missing": [{"code": "a", "retryable": False}]}, ("a",), False),
        ({"missing": [{"code": "a"}], "issues": [{"code": "c", "retryable": None}]}, ("a", "c"), False),
    ],
)
def test_requirements_are_codes_and_whether_to_try_again(body: Any, codes: tuple[str, ...], may_retry: bool) -> None:
    """What is missing or at issue is a sorted set of codes; an issue, or one word of Iron's, makes it final."""
    found = answering(200, body).requirements("c-1")
    assert (found.codes, found.may_retry) == (codes, may_retry)


def test_requirements_keep_what_iron_says() -> None:
    """Labels, description, reasons and questions are kept as they are; what may be personal cannot be printed."""
    issue = {
        "code": "kyc_selfie",
        "description": MARKER,
        "reject_labels": ["BLURRED", "ANGLE"],
        "reject_reasons": [{"code": "blurred", "description": MARKER}],
        "missing_questions": [{"title": MARKER}],
        "retryable": True,
    }
    found = answering(200, {"issues": [issue], "missing": [{"code": "b", "reject_labels": ["ANGLE"]}]}).requirements(
        "c"
    )
    missing, told = found.open
    assert told == Requirement(
        "kyc_selfie", ("BLURRED", "ANGLE"), True, MARKER, reasons=(("blurred", MARKER),), questions=(MARKER,)
    )
    assert (found.codes, found.labels) == (("b", "kyc_selfie"), ("ANGLE", "BLURRED"))
    assert told.said() == {
        "code": "kyc_selfie",
        "labels": ["BLURRED", "ANGLE"],
        "retryable": True,
        "description": MARKER,
        "reasons": [{"code": "blurred", "text": MARKER}],
        "questions": [MARKER],
    }
    assert missing.said() == {"code": "b", "labels": ["ANGLE"]}
    assert MARKER not in repr(found)


@pytest.mark.parametrize("text", [MARKER, f"see {MARKER}", "ada@example.com", "a" * 65, "C01X00T47"])
def test_a_code_that_is_none_is_a_text(text: str) -> None:
    """What stands where codes and labels stand and is none is not told in the open, and kept with the texts."""
    item = {"code": text, "reject_labels": ["FORGERY", text], "retryable": False}
    found = answering(200, {"issues": [item]}).requirements("c")
    assert (found.codes, found.labels) == (("unknown",), ("FORGERY",))
    (told,) = found.open
    assert told.said() == {"code": "unknown", "labels": ["FORGERY"], "retryable": False, "texts": [text, text]}
    assert text not in repr(found)


@pytest.mark.parametrize("odd", [None, 5, "text", {}, [5], [None], [{}], ["\ud800"], [{"code": 5}]], ids=repr)
def test_odd_details_of_a_requirement_do_not_hide_it(odd: Any) -> None:
    """Whatever stands beside the code, the requirement is told."""
    members = ("description", "reject_labels", "reject_reasons", "missing_questions", "retryable")
    for member in members:
        (told,) = answering(200, {"missing": [{"code": "a", member: odd}]}).requirements("c").open
        assert told.code == "a"
        json.dumps(told.said()).encode()
    (nameless,) = answering(200, {"missing": [{"code": odd}]}).requirements("c").open
    assert nameless.code == (odd if isinstance(odd, str) else "unknown")


# --- what Iron says with a refusal -----------------------------------------------------------------------------------

SAID = {
    "json string": f"{MARKER} is wrong",
    "plain text": f"authorization error {MARKER}",
    "api error": MARKER,
    "empty": "",
    "html": "",
    "not utf-8": f"\ufffd\ufffd {MARKER}",
    "cut off": f'{{"id":"{MARKER}","stat',
}


@pytest.mark.parametrize("form", BODIES)
def test_the_text_of_a_refusal_is_kept_with_the_error(form: str) -> None:
    """Iron's own words are on the error, of whatever form, and not in the message; a page of a proxy says nothing."""
    with pytest.raises(RequestRefusedError) as raised:
        CALLS["create_customer"][0](answering(400, BODIES[form]))
    assert raised.value.said == SAID[form]
    assert MARKER not in shown(raised.value)


def test_the_text_of_a_refusal_has_an_end() -> None:
    """A text without an end is cut; what nothing can store is left out."""
    for body, said in ((b"x" * 100_000, "x" * LONGEST_SAID), (b'"\\ud800"', ""), (b"[" * 100_000, "[" * LONGEST_SAID)):
        with pytest.raises(RequestRefusedError) as raised:
            answering(422, body).customer("c-1")
        assert raised.value.said == said


@pytest.mark.parametrize(
    ("said", "shows"),
    [
        ("country_not_supported", True),
        ("email_taken", True),
        ("country not supported", False),
        ("Country_Not_Supported", False),
        ("ada", False),
        ("ada_lovelace@example.com", False),
        ("c0de_5", False),
    ],
)
def test_a_code_of_irons_shows_in_the_message(said: str, shows: bool) -> None:
    """A code says nothing about a person and is what an operator needs; any other text is not shown."""
    with pytest.raises(RequestRefusedError) as raised:
        answering(400, said).customer("c-1")
    assert (f"(HTTP 400, {said})" in str(raised.value)) == shows
    assert str(raised.value).endswith(f"(HTTP 400, {said})." if shows else "(HTTP 400).")
    assert raised.value.iron_code == (said if shows else "")


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"code": "COUNTRY_NOT_SUPPORTED", "message": MARKER}, "COUNTRY_NOT_SUPPORTED", MARKER),
        ({"code": "country_not_supported"}, "country_not_supported", ""),
        ({"error": "country_not_supported", "message": MARKER}, "country_not_supported", MARKER),
        ({"error": "country_not_supported"}, "country_not_supported", "country_not_supported"),
        ({"message": "country_not_supported"}, "country_not_supported", "country_not_supported"),
        ({"code": "ada@example.com", "message": MARKER}, "", f"ada@example.com: {MARKER}"),
        ({"code": f"of {MARKER}"}, "", f"of {MARKER}"),
        ({"code": 5, "error": "Ada", "message": None}, "", "Ada"),
        ("country_not_supported\n", "country_not_supported", "country_not_supported"),
        ([], "", ""),
    ],
    ids=str,
)
def test_a_refusal_has_a_code_and_a_text(body: Any, code: str, said: str) -> None:
    """The code is found wherever Iron may put it; what is none is kept with the text and shown nowhere."""
    with pytest.raises(RequestRefusedError) as raised:
        answering(400, body).customer("c-1")
    assert (raised.value.iron_code, raised.value.said) == (code, said)
    assert MARKER not in shown(raised.value)
    assert "ada" not in shown(raised.value).casefold()


def test_a_creation_that_finds_nothing_is_a_refusal_of_the_caller() -> None:
    """POST /customers names nothing that might be missing: its 404 is no customer's, and is not taken for one."""
    with pytest.raises(RequestRefusedError) as raised:
        CALLS["create_customer"][0](answering(404, b'"no such route"'))
    raised.value.of_effect = True
    assert (raised.value.status, raised.value.said, raised.value.concerns_caller) == (404, "no such route", True)


@pytest.mark.parametrize(("named", "version"), [("2026-07-01", "2026-07-01"), ("latest", ""), ("", "")])
def test_the_version_that_iron_answers_by_is_noted(named: str, version: str) -> None:
    """A customer's creation says which version of the API it was read by; what is no version is not noted."""
    made = answering(201, CUSTOMER, **{"x-api-version": named}).create_customer({}, KEY)
    assert made.api_version == version
    assert answering(201, CUSTOMER).create_customer({}, KEY).api_version == ""


def test_every_answer_is_heard() -> None:
    """Whoever counts answers hears each one once, good or bad, and none where no answer came."""
    heard: list[int] = []
    for status in (200, 400, 503):
        iron = answering(status, CUSTOMER).on_behalf_of(
            None, lambda _: None, lambda answer: heard.append(answer.status)
        )
        try:
            iron.customer("c-1")
        except IronError:
            continue
    assert heard == [200, 400, 503]


def test_a_page_of_customers() -> None:
    """A page of the list is asked for by status and place, and says where the next one is."""
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        answer = {"items": [CUSTOMER | {"email": MARKER, "identification_status": "Pending"}], "cursor": "next"}
        return httpx.Response(200, json=answer if len(sent) == 1 else PAGE | {"cursor": ""})

    iron = iron_with(take)
    (customer,), place = iron.customers(filters=Filters(("Active", "Suspended")))
    assert iron.customers(cursor=place) == ([], None)
    assert (customer.id, customer.identification_status, customer.email) == ("c-1", "Pending", MARKER)
    assert MARKER not in repr(customer)
    assert [parse_qs(request.url.query.decode()) for request in sent] == [
        {"page_size": ["100"], "status": ["Active,Suspended"]},
        {"page_size": ["100"], "cursor": ["next"]},
    ]


def test_a_reviewers_comment_is_read_and_not_shown() -> None:
    """What Iron's reviewer wrote may be personal: it is no part of what can be printed."""
    (newest,) = answering(200, {"items": [IDENTIFICATION | {"review_comment": MARKER}]}).identifications("c-1")
    assert newest.review_comment == MARKER
    assert MARKER not in repr(newest)


@given(external_id=st.text(st.characters(codec="utf-8"), max_size=6) | st.text("./%?#\\ a", max_size=6))
@example(external_id=".")
@example(external_id="..")
def test_an_external_id_stays_one_segment(external_id: str) -> None:
    """Whatever a job may call its customer, the look-up asks for that customer and for nothing beside the path."""
    customer = {"customer_type": "Person", "email": "ada@example.com"}
    try:
        parse_job({"idempotency_key": "k-1", "external_id": external_id, "customer": customer})
    except JobInvalidError:
        return
    sent: list[bytes] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.raw_path)
        return httpx.Response(404)

    assert iron_with(take).customer_by_external_id(external_id) is None
    assert sent == [f"/api/customers/{quote(external_id, safe='')}/external".encode()]


def test_not_found_by_external_id_is_an_answer() -> None:
    """A look-up that finds nothing says None; any other 404 is an error."""
    assert answering(404, b'"Customer not found"').customer_by_external_id("x") is None
    with pytest.raises(NotFoundError):
        answering(404, b'"Customer not found"').customer("x")


def test_a_look_up_that_finds_somebody_else_finds_nothing() -> None:
    """A customer with another external id is never adopted; one whose answer does not say is."""
    assert answering(200, CUSTOMER | {"external_id": "y"}).customer_by_external_id("x") is None
    for same in ({}, {"external_id": None}, {"external_id": "x"}):
        found = answering(200, CUSTOMER | same).customer_by_external_id("x")
        assert found is not None
        assert found.id == "c-1"


@pytest.mark.parametrize(
    ("trace", "shows"),
    [("00-ab12-00", True), ("ada@example.com", False), ("x" * 65, False), (5, False), (None, False), ("", False)],
)
def test_a_fault_shows_irons_trace(trace: Any, shows: bool) -> None:
    """The trace id that Iron's support asks for is in the message, if it looks like one."""
    with pytest.raises(ServerFaultError) as raised:
        answering(500, {"message": MARKER, "trace_id": trace}).customer("c-1")
    assert (f"trace {trace}" in str(raised.value)) == shows
    assert ("trace" in str(raised.value)) == shows


# --- what the transport raises ---------------------------------------------------------------------------------------

#: Every exception that httpx has.
HTTPX_EXCEPTIONS = [one for one in vars(httpx).values() if isinstance(one, type) and issubclass(one, Exception)]
#: Those that are raised before a request has left. All others may come after it.
BEFORE_SENT = {"ConnectTimeout", "PoolTimeout", "ConnectError", "ProxyError", "UnsupportedProtocol", "InvalidURL"}


def made(kind: type[Exception]) -> Exception:
    """An exception of httpx with a message that must not come out, whatever its own constructor wants."""
    error = kind.__new__(kind, MARKER)
    error.args = (MARKER,)
    return error


@pytest.mark.parametrize("kind", HTTPX_EXCEPTIONS)
def test_every_exception_of_httpx_is_mapped(kind: type[Exception]) -> None:
    """Each exception of httpx becomes an error that says whether the request had left."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise made(kind)

    assert any(issubclass(kind, row) for row, _ in TRANSPORT_ERRORS)
    with pytest.raises(IronError) as raised:
        CALLS["create_customer"][0](iron_with(fail))
    known = {NotAppliedError, OutcomeUnknownError} & set(type(raised.value).__mro__)
    exact = UnreachableError if kind.__name__ in BEFORE_SENT else OutcomeUnknownError
    assert isinstance(raised.value, exact)
    assert len(known) == 1
    assert MARKER not in shown(raised.value)
    assert kind.__name__ in str(raised.value)


def test_the_walk_sees_the_exceptions_that_matter() -> None:
    """The list is not empty by accident, and each name that stands for "before" is there."""
    assert {kind.__name__ for kind in HTTPX_EXCEPTIONS} >= BEFORE_SENT | {
        *("ReadTimeout", "WriteTimeout", "ReadError", "WriteError", "CloseError", "RemoteProtocolError"),
        *("LocalProtocolError", "DecodingError", "StreamClosed"),
    }


def test_an_answer_that_breaks_off_is_in_doubt() -> None:
    """A connection that ends in the middle of a body leaves the outcome unknown."""

    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            yield b'{"id":'
            raise httpx.RemoteProtocolError(MARKER)

    with pytest.raises(AnswerLostError) as raised:
        iron_with(lambda _: httpx.Response(201, stream=Broken())).create_signing("c-1", "d-1", KEY)
    assert MARKER not in shown(raised.value)


def test_what_is_not_httpxs_is_not_ours_to_judge() -> None:
    """A fault of the program stays what it is."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        iron_with(fail).customer("c-1")


def test_the_client_does_not_show_its_key() -> None:
    """The client can be printed."""
    assert MARKER not in repr(answering(200))
    assert MARKER not in repr(answering(200).on_behalf_of(SUB_PARTNER, lambda _: None))


# --- Retry-After -----------------------------------------------------------------------------------------------------

NOW = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7), ("0", 0), ("1.5", 1.5), ("-3", 0), (" 7 ", 7),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30), ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("Sunday, 22-Nov-26 10:00:30 GMT", 30), ("Sun, 22 Nov 2026 12:00:30 +0200", 30),
        (None, None), ("", None), ("soon", None), ("nan", None), ("inf", None), ("-inf", None),
        ("Sun, 99 Nov 2026 10:00:30 GMT", None), ("Sun, 22 Nov 2026", None),
        ("3600", 3_600), ("3601", 3_600), ("9" * 400, None), ("1e9", 3_600), ("Sun, 22 Nov 2099 10:00:30 GMT", 3_600),
        ("Sun, 22 Nov 2026 10:00:30 +99999999999999999999", None), ("Sun, 22 Nov 2026 10:00:30 -2400", None),
        ("Sun, 22 Nov 0000 10:00:30 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds and dates give seconds from now, never below 0 nor above an hour; nonsense gives None."""
    assert retry_after_s(value, NOW) == seconds


#: Dates that follow the form but not the calendar, zones that none has, and years at both ends.
DATES = st.builds(
    "{}, {:02} {} {:04} {:02}:{:02}:{:02} {}".format,
    st.sampled_from(["Sun", "Fri"]),
    st.integers(0, 99),
    st.sampled_from(["Jan", "Feb", "Nov", "Dec"]),
    st.integers(0, 9999),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["GMT", "-0000", "EST"]) | st.integers(-(10**20), 10**20).map("{:+05}".format),
)


@given(value=st.text(max_size=40) | DATES | st.integers().map(str) | st.floats().map(str))
def test_retry_after_never_fails(value: str) -> None:
    """Whatever stands in the headers, the answer is None or a pause of an hour at most."""
    for headers in ((value, NOW), (value, None), (NOW, value)):
        seconds = retry_after_s(*headers)
        assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER_S


def test_retry_after_needs_no_clock_of_ours() -> None:
    """A date counts from the Date of the same answer; without one it says nothing."""
    assert retry_after_s("Sun, 22 Nov 2099 10:00:30 GMT", "Sun, 22 Nov 2099 10:00:00 GMT") == 30
    assert retry_after_s("Sun, 22 Nov 2026 10:00:30 GMT") is None


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"retry-after": "7"}, 7.0), ({}, None), ({"retry-after": "x"}, None)]
)
def test_a_rate_limit_carries_the_pause(headers: dict[str, str], seconds: float | None) -> None:
    """What Iron asks for is on the error."""
    with pytest.raises(RateLimitedError) as raised:
        answering(429, b"", **headers).customer("c-1")
    assert raised.value.retry_after_s == seconds


# --- lenient reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "ids"),
    [({}, None), ({"identification_ids": None}, None), ({"identification_ids": []}, ()),
     ({"identification_ids": ["i-1", "i-2"], "what": {"is": "this"}}, ("i-1", "i-2"))],
)  # fmt: skip
def test_a_customer_is_read_leniently(fields: dict[str, Any], ids: Any) -> None:
    """Optional fields may be absent or null, unknown ones are ignored, and no ids is not the same as an empty list."""
    customer = answering(200, {"id": "c-1", "status": "Frozen", **fields}).customer("c-1")
    assert (customer.id, customer.status, customer.external_id) == ("c-1", "Frozen", None)
    assert customer.identification_ids == ids


def declined(**steps: Any) -> dict[str, Any]:
    """A declined identification with these steps."""
    return {"id": "i-1", "status": "Declined", "step_status": steps}


@pytest.mark.parametrize(
    ("body", "may_retry"),
    [
        ({"id": "i-1", "status": "Declined"}, True),
        ({"id": "i-1", "status": "Declined", "step_status": None}, True),
        ({"id": "i-1", "status": "Declined", "step_status": "odd"}, True),
        (declined(), True),
        (declined(identity=None, selfie="odd"), True),
        (declined(identity={"result": "Declined", "retry": True}), True),
        (declined(identity={"result": "Declined"}), True),
        (declined(identity={"result": "Approved", "retry": False}), True),
        (
            declined(identity={"result": "Declined", "retry": True}, selfie={"result": "Declined", "retry": False}),
            False,
        ),
        (declined(company_data={"result": "Declined", "retry": False, "comment": "no"}), False),
    ],
)
def test_whether_a_declined_customer_may_retry(body: dict[str, Any], may_retry: bool) -> None:
    """One step that is declined for good forbids it; anything that Iron does not say allows it."""
    (found,) = answering(200, {"items": [body]}).identifications("c-1")
    assert found.may_retry == may_retry


@pytest.mark.parametrize(("url", "link"), [(None, None), ("", None), ("https://v/1", "https://v/1")])
def test_an_empty_link_is_none(url: Any, link: str | None) -> None:
    """A link that is null, empty or absent is no link; the status is kept whatever it is."""
    created = answering(201, {"id": "i-1", "status": "Rejected", "url": url}).create_identification("c-1", {}, KEY)
    assert (created.status, created.url, created.may_retry) == ("Rejected", link, True)


def test_documents_are_read_leniently() -> None:
    """A document needs an id; name and link may be missing or null."""
    first, second = answering(200, [{"id": "d-1"}, {"id": "d-2", "display_name": None, "url": "u"}]).required_signings(
        "c"
    )
    assert (first.id, first.display_name, first.url) == ("d-1", "", "")
    assert (second.id, second.display_name, second.url) == ("d-2", "", "u")


# --- lists -----------------------------------------------------------------------------------------------------------


def test_all_pages_are_read() -> None:
    """The cursor of each page asks for the next one, until there is none."""
    asked: list[dict[str, list[str]]] = []
    pages = {None: (["i-1", "i-2"], "n/1"), "n/1": (["i-3"], "n 2"), "n 2": ([], None)}

    def take(request: httpx.Request) -> httpx.Response:
        query = parse_qs(request.url.query.decode())
        asked.append(query)
        ids, cursor = pages[query.get("cursor", [None])[0]]
        return httpx.Response(200, json={"items": [{"id": one, "status": "x"} for one in ids], "cursor": cursor})

    assert [item.id for item in iron_with(take).identifications("c-1")] == ["i-1", "i-2", "i-3"]
    assert [query.get("cursor") for query in asked] == [None, ["n/1"], ["n 2"]]
    assert all(query["page_size"] == ["100"] for query in asked)


def test_a_list_that_does_not_end_is_given_up() -> None:
    """A cursor that leads in a circle is an answer that makes no sense."""
    calls: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200, json={"items": [], "cursor": "again"})

    with pytest.raises(AnswerUnreadableError, match="does not end"):
        iron_with(take).identifications("c-1")
    assert len(calls) == MAX_PAGES


def test_the_newest_comes_last_whatever_form_its_time_has() -> None:
    """Order is that of `created_at`, over precisions and offsets; what has no readable time comes first."""
    times = {
        "z": "2026-01-15T10:00:00Z",
        "micro": "2026-01-15T10:00:00.000002+00:00",
        "nano": "2026-01-15T10:00:00.000003999Z",
        "east": "2026-01-15T12:00:01+02:00",
        "west": "2026-01-15T05:00:02.5-05:00",
        "no zone": "2026-01-15T10:00:03",
        "none": None,
        "odd": "yesterday",
    }
    items = [{"id": name, "status": "x", "created_at": at} for name, at in reversed(times.items())]
    found = [item.id for item in answering(200, {"items": items}).identifications("c-1")]
    assert found == ["none", "odd", "z", "micro", "nano", "east", "west", "no zone"]
