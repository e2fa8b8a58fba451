"""The secrets, each tried on something real: a webhook's signature, what is stored, a token's digest.

What is opened is looked at by nobody, and nothing of it is told.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterator, Sequence

from pipelines.errors import InputLostError, IronError
from pipelines.iron import Iron
from pipelines.iron.looking import faults
from pipelines.iron.looking import webhooks as registered_at
from pipelines.lifecycle import Phase
from workers.ledger import PREFIX, Ledger
from workers.operate.doctor.check import Check
from workers.secrets.key_ids import KeyIds
from workers.secrets.signature import SECRET_PREFIX, VERSION, Verdict, key_of, verify
from workers.secrets.stored_tokens import StoredToken
from workers.secrets.vault import Place, Vault
from workers.settings import Settings

#: Customers of each phase whose stored input is tried, those that came last.
SAMPLES = 10
#: What is signed to try a webhook's secret: some moment, and a body as good as any.
_MOMENT, _BODY = "1780000000", b'{"event": "a sample of the doctor"}'
#: Digests of a token that is none: empty, and a line's end.
_EMPTY = frozenset(hashlib.sha256(text).hexdigest() for text in (b"", b"\n", b"\r\n"))


def webhooks(settings: Settings) -> Iterator[Check]:
    """Say whether Iron's webhooks can be verified, by a sample signed with each secret."""
    secrets = settings.webhook_secrets
    if not secrets:
        text = (
            "IRON_WEBHOOK_SECRET is not set: the gateway refuses Iron's webhooks, and changes are noticed by polls and"
            " the sweep alone, hours later. Set it to the secret from Iron's dashboard."
        )
        yield Check("webhooks", "warning", text)
        return
    api_key = settings.IRON_API_KEY.get_secret_value() if settings.IRON_API_KEY else ""
    wrong = list(dict.fromkeys(text for secret in secrets for text in _of_secret(secret, api_key)))
    yield from (Check("webhooks", "warning", text) for text in wrong)
    if not wrong:
        whose = "its secret" if len(secrets) == 1 else f"each of {len(secrets)} secrets"
        text = f"Iron's webhooks can be verified: a sample signed with {whose} is taken, and a forged one is not."
        yield Check("webhooks", "ok", text)


def registered(iron: Iron, settings: Settings) -> Iterator[Check]:
    """Return what Iron has registered as webhooks, and whether that brings us the news."""
    public = settings.ONBOARDING_PUBLIC_URL
    try:
        found = list(faults(registered_at(iron), f"{public.rstrip('/')}/webhooks/iron" if public else None))
    except IronError as error:
        answer = f"HTTP {error.status}" if error.status else error.code
        yield Check(
            "webhooks", "ok", f"Iron does not show its webhooks to this API key ({answer}): look in its dashboard."
        )
        return
    yield from (Check("registered", "warning", sentence) for sentence in found)
    if not found:
        yield Check("registered", "ok", "A webhook is registered at Iron and sends what we need.")


def _of_secret(secret: str, api_key: str) -> Iterator[str]:
    rest = "Copy the whole secret again from Iron's dashboard, or make a new one there."
    if secret == api_key:
        yield f"IRON_WEBHOOK_SECRET is the same as IRON_API_KEY: one of them is in the other's place. {rest}"
    if secret.startswith(SECRET_PREFIX) and key_of(secret) is None:
        yield f"IRON_WEBHOOK_SECRET begins with {SECRET_PREFIX}, and what follows is not base64. {rest}"
    elif not _tried(secret):
        yield f"IRON_WEBHOOK_SECRET does not verify what is signed with it. {rest}"


def _tried(secret: str) -> bool:
    """Say whether a delivery signed as Iron would is taken, and one signed with something else is refused."""
    verdicts = []
    for key in (key_of(secret) or secret.encode(), b"somebody else's"):
        digest = hmac.new(key, _MOMENT.encode() + _BODY, hashlib.sha256).hexdigest()
        signed = [f"{VERSION}{digest}"]
        verdicts.append(verify(_MOMENT, signed, _BODY, secrets=[secret], now_s=float(_MOMENT), tolerance_s=1))
    return verdicts == [Verdict.GENUINE, Verdict.WRONG]


def api_key(settings: Settings) -> Iterator[Check]:
    """Say whether what is set as the API key is plainly something else; Iron itself is asked besides."""
    if settings.IRON_API_KEY and settings.IRON_API_KEY.get_secret_value().startswith(SECRET_PREFIX):
        text = (
            f"IRON_API_KEY begins with {SECRET_PREFIX}: that is how the secret of a webhook begins. Set it to the API"
            " key from Iron's dashboard."
        )
        yield Check("iron", "warning", text)


def encryption_keys(settings: Settings, ledger: Ledger) -> Iterator[Check]:
    """Say whether the key ring opens what is stored, on the newest customers of each phase."""
    if not settings.key_ring:
        return  # told already: neither worker nor gateway starts
    if len(set(settings.key_ring)) < len(settings.key_ring):
        text = "ONBOARDING_ENCRYPTION_KEYS holds a key twice. One of them should be another: check it."
        yield Check("encryption", "warning", text)
    vault = settings.vault
    yield from (Check("encryption", "broken", problem) for problem in KeyIds(ledger).problems(vault))
    outcomes = Counter(_opens(vault, *sample) for sample in _samples(ledger))
    tried, lost = outcomes.total(), outcomes[False]
    if lost:
        text = (
            f"ONBOARDING_ENCRYPTION_KEYS does not open what is stored of {lost:,} of {tried:,} customers looked at: a"
            " key is missing, and their input is lost without it. Add the former key behind the first, with a comma."
        )
        yield Check("encryption", "broken", text)
    elif tried:
        yield Check("encryption", "ok", f"The encryption keys open what is stored of {tried:,} customers looked at.")
    else:
        yield Check("encryption", "ok", "The encryption keys are keys; nothing is stored yet to try them on.")


def _samples(ledger: Ledger) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    with ledger.client.pipeline(transaction=False) as pipeline:
        for phase in Phase:
            pipeline.zrange(f"{PREFIX}phase:{phase.value}", 0, SAMPLES - 1, desc=True)
        keys = [key.decode() for page in pipeline.execute() for key in page]
        for key in keys:
            pipeline.hgetall(f"{PREFIX}input:{key}")
        yield from ((key, parts) for key, parts in zip(keys, pipeline.execute(), strict=True) if parts)


def _opens(vault: Vault, key: str, parts: dict[bytes, bytes]) -> bool:
    try:
        for part, sealed in parts.items():
            vault.open(Place("input", key, part.decode()), sealed)
    except InputLostError:
        return False
    return True


def tokens(settings: Settings, stored: Sequence[StoredToken]) -> Iterator[Check]:
    """Say who is let in: by the setting, and by the ledger. A name that both have is none of the ledger's."""
    names = {token.name for token in settings.api_tokens}
    roles = Counter(token.role.value for token in settings.api_tokens)
    roles += Counter(token.role for token in stored if token.name not in names)
    for name in sorted(names & {token.name for token in stored}):
        text = (
            f"ONBOARDING_API_TOKENS and the ledger each hold a token of the name {name}, and the gateway takes that of"
            f" the setting alone. `onboarding tokens revoke {name}` ends the other one."
        )
        yield Check("tokens", "warning", text)
    for token in settings.api_tokens:
        if token.digest in _EMPTY:
            text = (
                f"ONBOARDING_API_TOKENS holds the digest of an empty text for {token.name}: the token was missing when"
                " it was computed. `onboarding tokens new` makes a token with its entry."
            )
            yield Check("tokens", "warning", text)
    if roles:
        told = ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))
        yield Check("tokens", "ok", f"API tokens: {told}.")
    else:
        text = (
            "There is no API token: ONBOARDING_API_TOKENS is not set here, and the ledger holds none that is good. The"
            " gateway lets nobody in. `onboarding tokens new NAME --role R --store` makes one."
        )
        yield Check("tokens", "warning", text)
