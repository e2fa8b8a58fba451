"""One request as the endpoints see it, and the checks of paths, queries and headers that they share."""

from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import parse_qs

from pydantic import BaseModel, ValidationError

from ops.sandbox.wire.answers import RefusalError
from ops.sandbox.world.effects import Effect
from ops.sandbox.world.ids import is_uuid
from ops.sandbox.world.switches import Switches

#: The pages' size if the caller does not say, and the largest, both as documented.
PAGE_SIZE = 10
LARGEST_PAGE = 100
#: Country codes have two letters elsewhere in this API; some clients send three, and the documentation does not say.
ALPHA_3 = 3

Body = TypeVar("Body", bound=BaseModel)


@dataclass(slots=True)
class Call:
    """A request that has passed authentication and routing; `parts` are its decoded segments below `/api`."""

    method: str
    path: str
    parts: list[str]
    query: str
    headers: dict[str, str]
    body: bytes
    at: float
    api_key: str
    idempotency_key: str | None
    sub_partner_id: str | None
    switches: Switches
    effect: Effect | None = None
    _parsed: dict[str, list[str]] | None = field(default=None, repr=False)

    def uuid(self, index: int) -> str:
        """Return a path segment that must be a UUID."""
        text = self.parts[index]
        if not is_uuid(text):
            raise self.unreadable("failed to parse path `id`: not a UUID")
        return text.lower()

    def unreadable(self, text: str) -> RefusalError:
        """Return the refusal of what cannot be read."""
        return RefusalError(self.switches.bad_request, text)

    @property
    def parsed(self) -> dict[str, list[str]]:
        """The query's parameters."""
        if self._parsed is None:
            self._parsed = parse_qs(self.query, keep_blank_values=True) if self.query else {}
        return self._parsed

    def one(self, name: str) -> str | None:
        """Return a parameter that may be given once."""
        values = self.parsed.get(name)
        return values[-1] if values else None

    def choice(self, name: str, values: frozenset[str]) -> str | None:
        """Return a parameter that must be one of the values."""
        value = self.one(name)
        if value is not None and value not in values:
            raise self.unreadable(f"failed to parse parameter `{name}`: unknown value")
        return value

    def choices(self, name: str, values: frozenset[str]) -> frozenset[str] | None:
        """Return a list parameter, comma-separated or repeated."""
        if name not in self.parsed:
            return None
        asked = frozenset(part for text in self.parsed[name] for part in text.split(","))
        if not asked <= values:
            raise self.unreadable(f"failed to parse parameter `{name}`: unknown value")
        return asked

    def cursor(self, name: str) -> str | None:
        """Return a cursor parameter; empty is refused like any other text that is no UUID."""
        value = self.one(name)
        if value is not None and not is_uuid(value):
            raise self.unreadable(f"failed to parse parameter `{name}`: not a UUID")
        return value.lower() if value is not None else None

    def page_size(self) -> int:
        """Return the asked size of a page, 1 to 100."""
        text = self.one("page_size")
        if text is None:
            return PAGE_SIZE
        size = int(text) if text.isascii() and text.isdigit() else 0
        if size < 1 or (size > LARGEST_PAGE and self.switches.large_page == "refuse"):
            raise self.unreadable(f"failed to parse parameter `page_size`: must be 1 to {LARGEST_PAGE}")
        return min(size, LARGEST_PAGE)

    def stale_cursor(self) -> None:
        """Refuse a cursor that leads nowhere, unless it counts as none."""
        match self.switches.stale_cursor:
            case "refuse":
                raise RefusalError(400, "unknown cursor")
            case "not_found":
                raise RefusalError(404, "unknown cursor")

    def read(self, model: type[Body], *, status: int | None = None) -> Body:
        """Read the body as a model, or refuse it with the place and kind of the first problem, never its value.

        `status`: what such a body gets at this endpoint, where that is not what it gets elsewhere.
        """
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise RefusalError(415, "the `Content-Type` requested by the client is not supported")
        try:
            strict = self.switches.unknown_members == "refuse"
            extra: Literal["forbid", "ignore"] = "forbid" if strict else "ignore"
            return model.model_validate_json(self.body, context={"now": self.at}, extra=extra)
        except ValidationError as error:
            text = "parse request payload error: " + first_problem(error)
            raise RefusalError(status or self.switches.bad_request, text) from None


def first_problem(error: ValidationError) -> str:
    """Return where a body is wrong, and how, without repeating what was sent."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, problem["loc"])) or "body"
    return f"{place}: {problem['msg']}"


def required(call: Call, name: str) -> str:
    """Return a query parameter that must be there."""
    value = call.one(name)
    if not value:
        raise call.unreadable(f"failed to parse parameter `{name}`: missing")
    return value
