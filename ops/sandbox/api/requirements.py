"""What a customer may do and what is missing: computed from the records on demand (sections 3.10, 3.15, 3.16)."""

from ops.sandbox.api.calls import Call
from ops.sandbox.api.provider import Provider
from ops.sandbox.api.reference import CHAINS, crypto, fiat
from ops.sandbox.api.rendering import Json, Rendering
from ops.sandbox.wire.answers import Answer, answer_json
from ops.sandbox.world.records import Customer
from ops.sandbox.world.store import Store

RAILS = {
    "eur": ("sepa", "swift"),
    "gbp": ("fps", "chaps", "swift"),
    "usd": ("ach", "wire", "swift", "rtp", "fednow"),
}
#: The documented window of the limits: 52 weeks.
WINDOW_S = 52 * 7 * 86_400
#: Tier 1 of a person, in euro cents; the real one depends on the declared income.
THRESHOLD_CENTS = 1_500_000
#: What a reason says if no reviewer has said more.
REASONS = {
    "UNSATISFACTORY_PHOTOS": "A photo cannot be read.",
    "FORGERY": "A document is not genuine.",
}


def get_requirements(provider: Provider, call: Call) -> Answer:
    """Read what is still due."""
    customer = provider.customer(call)
    groups: dict[str, list[object]] = {"complete": [], "pending": [], "missing": [], "issues": []}
    group, item = _identification_item(customer, provider.rendering)
    groups[group].append(item)
    kind = "kyc" if customer.customer_type == "Person" else "kyb"
    due: list[object] = [] if group == "complete" else [kind]
    nothing: list[object] | None = None if provider.switches.requirements_empty == "null" else []
    shown = {name: items or nothing for name, items in groups.items()}
    return answer_json(200, provider.rendering.joined({**shown, "requirements_due": due}, {}))


def _identification_item(customer: Customer, render: Rendering) -> tuple[str, Json]:
    """Return the one item the sandbox knows, and the group it belongs to."""
    kind = "kyc" if customer.customer_type == "Person" else "kyb"
    newest = customer.newest
    status = newest.status if newest else None
    optional: Json = {"identification_id": newest.id if newest else None, "description": None}
    if newest is not None and newest.asked:
        return "missing", _item(render, f"{kind}_data_missing", [], {**optional, "retryable": True})
    if status == "Approved":
        return "complete", _item(render, f"identification_{kind}", [], {**optional, "retryable": None})
    if status in {"Processed", "PendingReview"}:
        return "pending", _item(render, f"identification_{kind}", [], {**optional, "retryable": None})
    if status == "Declined" and newest is not None:
        code = "kyc_identity" if kind == "kyc" else "kyb_company_data"
        labels = ["UNSATISFACTORY_PHOTOS"] if newest.retry else ["FORGERY"]
        optional = {**optional, "retryable": bool(newest.retry), "description": render.comment(newest)}
        return ("missing" if newest.retry else "issues"), _item(render, code, labels, optional)
    return "missing", _item(render, f"identification_{kind}", [], {**optional, "retryable": True})


def _item(render: Rendering, code: str, labels: list[str], optional: Json) -> Json:
    """Write one requirement. A reason always has words, whether or not a reviewer has written any."""
    reasons = [{"code": label, "description": optional["description"] or REASONS[label]} for label in labels]
    required: Json = {"code": code, "reject_labels": labels, "reject_reasons": reasons, "missing_questions": []}
    said = optional["retryable"] if render.says_retryable else None
    return render.joined(required, {**optional, "retryable": said})


def get_abilities(provider: Provider, call: Call) -> Answer:
    """Read which rails are open: all for an Active customer, none yet for the others."""
    customer = provider.customer(call)
    state = {"Active": "Active", "Suspended": "Blocked", "Archived": "Blocked"}.get(customer.status, "Pending")
    rails = {
        currency: {name: state for rail in names for name in (rail, f"{rail}_thirdparty")}
        for currency, names in RAILS.items()
    }
    open_ = customer.status == "Active"
    currencies = [
        {"currency": currency, "flows": flows if open_ else [], "counterparts": []}
        for currency, flows in (
            *((fiat(name.upper()), ["Onramp", "Offramp"]) for name in RAILS),
            *((crypto(chain), ["Onramp", "Offramp", "Swap"]) for chain in CHAINS),
        )
    ]
    return answer_json(200, {"fiat_deposit": rails, "fiat_payout": rails, "currencies": currencies})


def get_spending_limit(provider: Provider, call: Call) -> Answer:
    """Read the limits; nobody spends in this sandbox."""
    customer = provider.customer(call)
    cap = str(THRESHOLD_CENTS) if customer.customer_type == "Person" else None
    render = provider.rendering
    direction = render.joined(
        {"period_start": render.stamp(call.at - WINDOW_S), "period_end": render.stamp(call.at), "used_eur": "0"},
        {"threshold_eur": cap, "remaining_eur": cap},
    )
    return answer_json(200, {"fiat_onramp": direction, "crypto_offramp": direction})


def reset_partner(provider: Provider, call: Call) -> Answer:
    """Delete the customers, as the provider's own sandbox does. The meters run on."""
    provider.count(call, "reset_partner", None, None)
    provider.lifecycle.forget()
    provider.store = Store()
    return answer_json(200, value=True)
