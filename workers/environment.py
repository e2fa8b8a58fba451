"""What the environment gives: settings and the files behind them in their normal form, and what else counts there.

Whatever a setting comes from, it is read here and nowhere else. No sentence holds a value or a path.
"""

from __future__ import annotations

import difflib
import os
import re
import ssl
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from workers.forms import FormError, judged, plain, read_file, reason

#: Names that are no setting of the program's parts and belong here all the same.
OTHERS = ("ONBOARDING_REDIS_SERVER",)
#: What Kubernetes sets for a service that is called `iron` or `onboarding`, or begins so.
_OF_A_SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
#: How alike two names must be, from 0 to 1, for one to be taken for the other's slip.
_ALIKE = 0.75


@dataclass(frozen=True, slots=True)
class Given:
    """What the settings are, and what is wrong with some."""

    #: Values in their normal form, by name; what is unset or empty is left out.
    values: dict[str, str] = field(default_factory=dict)
    #: What is wrong with a value, by name, as half a sentence.
    faults: dict[str, str] = field(default_factory=dict)
    #: What is wrong with a file, a sentence each.
    files: list[str] = field(default_factory=list)
    #: Settings whose file is empty.
    empty: list[str] = field(default_factory=list)
    #: Settings that are given in both ways.
    doubled: list[str] = field(default_factory=list)


def given(names: Collection[str], secrets: Collection[str], listed: Collection[str], spoken: Collection[str]) -> Given:
    """Read these settings. `secrets` may be files, `listed` hold several values, `spoken` are names for people."""
    found, here = Given(), {name.upper(): value for name, value in os.environ.items()} | dict(os.environ)
    for name in names:
        text = plain(here.get(name, ""))
        path = plain(here.get(f"{name}_FILE", "")) if name in secrets else ""
        if path and text:
            found.doubled.append(name)
        elif path:
            text = _of_file(name, path, found)
        _take(found, name, text, several=name in listed, spoken=name in spoken)
    return found


def _of_file(name: str, path: str, found: Given) -> str:
    try:
        text = read_file(path)
    except FormError as error:
        found.files.append(f"{name}_FILE names a file that cannot be read: {error}.")
        return ""
    if not text:
        found.empty.append(name)
    return text


def _take(found: Given, name: str, text: str, *, several: bool, spoken: bool) -> None:
    parts = [part for part in map(plain, text.split(",")) if part] if several else [text] * bool(text)
    try:
        value = ",".join(judged(part, spoken=spoken) for part in parts)
    except FormError as error:
        found.faults[name] = str(error)
        return
    if value:
        found.values[name] = value


def strangers(names: Collection[str], secrets: Collection[str]) -> Iterator[str]:
    """Return the variables that look like settings of this program and are none: a sentence each."""
    known = {*names, *OTHERS, *(f"{name}_FILE" for name in secrets)}
    for name in sorted(os.environ):
        ours = name.upper().startswith(("ONBOARDING_", "IRON_")) and name.isascii() and name.isprintable()
        if not ours or name.upper() in known or _OF_A_SERVICE.search(name.upper()):
            continue
        if name.endswith("_FILE") and name.removesuffix("_FILE") in names:
            yield f"{name} is not read: {name.removesuffix('_FILE')} is no secret, so set it itself."
            continue
        near = difflib.get_close_matches(name.upper(), sorted(known), 1, _ALIKE)
        meant = f" Is {near[0]} meant?" if near else " Remove it, or correct its name."
        yield f"{name} is no setting of this program, and nothing reads it.{meant}"


def certificates() -> str | None:
    """Return what is wrong with the certificates that SSL_CERT_FILE or SSL_CERT_DIR names; None: nothing."""
    name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    if name is None:
        return None
    rest = "Without it no https call can be made: name the file of your certificate authorities, or unset it."
    if name == "SSL_CERT_DIR":
        folder = Path(os.environ[name])
        return None if _has_files(folder) else f"{name} names no folder with certificates. {rest}"
    try:
        httpx.create_ssl_context()
    except ssl.SSLError:
        return f"{name} names a file that holds no certificate. {rest}"
    except (OSError, ValueError) as error:
        return f"{name} names a file that cannot be read ({reason(error)}). {rest}"
    return None


def _has_files(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except (OSError, ValueError):
        return False
