"""Commands that look at Iron itself: what it holds of a customer, its webhooks, and decisions in its sandbox."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.commands.acts import Reason, who
from ops.cli.exits import CommandError, Status, usage
from ops.cli.options import By, Json, Key, add

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.iron.looking import Part, Webhook
    from pipelines.model import Record
    from workers.budget.unbound_calls import Aside

app = typer.Typer(help="Look at what Iron holds, and at its webhooks.", no_args_is_help=True, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a command needs to ask Iron about one customer, or about none."""

    session: Session
    aside: Aside
    record: Record | None

    @property
    def customer_id(self) -> str:
        """The customer's id at Iron. Raises CommandError where there is none yet."""
        if self.record is None or self.record.customer_id is None:
            raise CommandError("The customer does not exist at Iron yet.")
        return self.record.customer_id


@contextmanager
def _asking(key: str | None) -> Iterator[_Desk]:
    """Open what asks Iron within the budget; what keeps a call from leaving, or Iron's refusal, is a sentence."""
    from ops.cli.session import opened
    from ops.cli.waiting import read
    from pipelines.errors import HeldBackError, IronError
    from workers.budget.unbound_calls import Aside

    with opened("worker") as session, session.settings.transport() as transport:
        record = read(session.ledger, key).record if key else None
        partner = record.sub_partner_id if record else None
        aside = Aside(session.ledger, session.settings.iron(transport), partner, say=output.say)
        try:
            yield _Desk(session, aside, record)
        except (IronError, HeldBackError) as error:
            status = getattr(error, "status", None)
            shown = f" (HTTP {status})" if status and "HTTP" not in str(error) else ""
            raise CommandError(f"{error}{shown}") from None


def customer(
    key: Key,
    personal: Annotated[
        bool, typer.Option("--personal", help="Show personal data too; the history then says who read it.")
    ] = False,
    json: Json = False,
) -> int:
    """Show what Iron holds of one customer.

    Read now: status, identifications, what Iron still requires, the signatures made (the evidence), abilities, spending
    limit; with --personal names, comments and the questionnaire too. Nothing of it changes the record.

    Example: onboarding iron customer crm-1 --json
    """
    from pipelines.iron.looking import held

    with _asking(key) as desk:
        customer_id = desk.customer_id
        if personal:
            desk.session.door.personal(key, by=who(None))
        parts = list(held(desk.aside.ask, customer_id, personal=personal))
    if json:
        output.give({"idempotency_key": key} | {part.name: part.value for part in parts} | _missing(parts))
    else:
        for part in parts:
            output.table((part.name.replace("_", " "), ""), list(_lines(part)))
    return Status.DONE if parts[0].value is not None else Status.FAILED


def _missing(parts: list[Part]) -> dict[str, Any]:
    return {"not_shown": {part.name: part.why for part in parts if part.why}}


def _lines(part: Part) -> Iterator[tuple[str, str]]:
    """Write a part as names and values, a line each, members of members with dots."""
    if part.why:
        yield "not shown", part.why
        return
    found = list(_flat("", part.value))
    yield from found or [("none", "")]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for member, inner in value.items():
            yield from _flat(f"{name}.{member}" if name else member, inner)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, start=1):
            yield from _flat(f"{name}.{number}" if name else str(number), item)
    elif value not in (None, [], ""):
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def webhooks(
    ping: Annotated[
        str | None, typer.Option(metavar="KEY", help="Let Iron send one test event about this customer.")
    ] = None,
    json: Json = False,
) -> int:
    """Show Iron's webhooks and what keeps news from us.

    Exit status 1 when something does. Iron's secret is only shown in its dashboard, and webhooks are added there.

    Example: onboarding iron webhooks --ping crm-1
    """
    from pipelines.iron.looking import faults
    from pipelines.iron.looking import webhooks as registered

    with _asking(ping) as desk:
        found: list[Webhook] = desk.aside.ask(registered)
        public = desk.session.settings.ONBOARDING_PUBLIC_URL
        ours = f"{str(public).rstrip('/')}/webhooks/iron" if public else None
        if ping:
            _ping(desk, found)
    wrong = list(faults(found, ours))
    if json:
        for hook in found:
            output.give(
                {"id": hook.id, "url": hook.url, "enabled": hook.enabled, "topics": list(hook.topics)}
                | {"last_failure": hook.last_failure or None, "last_failure_reason": hook.last_failure_reason or None}
            )
    elif found:
        rows = [
            (hook.url, "yes" if hook.enabled else "no", ", ".join(hook.topics), hook.last_failure) for hook in found
        ]
        output.table(("address", "enabled", "topics", "last failure"), rows)
    for sentence in wrong:
        output.say(sentence)
    if not wrong:
        output.say("Iron sends us what we need.")
    return Status.FAILED if wrong else Status.DONE


def _ping(desk: _Desk, found: list[Webhook]) -> None:
    """Ask Iron to send one event through each webhook."""
    from pipelines.iron.looking import ping

    customer_id = desk.customer_id
    for hook in found:
        desk.aside.ask(partial(ping, webhook_id=hook.id, customer_id=customer_id, key=secrets.token_hex(16)))
    output.say("Iron was asked to send a ping. When it arrives, the gateway logs a request of type Ping.")


def approve(
    key: Key,
    decline: Annotated[bool, typer.Option("--decline", help="Decline instead.")] = False,
    json: Json = False,
) -> int:
    """Approve or decline in Iron's sandbox.

    In place of the customer and the reviewer. Only Iron's sandbox and a simulator on this machine can do that; any
    other address is refused.

    Example: onboarding iron approve crm-1
    """
    from pipelines.iron.looking import decide, is_sandbox
    from pipelines.keys import idempotency_key

    with _asking(key) as desk:
        settings, record = desk.session.settings, desk.record
        if not is_sandbox(str(settings.IRON_BASE_URL)):
            raise usage("IRON_BASE_URL is not a sandbox: Iron alone decides about real customers. Nothing was changed.")
        if record is None or record.identification_id is None:
            raise CommandError("There is no identification yet to decide about.")
        unique = idempotency_key(
            installation=settings.ONBOARDING_INSTALLATION,
            sub_partner_id=record.sub_partner_id,
            step="decline" if decline else "approve",
            subject=(record.identification_id,),
            generation=0,
        )
        decided = partial(decide, identification_id=record.identification_id, key=unique, approved=not decline)
        status = desk.aside.ask(decided)
    if json:
        output.give({"idempotency_key": key, "identification_id": record.identification_id, "status": status})
    output.say(f"The identification is now {status}. We learn it from Iron's webhook or the next check.")
    return Status.DONE


def archive(
    key: Key,
    reason: Reason,
    identification: Annotated[
        bool, typer.Option("--identification", help="Only the newest identification, not the customer.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without --yes nothing is done.")] = False,
    by: By = None,
    json: Json = False,
) -> int:
    """Archive a customer at Iron, for good.

    With all identifications; every service of the customer is blocked. Nobody can undo it, and it is no erasure of what
    is stored here.

    Example: onboarding iron archive crm-1 --reason "a mistaken double of crm-2" --yes
    """
    from ops.cli.commands.acts import act, refuse_useless
    from ops.cli.session import opened

    name = "archive_identification" if identification else "archive"
    with opened(check=True) as session:
        refuse_useless(session, key, name)
        if not yes:
            what = "newest identification" if identification else "customer, with all identifications,"
            output.say(f"Iron would archive the {what} for good. Nothing was changed. Do it with --yes.")
            return Status.DONE
        return act(session, key, name, reason=reason, by=by, as_json=json)


for _command in (customer, webhooks, approve, archive):
    add(app, _command)
