"""What a customer may do and what is missing: computed from the records on demand (sections 3.10, 3.15, 3.16)."""

from ops.sandbox.answers import Answer, answer_json
from ops.sandbox.calls import Call
from ops.sandbox.clock import stamp
from ops.sandbox.provider import Provider
from ops.sandbox.records import Customer
from ops.sandbox.store import Store

RAILS = {
    "eur": ("sepa", "swift"),
    "gbp": ("fps", "chaps", "swift"),
    "usd": ("ach", "wire", "swift", "rtp", "fednow"),
}
#: The documented window of the limits: 52 weeks.
WINDOW_S = 52 * 7 * 86_400
#: Tier 1 of a person, in euro cents; the real one depends on the declared income.
THRESHOLD_CENTS = 1_500_000


def get_requirements(provider: Provider, call: Call) -> Answer:
    """Read what is still due."""
    customer = provider.customer(call)
    groups: dict[str, list[object]] = {"complete": [], "pending": [], "missing": [], "issues": []}
    group, item = _identification_item(customer)
    groups[group].append(item)
    kind = "kyc" if customer.customer_type == "Person" else "kyb"
    done = group == "complete" and customer.status != "IdentificationRequired"
    return answer_json(200, {**groups, "requirements_due": [] if done else [kind]})


def _identification_item(customer: Customer) -> tuple[str, dict[str, object]]:
    """Return the one item the sandbox knows, and the group it belongs to."""
    kind = "kyc" if customer.customer_type == "Person" else "kyb"
    newest = customer.newest
    status = newest.status if newest else None
    item: dict[str, object] = {
        "code": f"identification_{kind}",
        "reject_labels": [],
        "reject_reasons": [],
        "missing_questions": [],
        "retryable": None,
        "identification_id": newest.id if newest else None,
        "description": None,
    }
    if status == "Approved":
        return "complete", item
    if status in {"Processed", "PendingReview"}:
        return "pending", item
    if status == "Declined" and newest is not None:
        item["code"] = "kyc_identity" if kind == "kyc" else "kyb_company_data"
        labels = ["UNSATISFACTORY_PHOTOS"] if newest.retry else ["FORGERY"]
        item["reject_labels"] = labels
        item["reject_reasons"] = [{"code": label, "description": newest.review_comment} for label in labels]
        item["retryable"] = bool(newest.retry)
        item["description"] = newest.review_comment
        return ("missing" if newest.retry else "issues"), item
    item["retryable"] = True
    return "missing", item


def get_abilities(provider: Provider, call: Call) -> Answer:
    """Read which rails are open: all for an Active customer, none yet for the others."""
    customer = provider.customer(call)
    state = {"Active": "Active", "Suspended": "Blocked", "Archived": "Blocked"}.get(customer.status, "Pending")
    rails = {
        currency: {name: state for rail in names for name in (rail, f"{rail}_thirdparty")}
        for currency, names in RAILS.items()
    }
    currencies = [
        {"currency": currency.upper(), "flows": ["deposit", "payout"], "counterparts": ["USDC"]} for currency in RAILS
    ]
    return answer_json(200, {"fiat_deposit": rails, "fiat_payout": rails, "currencies": currencies})


def get_spending_limit(provider: Provider, call: Call) -> Answer:
    """Read the limits; nobody spends in this sandbox."""
    customer = provider.customer(call)
    cap = str(THRESHOLD_CENTS) if customer.customer_type == "Person" else None
    direction = {
        "period_start": stamp(call.at - WINDOW_S),
        "period_end": stamp(call.at),
        "used_eur": "0",
        "threshold_eur": cap,
        "remaining_eur": cap,
    }
    return answer_json(200, {"fiat_onramp": direction, "crypto_offramp": direction})


def reset_partner(provider: Provider, call: Call) -> Answer:
    """Delete the customers, as the provider's own sandbox does. The meters run on."""
    provider.count(call, "reset_partner", None, None)
    provider.lifecycle.forget()
    provider.store = Store()
    provider.lifecycle.identifications = provider.store.identifications
    return answer_json(200, value=True)
