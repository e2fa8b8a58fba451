"""What surrounds the program, as `onboarding doctor` looks at it: variables, certificates, proxies, clock, limits.

None of it is a setting of ours, and each can keep the program from working.
"""

from __future__ import annotations

import getpass
import os
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from workers.environment import certificates, strangers
from workers.operate.doctor.check import Check
from workers.proxies import SHAPE, Proxies, ProxyError, way
from workers.settings import SECRETS, SHAPES, Settings, read_given

#: No clock that is right says less, in seconds since 1970: this release did not exist before 2026.
EARLIEST_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
#: Open files that a worker process needs beside four for each thread.
FILES = 64
#: A host of the Internet, for which a delivery would choose its proxy. Source: RFC 2606 and RFC 5737's own purpose.
_SOMEWHERE = ("https", "example.com", "192.0.2.1", 443)


def surroundings() -> Iterator[Check]:
    """Make the checks that need no settings."""
    found = read_given()
    texts = list(strangers(SHAPES, SECRETS))
    texts += [
        f"{name} and {name}_FILE are both set: {name} counts, and the file is not read. Unset one of them."
        for name in found.doubled
    ]
    texts += [
        f"{name}_FILE names an empty file, so {name} counts as not set. Fill the file, or unset {name}_FILE."
        for name in found.empty
    ]
    yield from (Check("settings", "warning", text) for text in texts)
    if fault := certificates():
        yield Check("certificates", "broken", fault)
    if time.time() < EARLIEST_S:
        text = (
            f"The clock here says {datetime.fromtimestamp(time.time(), UTC):%Y-%m-%d}: TLS takes no certificate,"
            " webhooks are refused, and histories are dated wrongly. Synchronise it (NTP)."
        )
        yield Check("clocks", "broken", text)
    yield from _of_the_system()


def _of_the_system() -> Iterator[Check]:
    if sys.getfilesystemencoding().lower() != "utf-8":
        text = "Arguments and file names are not read as UTF-8 here (LANG, LC_ALL). Set LANG=C.UTF-8, or PYTHONUTF8=1."
        yield Check("locale", "warning", text)
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        text = f"The user {os.getuid()} has no name here: histories name it so. Set USER, or give --by with a command."
        yield Check("user", "ok", text)


def limits(settings: Settings) -> Iterator[Check]:
    """Say whether a worker may open what it needs."""
    needed, may = FILES + 4 * settings.ONBOARDING_WORKER_THREADS, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if may != resource.RLIM_INFINITY and may < needed:
        text = (
            f"A process here may open {may:,} files, and a worker with ONBOARDING_WORKER_THREADS="
            f"{settings.ONBOARDING_WORKER_THREADS} needs {needed:,}: allow more (`ulimit -n`), or set fewer threads."
        )
        yield Check("limits", "warning", text)


def proxies(settings: Settings) -> Iterator[Check]:
    """Say which calls go out through a proxy, and which cannot."""
    found = Proxies.of_environment()
    if settings.IRON_BASE_URL:
        place = way(settings.IRON_BASE_URL)
        problems = list(found.problems(*place))
        yield from (Check("proxy", "broken", problem) for problem in problems)
        if not problems and (name := found.variable(*place)):
            yield Check("proxy", "ok", f"Calls to Iron go through the proxy of {name}.")
    try:
        used = found(*_SOMEWHERE)
    except ProxyError as error:
        name = found.set["https"][0]
        text = f"{name} cannot be used for deliveries to endpoints: {error}; it should be {SHAPE}."
        yield Check("proxy", "warning", text)
        return
    if used:
        text = (
            f"Deliveries to endpoints go through the proxy of {found.set['https'][0]}. Their names are looked up here,"
            " and it is asked for the address (CONNECT): it must allow that. NO_PROXY makes exceptions."
        )
        yield Check("proxy", "ok", text)
