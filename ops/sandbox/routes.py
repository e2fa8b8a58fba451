"""Every endpoint on one screen: method, path below `/api`, function, and which of the special headers it takes."""

from collections.abc import Callable
from dataclasses import dataclass

from ops.sandbox import customers, identifications, signings, standing
from ops.sandbox.answers import Answer, RefusalError
from ops.sandbox.calls import Call
from ops.sandbox.provider import Provider

Endpoint = Callable[[Provider, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `keyed`: needs an idempotency key; `scoped`: reads X-SUB-PARTNER-ID."""

    method: str
    template: str
    endpoint: Endpoint
    keyed: bool = False
    scoped: bool = True

    @property
    def operation(self) -> str:
        """The endpoint's name in effects and faults."""
        return self.endpoint.__name__


ROUTES = (
    Route("POST", "/customers", customers.create_customer, keyed=True),
    Route("GET", "/customers", customers.list_customers),
    Route("GET", "/customers/{id}", customers.get_customer),
    Route("PUT", "/customers/{id}", customers.update_customer),
    Route("GET", "/customers/{external_id}/external", customers.get_customer_by_external_id),
    Route("PUT", "/customers/{id}/archive", customers.archive_customer, scoped=False),
    Route("POST", "/customers/{id}/identifications/v2", identifications.create_identification, keyed=True),
    Route("GET", "/customers/{id}/identifications", identifications.list_identifications),
    Route("GET", "/identifications/{id}", identifications.get_identification, scoped=False),
    Route("PUT", "/identifications/{id}/archive", identifications.archive_identification, scoped=False),
    Route(
        "GET",
        "/identifications/{id}/compliance-questionnaire",
        identifications.get_compliance_questionnaire,
        scoped=False,
    ),
    Route("GET", "/customers/{id}/requirements", standing.get_requirements),
    Route("GET", "/customers/{id}/required-signings", signings.get_required_signings),
    Route("POST", "/customers/{id}/signings", signings.create_signing, keyed=True),
    Route("GET", "/customers/{id}/signings", signings.list_signings),
    Route("GET", "/terms-and-conditions", signings.get_terms, scoped=False),
    Route("GET", "/customers/{id}/abilities", standing.get_abilities),
    Route("GET", "/customers/{id}/spending-limit", standing.get_spending_limit),
    Route("POST", "/sandbox/identification/{id}", identifications.decide_identification, keyed=True, scoped=False),
    Route("POST", "/sandbox/reset", standing.reset_partner, keyed=True),
)

#: Routes by the fixed parts of their path, with `*` for a parameter.
_TABLE: dict[tuple[str, ...], dict[str, Route]] = {}
for _route in ROUTES:
    _shape = tuple("*" if part.startswith("{") else part for part in _route.template.strip("/").split("/"))
    _TABLE.setdefault(_shape, {})[_route.method] = _route


def find_route(method: str, parts: list[str]) -> Route:
    """Return the endpoint for a path's segments. Raises RefusalError 404, or 405 for another method."""
    methods = _TABLE.get(tuple(parts))
    for place in (1, 2):
        if methods is None and len(parts) > place:
            methods = _TABLE.get((*parts[:place], "*", *parts[place + 1 :]))
    if methods is None:
        raise RefusalError(404, "not found")
    route = methods.get(method)
    if route is None:
        raise RefusalError(405, "method not allowed")
    return route
