"""API tokens: who may call the gateway, and as what. Only digests are kept; a token itself is seen once, when made.

The setting ONBOARDING_API_TOKENS holds `name:role:sha256-of-token` for each. Which role may use which route is the one
table in ops/gateway/http/access.py. Source: contract section 2.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: Stands before every token, so that scanners for leaked secrets can know one.
TOKEN_PREFIX = "onb_"  # noqa: S105 -- not a secret

_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """What the holder of a token is to us."""

    #: An upstream system: submits jobs and files, reads, passes on consent.
    SUBMITTER = "submitter"
    #: Reads everything but personal data.
    VIEWER = "viewer"
    #: Reads, submits, and acts on onboardings and imports.
    OPERATOR = "operator"
    #: Reads, personal data included, and asks for re-identification.
    COMPLIANCE = "compliance"
    #: Everything.
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token that is accepted: its holder's name, which stands in histories, the role, and the token's digest."""

    name: str
    role: Role
    digest: str


def new_token() -> str:
    """Make a token: 32 random bytes behind the prefix."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def setting_of(name: str, role: Role, token: str) -> str:
    """Write the entry of ONBOARDING_API_TOKENS for a token. Raises ValueError when the name is not fit for one."""
    return _entry(parse(f"{name}:{role.value}:{digest(token)}"))


def parse(entry: str) -> ApiToken:
    """Read one entry of the setting. Raises ValueError when it is none."""
    name, role, digits = entry.strip().split(":")
    if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digits.lower()):
        raise ValueError
    return ApiToken(name, Role(role.lower()), digits.lower())


def parse_all(entries: Iterable[str]) -> tuple[ApiToken, ...]:
    """Read every entry. Raises ValueError also when a name or a token is there twice: nobody could tell who acted."""
    tokens = tuple(parse(entry) for entry in entries)
    names, digests = {token.name for token in tokens}, {token.digest for token in tokens}
    if len(names) < len(tokens) or len(digests) < len(tokens):
        raise ValueError
    return tokens


def find(tokens: Iterable[ApiToken], presented: str) -> ApiToken | None:
    """Find whose token this is. Digests are compared in constant time and all of them, so that time tells nothing."""
    wanted, found = digest(presented), None
    for token in tokens:
        if hmac.compare_digest(token.digest, wanted):
            found = token
    return found


def _entry(token: ApiToken) -> str:
    return f"{token.name}:{token.role.value}:{token.digest}"
