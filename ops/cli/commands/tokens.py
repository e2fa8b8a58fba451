"""Commands about API tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.exits import CommandError, usage
from ops.cli.inputs import duration_s, who
from ops.cli.options import By, Json, add
from ops.cli.output import give, put, say, table
from ops.cli.session import opened

if TYPE_CHECKING:
    from workers.secrets.stored_tokens import StoredToken
    from workers.secrets.tokens import Role

app = typer.Typer(help="Make, list and revoke API tokens for the gateway.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the holder, as histories show it.")]

#: What is wrong with a name.
_NO_NAME = "The name must be 1 to 64 letters, digits or any of . _ - @"


def new(
    name: Name,
    role: Annotated[str, typer.Option(metavar="R", help="submitter, viewer, operator, compliance or admin.")],
    store: Annotated[bool, typer.Option("--store", help="Keep it in the ledger: it is good within seconds.")] = False,
    expires: Annotated[str, typer.Option(metavar="D", help="With --store: how long it is good, such as 90d.")] = "",
    by: By = None,
    json: Json = False,
) -> None:
    """Print a new API token.

    The token goes to the caller of the gateway, and is shown only now. With --store its SHA-256 is kept in the ledger:
    gateways take it within 5 seconds, until it is revoked or expires. Without, an entry is printed that goes into
    ONBOARDING_API_TOKENS of the gateway.

    Example: onboarding tokens new crm --role submitter --store --expires 90d
    """
    wanted = _role(role)
    if store:
        _store(name, wanted, expires, who(by), as_json=json)
        return
    if expires:
        raise usage("--expires needs --store: an entry of ONBOARDING_API_TOKENS has no end.")
    from workers.secrets.tokens import new_token, setting_of

    token = new_token()
    try:
        entry = setting_of(name, wanted, token)
    except ValueError:
        raise usage(_NO_NAME) from None
    if json:
        give({"name": name, "role": wanted.value, "token": token, "setting": entry})
        return
    put(token)  # a token is data: it goes where a script can take it
    say(f"Add to ONBOARDING_API_TOKENS, separated by a comma: {entry}")


def list_(json: Json = False) -> None:
    """List the API tokens.

    They are those in the ledger, and those of ONBOARDING_API_TOKENS here. Nothing of a token itself is shown. The last
    use is known to the hour, and of stored tokens only.

    Example: onboarding tokens list
    """
    from workers.secrets.stored_tokens import TokenStore

    with opened() as session:
        store, now_ms = TokenStore(session.ledger), session.ledger.now_ms()
        used = store.used_ms()
        told = [_of_setting(name, role) for name, role in _in_setting(session.settings)]
        told += [_told(one, used.get(one.name), now_ms) for one in store.all()]
    if json:
        give({"tokens": told})
        return
    columns = ("name", "role", "state", "kept in", "created", "created_by", "expires", "last_used_hour")
    names = ("name", "role", "state", "kept in", "created", "by", "expires", "last used (hour)")
    table(names, [[one.get(column.replace(" ", "_")) for column in columns] for one in told])


def revoke(name: Name, by: By = None, json: Json = False) -> None:
    """Revoke an API token that is kept in the ledger.

    Gateways refuse it, and end its sessions at the console, within 5 seconds.

    Example: onboarding tokens revoke crm
    """
    from workers.secrets.stored_tokens import TokenStore

    with opened() as session:
        if not TokenStore(session.ledger).revoke(name, by=who(by)):
            if name in dict(_in_setting(session.settings)):
                raise CommandError(
                    "This token is in ONBOARDING_API_TOKENS: take its entry out, and start the gateways again."
                )
            raise CommandError("There is no good token of this name: see `onboarding tokens list`.")
    if json:
        give({"name": name, "state": "revoked"})
        return
    say(f"{name} is revoked; gateways refuse it within 5 seconds.")


def _store(name: str, role: Role, expires: str, by: str, *, as_json: bool) -> None:
    from workers.secrets.stored_tokens import TokenNameTakenError, TokenStore

    lasts_s = duration_s(expires) if expires else None
    if lasts_s == 0:
        raise usage("--expires must be longer than 0 s: write it like 90d.")
    with opened(check=True) as session:
        if name in dict(_in_setting(session.settings)):
            raise usage(
                "A token of this name is in ONBOARDING_API_TOKENS, and nobody could tell who acted: take another."
            )
        try:
            token = TokenStore(session.ledger).new(name, role, by=by, expires_s=lasts_s)
        except ValueError:
            raise usage(_NO_NAME) from None
        except TokenNameTakenError:
            raise usage(f"The name is taken: `onboarding tokens revoke {name}` first, or take another.") from None
    if as_json:
        give({"name": name, "role": role.value, "token": token})
        return
    put(token)
    say(f"{name} is kept in the ledger; gateways take its token within 5 seconds.")


def _role(text: str) -> Role:
    from workers.secrets.tokens import Role

    try:
        return Role(text.strip().lower())
    except ValueError:
        raise usage(f"{text!r} is not a role; the roles are {', '.join(Role)}.") from None


def _in_setting(settings: Any) -> list[tuple[str, str]]:
    return [(token.name, token.role.value) for token in settings.api_tokens]


def _of_setting(name: str, role: str) -> dict[str, Any]:
    return {"name": name, "role": role, "state": "good", "kept_in": "setting"}


def _told(token: StoredToken, used_ms: int | None, now_ms: int) -> dict[str, Any]:
    from pipelines.times import timestamp

    return {
        "name": token.name,
        "role": token.role,
        "state": token.state(now_ms),
        "kept_in": "ledger",
        "created": timestamp(token.created_ms),
        "created_by": token.created_by,
        "expires": timestamp(token.expires_ms) if token.expires_ms else None,
        "last_used_hour": timestamp(used_ms) if used_ms else None,
        "revoked": timestamp(token.revoked_ms) if token.revoked_ms else None,
        "revoked_by": token.revoked_by,
    }


add(app, new)
add(app, list_, "list")
add(app, revoke)
