"""The endpoints of webhook administration (section 3.19): list, change, ping. There is one webhook or none.

Which one there is, its address and its secret are set under `/_sandbox/webhooks`, as they are in the dashboard there.
"""

from typing import Annotated

from pydantic import Field

from ops.sandbox.api.answers import Answer, RefusalError, answer_json
from ops.sandbox.api.calls import Call
from ops.sandbox.api.enums import Topic
from ops.sandbox.api.fields import Strict
from ops.sandbox.api.paging import page_of
from ops.sandbox.api.rendering import Json
from ops.sandbox.world.ids import UUID_FORM
from ops.sandbox.world.outbox import Hook
from ops.sandbox.world.provider import PARTNER_ID, Provider


class HookUpdate(Strict):
    """What can be changed of a webhook."""

    label: str | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    topics: tuple[Topic, ...] | None = None
    enabled: bool | None = None


class Ping(Strict):
    """Whom a ping is about."""

    customer_id: Annotated[str, Field(pattern=UUID_FORM)]


def list_webhooks(provider: Provider, call: Call) -> Answer:
    """List the webhooks."""
    hook = provider.outbox.hook(call.at)
    page, after, before = page_of([hook] if hook else [], call)
    return answer_json(200, provider.rendering.page([_shown(provider, one) for one in page], after, before))


def update_webhook(provider: Provider, call: Call) -> Answer:
    """Change label, address or topics, or switch it off or on."""
    hook = _hook(provider, call)
    body = call.read(HookUpdate)
    if body.url is not None:
        provider.outbox.move_to(body.url)
    hook.label = body.label if body.label is not None else hook.label
    hook.topics = body.topics if body.topics is not None else hook.topics
    hook.enabled = body.enabled if body.enabled is not None else hook.enabled
    hook.updated_at = call.at
    provider.count(call, "update_webhook", None, hook.id)
    return answer_json(200, _shown(provider, hook))


def ping_webhook(provider: Provider, call: Call) -> Answer:
    """Send a ping, also through a webhook that is switched off."""
    hook = _hook(provider, call)
    customer = provider.store.customers.get(call.read(Ping).customer_id.lower())
    if customer is None or customer.sub_partner_id != call.sub_partner_id:
        raise RefusalError(404, "Customer not found")
    provider.outbox.ping(customer, call.at)
    provider.count(call, "ping_webhook", customer, hook.id)
    return answer_json(200, value=True)


def _hook(provider: Provider, call: Call) -> Hook:
    """Return the webhook that the path names."""
    hook = provider.outbox.hook(call.at)
    if hook is None or hook.id != call.uuid(1):
        raise RefusalError(404, "Webhook not found")
    return hook


def _shown(provider: Provider, hook: Hook) -> Json:
    """Write a webhook; its secret is never shown."""
    render = provider.rendering
    return render.joined(
        {
            "id": hook.id,
            "label": hook.label,
            "url": provider.outbox.url,
            "partner_id": PARTNER_ID,
            "topics": list(hook.topics),
            "enabled": hook.enabled,
            "created_at": render.stamp(hook.created_at),
            "updated_at": render.stamp(hook.updated_at),
        },
        {
            "last_failure": None if hook.last_failure is None else render.stamp(hook.last_failure),
            "last_failure_reason": hook.last_failure_reason,
        },
    )
