"""Commands about encryption keys: make one, see which are used, replace an old one, give up a lost one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.exits import CommandError, Status
from ops.cli.options import Json, add
from ops.cli.output import give, put, say

if TYPE_CHECKING:
    from ops.cli.session import Session
    from workers.secrets.rotation import Walk
    from workers.secrets.vault import Vault

app = typer.Typer(help="Keys that encrypt what is stored.", no_args_is_help=True, rich_markup_mode=None)

#: What the state of a key means, for people.
STATES = {
    "seals": "seals what is stored from now on",
    "opens": "opens what it sealed; `onboarding keys rotate` replaces it",
    "unused": "used by nothing: it can be taken off the ring",
    "missing": "not on this ring: what it sealed cannot be read here",
}


def new(json: Json = False) -> None:
    """Print a new encryption key.

    It is for ONBOARDING_ENCRYPTION_KEYS, whose first key encrypts, while all of them decrypt; also for
    ONBOARDING_LOOKUP_KEYS and ONBOARDING_LINK_KEYS.

    Example: export ONBOARDING_ENCRYPTION_KEYS="$(onboarding keys new),$ONBOARDING_ENCRYPTION_KEYS"
    """
    from workers.secrets.vault import new_key

    key = new_key()
    if json:
        give({"key": key})
    else:
        put(key)  # a key is data: it goes where a script can take it


def status(json: Json = False) -> int:
    """Show which key seals what is stored.

    Each key by its id, which is no secret: since when it seals, and how many values it seals now. All values are
    looked at while everything runs. The exit status is 5 when values need a key that is not on the ring.

    Example: onboarding keys status
    """
    from ops.cli.session import opened
    from workers.secrets.rotation import Rotation

    with opened("input") as session:
        vault = session.settings.vault
        rows = _rows(session, vault, Rotation(session.ledger, vault).count())
        _warn(session)
    _show(rows, as_json=json)
    return Status.PARTLY if any(row["state"] == "missing" and row["values"] for row in rows) else Status.DONE


def rotate(json: Json = False) -> int:
    """Seal again with the first key what another key sealed.

    Put the new key first on the ring and restart everything before. It runs next to workers and gateway; interrupted,
    it goes on where it was. The exit status is 5 when some values still need another key.

    Example: onboarding keys rotate
    """
    from ops.cli.session import opened
    from workers.secrets.key_ids import KeyIds
    from workers.secrets.rotation import Rotation

    with opened("input", check=True) as session:
        vault = session.vault
        KeyIds(session.ledger).begin(vault)
        _warn(session)
        rotated = Rotation(session.ledger, vault).run(_progress())
        rows = _rows(session, vault, rotated.walk)
    walk = rotated.walk
    if json:
        counts = {"resealed": rotated.resealed, "left": walk.left, "unreadable": walk.unreadable}
        give({**counts, "complete": rotated.complete, "keys": rows})
    else:
        _show(rows, as_json=False)
        say(f"{rotated.resealed:,} values are sealed with the key {vault.ids[0]} now.")
    if walk.unreadable:
        places = ", ".join(walk.named)
        say(f"{walk.unreadable:,} values cannot be opened with this ring and stay as they are: {places}.")
    if not rotated.complete:
        say("Values are left: a process seals with another key or works on them. Restart all, and run this again.")
    return Status.DONE if rotated.complete and not walk.unreadable else Status.PARTLY


def forget(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `keys status` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
) -> int:
    """Start without a key that is lost for good.

    No process asks for the key any more. What it sealed stays, and cannot be read until the key is back on the ring.

    Example: onboarding keys forget 1a2b3c4d --yes
    """
    from ops.cli.session import opened
    from workers.secrets.key_ids import KeyIds

    with opened("input", check=True) as session:
        known = KeyIds(session.ledger)
        if key_id not in known.all():
            raise CommandError(f"No key {key_id} seals anything here: `onboarding keys status` shows those that do.")
        if not yes:
            raise CommandError(f"What the key {key_id} sealed cannot be read without it. Repeat with --yes.")
        known.forget(key_id)
    say(f"Processes start without the key {key_id} now. What it sealed stays as it is.")
    return Status.DONE


def _rows(session: Session, vault: Vault, walk: Walk) -> list[dict[str, Any]]:
    """Give each key: those on the ring, those that seal or sealed, and the form before keys had ids."""
    from pipelines.times import timestamp
    from workers.secrets.key_ids import KeyIds
    from workers.secrets.vault import FERNET

    since = KeyIds(session.ledger).all()
    ids = dict.fromkeys([*vault.ids, *since, *(id_ for id_, count in sorted(walk.counts.items()) if count)])

    def state(id_: str) -> str:
        if id_ == vault.ids[0]:
            return "seals"
        if id_ != FERNET and id_ not in vault.ids:
            return "missing"
        return "opens" if walk.counts[id_] else "unused"

    return [
        {"id": id_, "state": state(id_), "since": timestamp(since.get(id_)), "values": walk.counts[id_]} for id_ in ids
    ]


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            give(row)
        return
    cells = ((row["id"], row["since"], row["values"], STATES[row["state"]]) for row in rows)
    output.table(("key", "seals since", "values", "state"), cells, right=("values",))


def _warn(session: Session) -> None:
    """Say what else depends on the ring: taking a key off ends it."""
    settings = session.settings
    for name, what in (
        ("ONBOARDING_LINK_KEYS", "customers' links and console sessions"),
        ("ONBOARDING_LOOKUP_KEYS", "finding customers by e-mail address and recognising a job sent again"),
    ):
        if not getattr(settings, name):
            say(f"{name} is not set, so {what} depend on each key of this ring: set it to the keys of now first.")


def _progress() -> Any:
    """Show how far it is, on a terminal."""
    if not output.moving():
        return lambda _: None
    shown = "{0.resealed:,} values are sealed again"
    return lambda walk: print("\r" + shown.format(walk), end="", file=sys.stderr, flush=True)


for command in (new, status, rotate, forget):
    add(app, command)
