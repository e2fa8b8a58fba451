"""The choices where the provider's documentation is silent or contradicts itself, each with its default.

Numbers after the comments are sections of the fact sheet. Which values are plausible, and how often each may be another
one, is in `drawing`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: The documented examples name two documents; a country may have more.
DEFAULT_DOCUMENTS = ("Terms and Conditions", "Privacy Policy")
#: Every version that a stored page of the documentation names (1.2), the newest last.
VERSIONS = ("2025-03-13", "2026-07-01", "2026-08-01", "2026-10-15")

#: What a read may answer instead of what it should: a status, another JSON value, an object without one of its
#: members, a list whose objects lack one, or a status or code that no document names.
OddRead = Literal[
    "400",
    "403",
    "404",
    "409",
    "410",
    "422",
    "empty_list",
    "null",
    "empty_object",
    "missing_member",
    "missing_in_items",
    "unknown_status",
]
Order = Literal["newest", "oldest", "shuffled"]


class Switches(BaseModel):
    """All switches; times are in seconds of the sandbox clock, at speed 1 where they belong to a script."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # --- Requests and headers

    #: The values of X-API-Version that are taken; an empty or missing one always is. 1.2
    known_versions: tuple[str, ...] = VERSIONS
    #: What any other version gets. 1.2
    bad_version: Literal[400, 403, 406, 422] = 400
    #: Whether answers name the version they are in. 1.2
    version_echo: bool = True
    #: Whether members that no document names are refused in bodies, or overlooked: no schema of the documentation is
    #: closed. Refused by default, so that our own tests find our own mistakes; a running server takes them. 1.6
    unknown_members: Literal["refuse", "take"] = "refuse"
    #: What a body, parameter or header gets that cannot be read; bodies of signings have a status of their own. 1.6
    bad_request: Literal[400, 422] = 400
    #: What the body of a signing gets. 3.12
    bad_signing: Literal[400, 422] = 422
    #: A `page_size` above the largest one. 1.5
    large_page: Literal["refuse", "clamp"] = "refuse"
    #: A cursor that leads nowhere (any more): refused, not found, or taken for none. 1.5
    stale_cursor: Literal["refuse", "not_found", "first_page"] = "refuse"
    #: What every call gets, whoever sends it; null: its own answer. A rejected key, a blocked address, a retired
    #: version. 1.1, 1.2
    refuse_all: Literal[400, 401, 403, 406] | None = None
    #: Whether 429 answers carry Retry-After. 1.4
    retry_after: bool = True
    #: Limits of calls by the caller's clock; null: none. Excess gives 429. 1.4
    rate_per_second: int | None = Field(default=None, ge=1)
    identifications_per_minute: int | None = Field(default=None, ge=1)

    # --- Idempotency

    #: How long an idempotency key is remembered. 1.3
    retention_s: float = Field(default=86_400, gt=0)
    #: The same where the documentation says nothing, so everywhere but for identifications; null: as long. 1.3
    retention_elsewhere_s: float | None = Field(default=None, gt=0)
    #: Which errors are stored under the key and replayed. 1.3
    stored_errors: Literal["4xx", "none", "all"] = "4xx"
    #: Whether two endpoints may be given the same key. 1.3
    key_scope: Literal["path", "everywhere"] = "path"
    #: Whether a key must be a UUID. 1.3
    key_form: Literal["any", "uuid"] = "any"
    #: What a request gets whose twin has not been answered yet. 1.3
    in_flight: Literal["conflict", "replay"] = "conflict"
    #: Whether a stored answer comes with its headers. 1.3
    replay_headers: bool = True

    # --- Customers

    #: A second customer with an external id that is taken, or with an e-mail address that is. 3.1
    duplicate_external_id: Literal["take", 400, 409] = "take"
    duplicate_email: Literal["take", 400, 409] = "take"
    #: Which customer the look-up finds if several share an external id; whether it finds archived ones, and whether
    #: it minds the case. 3.3
    external_lookup: Literal["oldest", "newest"] = "oldest"
    external_archived: bool = True
    external_case: Literal["kept", "ignored"] = "kept"
    #: The most characters of an external id. 3.1
    longest_external_id: int = Field(default=255, ge=1)
    #: What comes first: the identification, or, as in older generations of the API, the signatures. 0.3
    order: Literal["identify_first", "sign_first"] = "identify_first"
    #: What a customer of another sub-partner is to the caller. 7
    wrong_sub_partner: Literal[403, 404] = 404
    #: What an update of a customer answers; 204 has no body. 3.5
    update_status: Literal[200, 204] = 204
    #: What an update of an unknown customer gets; no 404 is declared. 3.5
    update_missing: Literal[400, 404] = 404
    #: What a suspended or archived customer's new identifications and signatures get. 3.7
    blocked_customer: Literal[400, 403, 409] = 403

    # --- Identifications

    #: What creating an identification does while another one is in flight. 3.7
    pending_identification: Literal["conflict", "supersede"] = "conflict"
    #: Which statuses are in flight for that: all that are not decided, or Pending alone. 3.7
    pending_means: Literal["in_flight", "pending"] = "in_flight"
    #: What becomes of the one that is superseded. 3.7
    superseded_becomes: Literal["itself", "Expired", "Archived"] = "itself"
    #: What complete data (Token, Person, Business) become at once. 5.2
    submitted_becomes: Literal["Processed", "PendingReview"] = "Processed"
    #: Whether archiving the newest identification puts the customer back. 3.9b
    archiving_puts_back: bool = False
    #: What the provider's own sandbox says to a decision on what is decided. 3.18
    decided_again: Literal[400, 404, 409] = 404
    #: Whether identifications go through their reviews by themselves, as the e-mail's tag says, or all wait for
    #: `POST /sandbox/identification/{id}`, as in the provider's own sandbox. 3.18
    approval: Literal["by_itself", "by_call"] = "by_itself"
    #: How a step-up shows: the same record Pending, the same still Approved with a link, or a new record. 4.4
    step_up: Literal["pending", "approved", "new_record"] = "pending"
    #: How long a new identification has no link yet. 9
    url_delay_s: float = Field(default=0, ge=0)
    #: Whether each read gives another link; the older ones work, too. 3.9
    url_rotates: bool = False
    #: Whether the link stays in the record after the customer has used it. 7
    keep_url: bool = False
    #: When the steps of an identification are told. 2.6
    step_status: Literal["decided", "always", "never"] = "decided"
    #: How a group of requirements without any is written. 3.10
    requirements_empty: Literal["list", "null"] = "list"
    #: Whether `retryable` says it, or is null. 3.10
    retryable_said: bool = True
    #: Whether a reviewer writes a comment. 2.5
    review_comments: bool = True

    # --- Signatures

    #: From Approved to the customer's next status; null: 0.2 to 2 s, by customer. 3.11
    approval_delay_s: float | None = Field(default=None, ge=0)
    #: What an approved customer without anything to sign becomes: Active, or SigningsRequired with an empty list
    #: for as long as the delay above once more. 4.1
    nothing_to_sign: Literal["active", "signings_required"] = "active"
    #: What a customer signs after a new identification: what is new, or everything again. 9
    new_round_signs: Literal["missing", "all"] = "missing"
    #: How long the documents are not there yet though signatures are required. 3.11
    documents_lag_s: float = Field(default=0, ge=0)
    #: What required-signings answers when nothing is to be signed: 409 with the text of the customer's status or
    #: with one text for all, 404, 410, 400, 403, an empty list or null. 3.11
    required_signings_otherwise: Literal[
        "conflict", "conflict_not_in_status", "conflict_none", "empty", "not_found", "gone", "bad", "forbidden", "null"
    ] = "conflict"
    #: Whether documents stay in the list until the last one is signed. 7
    signed_stay_listed: bool = False
    #: Whether signing what is not required (any more) is refused, with which status, makes a second record, or answers
    #: the one that there is. 3.12
    signing_again: Literal["refuse", 404, 409, 422, "accept", "same"] = "refuse"
    #: What signing an unknown document gets. 3.12
    unknown_document: Literal[404, 409, 422] = 404
    #: From the last signature to the customer's next status. 7
    activation_delay_s: float = Field(default=0, ge=0)
    #: What is to be signed.
    documents: tuple[str, ...] = DEFAULT_DOCUMENTS

    # --- Reads

    #: How long a new customer stays invisible to external-id look-up, list and search. 7
    lookup_lag_s: float = Field(default=0, ge=0)
    #: The same for the lists of identifications and signings. 7
    record_lag_s: float = Field(default=0, ge=0)
    #: How long a new customer cannot be read by its own id. 7
    customer_lag_s: float = Field(default=0, ge=0)
    #: How long reads of a customer show the status before. 7
    status_lag_s: float = Field(default=0, ge=0)
    #: The order of the lists of identifications and signings, and of the ids that a customer carries. 1.5, 2.4
    list_order: Order = "newest"
    ids_order: Order = "oldest"
    #: How absent optional fields are written. 1.1
    optional_fields: Literal["null", "omitted"] = "null"
    #: Members that no object has, though a document names them; samples leave out even required ones. 2.4
    left_out: tuple[str, ...] = ()
    #: Adds fields that no document names to every object. 1.2
    unknown_fields: bool = False
    #: Status values as written on the wire, by their documented name (unknown enum values). 1.2
    renamed_statuses: dict[str, str] = Field(default_factory=dict)
    #: How times are written: whole or with microseconds, with Z or an offset. 1.1
    times: Literal["z", "micros", "offset", "micros_offset", "elsewhere"] = "z"
    #: What reads answer instead of what they should, by operation (`get_customer`, `list_identifications`, ...). 7
    odd_reads: dict[str, OddRead] = Field(default_factory=dict)

    # --- Errors

    #: The form of 4xx bodies, and of 401's. 1.6
    error_bodies: Literal["string", "text", "object", "empty"] = "string"
    unauthorized_body: Literal["text", "string"] = "text"

    # --- Webhooks

    #: The agent that webhooks name, or null: the one of the HTTP client. 6
    webhook_agent: str | None = "Iron-Webhooks/1.0"
    #: What signs: the secret as it is, or what its base64 says after `whsec_`; where it is none, as it is. 6.3
    webhook_key: Literal["raw", "decoded"] = "raw"
    #: Whether the message stands in an object named for its kind, as in the samples, or not, as in the schema. 6.2
    webhook_message: Literal["wrapped", "unwrapped"] = "wrapped"
    #: What `webhook-id` names: the attempt, or the event through all attempts. 6.3
    webhook_id: Literal["attempt", "event"] = "attempt"

    # --- The stand of the sandbox itself

    #: Where hosted links lead; a server's lead to its own page.
    link_prefix: str = "https://verify.sandbox.invalid/start?token="
    #: Where that page leads whoever has pressed a button; null: back to itself.
    return_url: str | None = None


def chosen(*, by_call: bool = False, strict: bool = False) -> dict[str, str]:
    """Return the switches that the flags of a command stand for; those not given leave things as they are."""
    switches = {}
    if by_call:
        switches["approval"] = "by_call"
    if strict:
        switches["unknown_members"] = "refuse"
    return switches
