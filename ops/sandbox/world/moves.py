"""Moves by hand, for the control interface and tests: what the provider has no call for.

A move by hand ends the script of whatever it moves: nothing scheduled before it happens any more.
"""

from collections.abc import Callable

from ops.sandbox.api.answers import RefusalError
from ops.sandbox.world.provider import Provider
from ops.sandbox.world.records import Customer, Identification

#: Steps of an identification; given a customer, they move the newest one.
IDENTIFICATION_STEPS = (
    "process",
    "review",
    "approve",
    "decline",
    "decline-final",
    "expire",
    "stepup",
    "archive-identification",
    "identification-status",
)
CUSTOMER_STEPS = ("suspend", "restore", "newterms", "archive", "userrequired", "status")


def move(
    provider: Provider, subject: str, step: str, at: float, *, status: str | None = None, comment: str | None = None
) -> None:
    """Move a record. `status` goes with `status` and `identification-status` and may be any word, also an unknown one.

    Raises RefusalError 404 for an unknown subject or step, 400 for a missing status.
    """
    identification = provider.store.identifications.get(subject)
    customer = identification.customer if identification else _customer(provider, subject)
    if step in {"status", "identification-status"} and not status:
        raise RefusalError(400, "status is missing")
    if identification is not None and step in {"archive", "status"}:
        step = {"archive": "archive-identification", "status": "identification-status"}[step]
    if step in IDENTIFICATION_STEPS:
        target = identification or customer.newest
        if target is None:
            raise RefusalError(404, "the customer has no identification")
        _move_identification(provider, target, step, at, status=status, comment=comment)
    elif step in CUSTOMER_STEPS:
        _move_customer(provider, customer, step, at, status=status)
    else:
        raise RefusalError(404, f"unknown step; known are {', '.join(IDENTIFICATION_STEPS + CUSTOMER_STEPS)}")


def _customer(provider: Provider, subject: str) -> Customer:
    """Find a customer by id or external id."""
    customer = provider.store.customers.get(subject)
    if customer is not None:
        return customer
    found = provider.store.with_external_id(subject)
    if not found:
        raise RefusalError(404, "no such customer or identification")
    return found[0]


def _move_identification(
    provider: Provider, target: Identification, step: str, at: float, *, status: str | None, comment: str | None
) -> None:
    """Move an identification."""
    life = provider.lifecycle
    target.script += 1
    if step == "identification-status":
        life.set_identification(target, status or "", at)
        return
    steps: dict[str, Callable[[Identification, float], object]] = {
        "process": life.process,
        "review": life.review,
        "approve": life.approve,
        "decline": life.decline,
        "decline-final": life.decline_final,
        "expire": life.expire,
        "stepup": life.step_up,
        "archive-identification": life.archive_identification,
    }
    steps[step](target, at)
    if comment is not None:
        target.review_comment = comment


def _move_customer(provider: Provider, customer: Customer, step: str, at: float, *, status: str | None) -> None:
    """Move a customer."""
    life = provider.lifecycle
    customer.script += 1
    match step:
        case "restore":
            life.restore(customer, at)
        case "newterms":
            life.new_terms(customer, at)
        case "archive":
            life.archive(customer, at)
        case "suspend":
            life.set_customer(customer, "Suspended", at)
        case "userrequired":
            life.set_customer(customer, "UserRequired", at)
        case _ if status == "SigningsRequired":
            life.require_signings(customer, at, life.terms)
        case _:
            life.set_customer(customer, status or "", at)
