"""The choices where the provider's documentation is silent or contradicts itself, each with its default."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: The documented examples name two documents; a country may have more.
DEFAULT_DOCUMENTS = ("Terms and Conditions", "Privacy Policy")


class Switches(BaseModel):
    """All switches; times are in seconds of the sandbox clock, at speed 1 where they belong to a script."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    #: What creating an identification does while another one is in flight.
    pending_identification: Literal["conflict", "supersede"] = "conflict"
    #: What required-signings answers when nothing is to be signed.
    required_signings_otherwise: Literal["conflict", "empty", "not_found"] = "conflict"
    #: From Approved to the customer's next status; null: 0.2 to 2 s, by customer.
    approval_delay_s: float | None = Field(default=None, ge=0)
    #: What is to be signed.
    documents: tuple[str, ...] = DEFAULT_DOCUMENTS
    #: How long a new customer stays invisible to external-id look-up, list and search.
    lookup_lag_s: float = Field(default=0, ge=0)
    #: The same for the lists of identifications and signings.
    record_lag_s: float = Field(default=0, ge=0)
    #: How long an idempotency key is remembered.
    retention_s: float = Field(default=86_400, gt=0)
    #: Which errors are stored under the key and replayed.
    stored_errors: Literal["4xx", "none", "all"] = "4xx"
    #: The form of 4xx bodies.
    error_bodies: Literal["string", "text", "empty"] = "string"
    #: How absent optional fields are written.
    optional_fields: Literal["null", "omitted"] = "null"
    #: Adds fields that no document names to every object.
    unknown_fields: bool = False
    #: Status values as written on the wire, by their documented name (unknown enum values).
    renamed_statuses: dict[str, str] = Field(default_factory=dict)
    #: Whether signing a document that is not required (any more) is refused with 422 or makes a second record.
    signing_again: Literal["refuse", "accept"] = "refuse"
    #: Whether the hosted link stays in the record after the customer has used it.
    keep_url: bool = False
    #: What an update of a customer answers; 204 has no body.
    update_status: Literal[200, 204] = 204
    #: Limits of calls by the caller's clock; null: none. Excess gives 429.
    rate_per_second: int | None = Field(default=None, ge=1)
    identifications_per_minute: int | None = Field(default=None, ge=1)
    #: Whether those 429 answers carry Retry-After.
    retry_after: bool = True
    #: Where hosted links lead; a server's lead to its own page.
    link_prefix: str = "https://verify.sandbox.invalid/start?token="
    #: Where that page leads whoever has pressed a button; null: back to itself.
    return_url: str | None = None
