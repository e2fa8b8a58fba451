"""What Iron answers with, as values, read leniently: what is unknown is kept or ignored. Source: iron-api 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pipelines.codes import is_code
from pipelines.errors import AnswerUnreadableError

#: Stands for a time that an answer does not say: it sorts before all others.
BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as Iron shows it. `identification_ids` is None where the answer does not say."""

    id: str
    status: str
    external_id: str | None = None
    identification_ids: tuple[str, ...] | None = None
    #: Status of the newest identification, where the answer says it.
    identification_status: str | None = None
    email: str | None = field(default=None, repr=False)
    #: The API version that Iron says it answered by; "": it does not say.
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that Iron still wants, or why it declined. The texts may be personal, code and labels are not.

    What Iron gives as a code or a label and is none is one of `texts`.
    """

    code: str
    labels: tuple[str, ...] = ()
    #: None: Iron does not say.
    retryable: bool | None = None
    description: str = field(default="", repr=False)
    #: Iron's reasons, each a code and a text.
    reasons: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: Titles of the questions that are not answered.
    questions: tuple[str, ...] = field(default=(), repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)

    def said(self) -> dict[str, Any]:
        """Return all of it as JSON, without what is empty."""
        given = {
            "code": self.code,
            "labels": list(self.labels),
            "retryable": self.retryable,
            "description": self.description,
            "reasons": [{"code": code, "text": text} for code, text in self.reasons],
            "questions": list(self.questions),
            "texts": list(self.texts),
        }
        return {name: value for name, value in given.items() if value not in (None, "", [])}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What Iron still wants of a customer, or why it declined, and whether the customer may try again."""

    open: tuple[Requirement, ...]
    may_retry: bool

    @property
    def codes(self) -> tuple[str, ...]:
        """Name what is open, each code once."""
        return tuple(sorted({item.code for item in self.open}))

    @property
    def labels(self) -> tuple[str, ...]:
        """Name the labels of all that is open, each once."""
        return tuple(sorted({label for item in self.open for label in item.labels}))


@dataclass(frozen=True, slots=True)
class Identification:
    """An identification as Iron shows it. `may_retry` is False once any of its steps is declined for good."""

    id: str
    status: str
    url: str | None = None
    created_at: datetime = BEFORE_ALL
    may_retry: bool = True
    review_comment: str | None = field(default=None, repr=False)
    #: Comments on the steps of the identification, by step.
    comments: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that the customer must sign now."""

    id: str
    display_name: str
    url: str


@dataclass(frozen=True, slots=True)
class Filters:
    """Which customers Iron's list shows: those that fit every filter that is given. Source: iron-api 3.4."""

    statuses: tuple[str, ...] = ()
    #: Statuses of the newest identification.
    identification_statuses: tuple[str, ...] = ()
    customer_types: tuple[str, ...] = ()
    #: A part of the name, id, e-mail address or external id; at most 256 characters.
    search_term: str = field(default="", repr=False)

    def query(self) -> dict[str, str]:
        """Return the filters as members of a query."""
        given = {
            "status": ",".join(self.statuses),
            "identification_status": ",".join(self.identification_statuses),
            "customer_type": ",".join(self.customer_types),
            "search_term": self.search_term,
        }
        return {name: value for name, value in given.items() if value}


#: Everybody.
NO_FILTERS = Filters()


def objects(value: Any) -> list[dict[str, Any]]:
    """Read a list of objects; what is missing or null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise AnswerUnreadableError
    return list(map(mapping_of, value))


def strings(value: Any) -> tuple[str, ...]:
    """Read the texts of a list, whatever else is in it."""
    return tuple(item for item in value if isinstance(item, str) and _is_text(item)) if isinstance(value, list) else ()


def optional(value: Any) -> str:
    """Return a text of an answer, or "" where there is none."""
    return value if isinstance(value, str) and _is_text(value) else ""


def requirement(item: dict[str, Any]) -> Requirement:
    """Read one requirement. Only its code is needed; whatever else is odd is left out. Source: iron-api 3.10."""
    reasons, questions = item.get("reject_reasons"), item.get("missing_questions")
    told = [one for one in reasons if isinstance(one, dict)] if isinstance(reasons, list) else []
    asked = [one for one in questions if isinstance(one, dict)] if isinstance(questions, list) else []
    retryable, code, labels = item.get("retryable"), optional(item.get("code")), strings(item.get("reject_labels"))
    return Requirement(
        code=code if is_code(code) else "unknown",
        labels=tuple(filter(is_code, labels)),
        retryable=retryable if isinstance(retryable, bool) else None,
        description=optional(item.get("description")),
        reasons=tuple((optional(one.get("code")), optional(one.get("description"))) for one in told),
        questions=tuple(title for one in asked if (title := optional(one.get("title")))),
        texts=tuple(text for text in (code, *labels) if text and not is_code(text)),
    )


def text_of(value: Mapping[str, Any], name: str) -> str:
    """Return a member that has to be a text. Raises AnswerUnreadableError."""
    text = value.get(name)
    if not isinstance(text, str) or not text or not _is_text(text):
        message = f"Iron's answer has no {name}."
        raise AnswerUnreadableError(message)
    return text


def _is_text(text: str) -> bool:
    """Return whether a string can be written as UTF-8: JSON can name halves of characters, which nothing can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _instant(value: object) -> datetime:
    """Read an RFC 3339 time, whatever its precision and offset; what cannot be read sorts first."""
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        return BEFORE_ALL
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def customer_of(value: dict[str, Any]) -> Customer:
    """Read a customer. Raises AnswerUnreadableError."""
    ids = value.get("identification_ids")
    return Customer(
        id=text_of(value, "id"),
        status=text_of(value, "status"),
        external_id=optional(value.get("external_id")) or None,
        identification_ids=tuple(map(str, ids)) if isinstance(ids, list) else None,
        identification_status=optional(value.get("identification_status")) or None,
        email=optional(value.get("email")) or None,
    )


def web_link(text: str, *, plain: bool = False) -> str | None:
    """Return an address that a browser may be sent to: https, or http where `plain`; None for anything else."""
    if any(ord(sign) <= ord(" ") for sign in text):
        return None
    try:
        found = urlsplit(text)
    except ValueError:
        return None
    good = found.scheme == "https" or (plain and found.scheme == "http")
    return text if good and found.hostname and not found.username else None


def identification_of(value: dict[str, Any], *, plain: bool = False) -> Identification:
    """Read an identification. Raises AnswerUnreadableError.

    A link that is none for a browser is left out. `plain`: http will do, since Iron itself is reached by it.
    """
    steps = value.get("step_status")
    results = {name: step for name, step in steps.items() if isinstance(step, dict)} if isinstance(steps, dict) else {}
    final = any(step.get("result") == "Declined" and step.get("retry") is False for step in results.values())
    comments = {name: comment for name, step in results.items() if (comment := optional(step.get("comment")))}
    return Identification(
        id=text_of(value, "id"),
        status=text_of(value, "status"),
        url=web_link(optional(value.get("url")), plain=plain),
        created_at=_instant(value.get("created_at")),
        may_retry=not final,
        review_comment=optional(value.get("review_comment")) or None,
        comments=comments,
    )


def mapping_of(value: Any) -> dict[str, Any]:
    """Return an object. Raises AnswerUnreadableError."""
    if not isinstance(value, dict):
        raise AnswerUnreadableError
    return value
