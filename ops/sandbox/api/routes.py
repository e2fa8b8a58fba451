"""Every endpoint on one screen: method, path below `/api`, function, and which of the special headers it takes."""

from collections.abc import Callable
from dataclasses import dataclass

from ops.sandbox.api import customers, hooks, identifications, reference, requirements, signings
from ops.sandbox.api.answers import Answer, RefusalError
from ops.sandbox.api.calls import Call
from ops.sandbox.world.provider import Provider

Endpoint = Callable[[Provider, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `keyed`: needs an idempotency key; `scoped`: reads X-SUB-PARTNER-ID; `status`: of its success."""

    method: str
    template: str
    endpoint: Endpoint
    keyed: bool = False
    scoped: bool = True
    status: int = 200

    @property
    def operation(self) -> str:
        """The endpoint's name in effects and faults."""
        return self.endpoint.__name__

    @property
    def body(self) -> bool:
        """Whether it reads a body."""
        return self.method != "GET" and not self.template.endswith(("/archive", "/reset"))


ROUTES = (
    Route("POST", "/customers", customers.create_customer, keyed=True, status=201),
    Route("GET", "/customers", customers.list_customers),
    Route("GET", "/customers/{id}", customers.get_customer),
    Route("PUT", "/customers/{id}", customers.update_customer, status=204),
    Route("GET", "/customers/{external_id}/external", customers.get_customer_by_external_id),
    Route("PUT", "/customers/{id}/archive", customers.archive_customer, scoped=False),
    Route("POST", "/customers/{id}/identifications/v2", identifications.create_identification, keyed=True, status=201),
    Route("GET", "/customers/{id}/identifications", identifications.list_identifications),
    Route("GET", "/identifications/{id}", identifications.get_identification, scoped=False),
    Route("PUT", "/identifications/{id}/archive", identifications.archive_identification, scoped=False),
    Route(
        "GET",
        "/identifications/{id}/compliance-questionnaire",
        identifications.get_compliance_questionnaire,
        scoped=False,
    ),
    Route("GET", "/customers/{id}/requirements", requirements.get_requirements),
    Route("GET", "/customers/{id}/required-signings", signings.get_required_signings),
    Route("POST", "/customers/{id}/signings", signings.create_signing, keyed=True, status=201),
    Route("GET", "/customers/{id}/signings", signings.list_signings),
    Route("GET", "/terms-and-conditions", reference.get_terms, scoped=False),
    Route("GET", "/customers/{id}/abilities", requirements.get_abilities),
    Route("GET", "/customers/{id}/spending-limit", requirements.get_spending_limit),
    Route(
        "POST",
        "/sandbox/identification/{id}",
        identifications.decide_identification,
        keyed=True,
        scoped=False,
        status=201,
    ),
    Route("POST", "/sandbox/reset", requirements.reset_partner, keyed=True),
    Route("GET", "/customers/{id}/microdeposits", reference.list_microdeposits),
    Route("GET", "/country_subdivisions/{country_code}", reference.get_country_subdivisions, scoped=False),
    Route("GET", "/fiatcurrencies", reference.list_fiat_currencies, scoped=False),
    Route("GET", "/cryptocurrencies", reference.list_crypto_currencies, scoped=False),
    Route("GET", "/fee-profiles", reference.list_fee_profiles),
    Route("GET", "/webhooks", hooks.list_webhooks, scoped=False),
    Route("PATCH", "/webhooks/{id}", hooks.update_webhook),
    Route("POST", "/webhooks/{id}/ping", hooks.ping_webhook, keyed=True),
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
