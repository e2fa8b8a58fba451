"""The JSON of requests and answers, as the OpenAPI document shows it. Contract, sections 3, 4 and 6.

Bodies are checked with these models; answers are not made from them, for speed, and a test compares the two.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pipelines.identification.fields import Shape, Text
from pipelines.job import Job
from pipelines.lifecycle import Actor, Phase

_JOB: JsonDict = {
    "idempotency_key": "crm-2026-000123",
    "external_id": "crm-000123",
    "customer": {"customer_type": "Person", "email": "ada@example.com", "name": "Ada Example"},
    "identification": {"type": "Link", "with_edd": False},
    "risk_tier": "standard",
    "lane": "interactive",
    "labels": {"source": "crm"},
}
_AT = "2026-11-22T10:00:00Z"

Reason = Annotated[Text, Field(description="Why. Kept in the history: no personal data.")]


class Act(Shape):
    """What an operator does, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the customer asked for another try"}]})

    reason: Reason


class Archiving(Shape):
    """What is to be archived at Iron for good, and why. `confirm` repeats the idempotency key."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "a mistaken double", "confirm": "crm-000123", "what": "customer"}]}
    )

    reason: Reason
    confirm: Annotated[str, Field(max_length=200, description="The idempotency key once more.")]
    what: Literal["customer", "identification"] = "customer"


class Correcting(Act):
    """Why the input is corrected, and what begins with it."""

    restart: bool = Field(
        default=False, description="Begin a new identification with it, with the job's own data where it has some."
    )


class Correction(Correcting):
    """The whole job as it should be, under the idempotency key that it has."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "typing error in the e-mail address", "job": _JOB}]}
    )

    job: Job


class Search(Shape):
    """What to look for: an idempotency key, an external id, an e-mail address, or Iron's id of a customer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "ada@example.com"}]})

    text: Text


class Need(BaseModel):
    """Something that is needed so that the onboarding goes on."""

    code: str
    text: str
    link: str | None = Field(None, description="Where the customer does it. A secret: show it to the customer only.")
    document: str | None = Field(None, description="Id of the document that it is about.")
    reasons: list[str] | None = Field(None, description="Iron's codes of what it is about.")
    reject_labels: list[str] | None = Field(None, description="Labels of the same, which say more.")


class CustomerText(BaseModel):
    """A text that may be shown to the customer, by language."""

    en: str
    de: str


class Explanation(BaseModel):
    """What one of Iron's codes or labels means."""

    code: str
    text: str = Field(description="For people here, in English. A code that is new stands for itself.")
    customer: CustomerText | None = Field(description="For the customer; null where nothing may be said.")


class IronState(BaseModel):
    """What Iron says, as it says it."""

    customer_id: str | None
    customer_status: str | None
    identification_id: str | None
    identification_status: str | None


class SigningState(BaseModel):
    """A document that the customer has to sign, and how far that is."""

    id: str
    display_name: str
    url: str
    consented_at: str | None
    signed_at: str | None


class ProblemState(BaseModel):
    """What keeps an onboarding from moving on."""

    code: str
    text: str
    retryable: bool
    first_seen: str
    count: int


class Onboarding(BaseModel):
    """Where a customer stands, who must act, what exactly is needed, and what happens next."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "idempotency_key": "crm-2026-000123",
                    "external_id": "crm-000123",
                    "lane": "interactive",
                    "risk_tier": "standard",
                    "phase": "identification_pending",
                    "waiting_on": "customer",
                    "since": _AT,
                    "due": "2026-11-22T10:05:00Z",
                    "needs": [
                        {
                            "code": "complete_identification",
                            "text": "The customer opens the link and completes the identification.",
                            "link": "https://verify.example/9f3c",
                        }
                    ],
                    "next": "We check again at 2026-11-22 10:05:00 UTC, or as soon as Iron notifies us.",
                    "round": 1,
                    "revision": 0,
                    "attempts": 0,
                    "version": 7,
                    "customer_link": "https://onboarding.example.com/go/AbCd",
                    "import": None,
                    "sub_partner_id": None,
                    "iron": {
                        "customer_id": "0b8f3a52-63e8-4a8b-9d4f-0f6a3e0c7c11",
                        "customer_status": "IdentificationRequired",
                        "identification_id": "5b0f8b1e-29f4-44f0-8b6b-0d5b1a3a2a1f",
                        "identification_status": "Pending",
                    },
                    "reasons": [],
                    "reject_labels": [],
                    "explanations": [],
                    "may_retry": None,
                    "signings": [],
                    "problem": None,
                    "created_at": _AT,
                    "updated_at": _AT,
                    "labels": {"source": "crm"},
                }
            ]
        }
    )

    idempotency_key: str
    external_id: str
    lane: str
    risk_tier: str
    phase: Phase
    waiting_on: Actor
    since: str
    due: str | None
    needs: list[Need]
    next: str
    round: int
    revision: int
    attempts: int
    version: int
    customer_link: str | None = Field(description="Stays the same: send it to the customer. A secret like any link.")
    import_: str | None = Field(alias="import", description="Name of the import that it came with.")
    sub_partner_id: str | None
    iron: IronState
    reasons: list[str] = Field(
        description="Iron's codes of why it refused, declined or asks for more, such as `country_not_supported` and"
        " `kyc_selfie`. Decide by these; Iron's texts may be personal and are read at `/personal`."
    )
    reject_labels: list[str] = Field(description="Labels of the same, which say more: `UNSATISFACTORY_PHOTOS`.")
    explanations: list[Explanation] = Field(description="What these codes and labels mean. Texts may change.")
    may_retry: bool | None = Field(description="After a decline: whether the customer may try again. Else null.")
    signings: list[SigningState]
    problem: ProblemState | None
    created_at: str
    updated_at: str
    labels: dict[str, str]


class Onboardings(BaseModel):
    """A page of onboardings. It may hold fewer than asked for, also none, while there is a next one."""

    onboardings: list[Onboarding]
    next_cursor: str | None = Field(description="Ask with it for the next page; null: this was the last.")


class Entry(BaseModel):
    """Something that happened. Entries are chained by their digests."""

    at: str
    at_ms: int
    phase: str
    step: str | None = None
    note: str | None = None
    digest: str


class History(BaseModel):
    """A page of what happened, oldest first."""

    history: list[Entry]
    next_cursor: str | None


class IronsReason(BaseModel):
    """A reason that Iron gives for a requirement."""

    code: str
    text: str


class Statement(BaseModel):
    """What Iron said in its own words. Show it; never decide by it: Iron may change it at any time."""

    about: Literal["refusal", "requirement", "review", "step"]
    current: bool = Field(description="False: it is of something that is over, and still stored.")
    text: str = Field(description="May be empty where a code or a label says it all.")
    status: int | None = Field(None, description="Of a refusal: the HTTP status.")
    code: str | None = Field(None, description="Of a requirement: its code.")
    labels: list[str] | None = Field(None, description="Of a requirement: its labels.")
    retryable: bool | None = Field(None, description="Of a requirement: whether the customer may try again.")
    reasons: list[IronsReason] | None = Field(None, description="Of a requirement: why.")
    questions: list[str] | None = Field(None, description="Of a requirement: questions that are not answered.")
    texts: list[str] | None = Field(None, description="Of a requirement: what Iron gave as a code and is none.")
    step: str | None = Field(None, description="Of a step of the identification: which one.")


class Personal(BaseModel):
    """What is stored about the customer, by part of the input, and what Iron said in its own words."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "idempotency_key": "crm-2026-000123",
                    "personal": {"customer": _JOB["customer"], "review_comment": "The photo is blurred."},
                    "iron_says": [{"about": "review", "current": True, "text": "The photo is blurred."}],
                }
            ]
        }
    )

    idempotency_key: str
    personal: dict[str, Any]
    iron_says: list[Statement]


class EventData(BaseModel):
    """What an event is about: which onboarding, and how it was then."""

    idempotency_key: str
    phase: str
    waiting_on: str
    version: int = Field(description="The record's, as reading it shows it.")
    need: str | None = Field(default=None, description="Of `reminder_due`: the code of the need.")
    count: int | None = Field(default=None, description="Of `reminder_due`: the how manieth reminder of it this is.")
    limit_s: int | None = Field(default=None, description="Of `overdue`: the limit that the stage is over, in seconds.")


class CloudEvent(BaseModel):
    """An event as CloudEvents 1.0 has it, without personal data."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "specversion": "1.0",
                    "id": "1790000000123-0",
                    "source": "urn:onboarding:default",
                    "type": "onboarding.signings_required",
                    "subject": "crm-2026-000123",
                    "time": "2026-09-21T14:13:20.123Z",
                    "sequence": "17900000001230000000",
                    "datacontenttype": "application/json",
                    "data": {
                        "idempotency_key": "crm-2026-000123",
                        "phase": "signings_required",
                        "waiting_on": "us",
                        "version": 6,
                    },
                }
            ]
        }
    )

    specversion: str
    id: str = Field(description="The same over every delivery; also the place in the stream.")
    source: str
    type: str = Field(description="`onboarding.<phase>`, `onboarding.needs_changed`, and others as they are added.")
    subject: str = Field(description="The idempotency key.")
    time: str
    sequence: str = Field(description="Grows with each event of an onboarding, compared as a text.")
    datacontenttype: str
    data: EventData


class Events(BaseModel):
    """A page of the event stream."""

    events: list[CloudEvent]
    next: str = Field(description="Ask with it as `after` to go on.")


class JobProblem(BaseModel):
    """One thing that is wrong with a job."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the job.")
    code: str
    text: str


class RefusedJob(BaseModel):
    """A job that came as a message and was refused."""

    id: str = Field(description="The message's id.")
    at: str
    idempotency_key: str | None
    reasons: list[JobProblem]


class Refused(BaseModel):
    """Refused jobs, the newest first."""

    refused: list[RefusedJob]


class PhaseCount(BaseModel):
    """How many are in a phase, and since when the oldest."""

    count: int
    oldest_since: str


class StageWindow(BaseModel):
    """How many stages ended in a window, and how long they took: percentiles, at most a fifth too long."""

    count: int
    p50_s: float
    p90_s: float
    p99_s: float


class Stage(BaseModel):
    """A phase and who must act in it: how long it took, and how many are over their limit now."""

    phase: str
    waiting_on: str
    limit_s: int | None = Field(description="null: no limit is in force.")
    overdue: int
    last_24h: StageWindow | None
    last_7d: StageWindow | None
    last_30d: StageWindow | None


class Summary(BaseModel):
    """The whole at a glance; more members may be added."""

    total: int
    phases: dict[Phase, PhaseCount]
    lanes: dict[str, dict[str, int]]
    budget: dict[str, Any]
    sweep: dict[str, Any]
    endpoints: dict[str, int] = Field(description="Endpoints by state, and onboardings whose events one refuses.")
    refused: int = Field(description="Jobs that came as messages and were refused.")
    messages: dict[str, Any] = Field(description="Messages whose time has not come, and those that do not move.")
    reidentification: dict[str, Any] = Field(description="The policy's cap, today's starts, and who waits for one.")
    stages: list[Stage] = Field(description="How long stages took, except those in which they were paused.")


class ImportState(BaseModel):
    """How far an import is, and what became of its rows."""

    name: str
    state: Literal["loading", "interrupted", "running", "paused", "cancelled", "finished"]
    by: str
    created_at: str
    loaded_at: str | None
    rows: int
    create: int
    unchanged: int
    conflict: int
    error: int
    waiting: int = Field(description="Records that no worker has claimed yet.")
    started: int
    finished: int = Field(description="Records for which all our own work is done.")
    phases: dict[str, int]
    per_minute: float | None
    expected_at: str | None
    finished_at: str | None
    halted: dict[str, Any] | None


class Imports(BaseModel):
    """All imports, the newest first."""

    imports: list[ImportState]
