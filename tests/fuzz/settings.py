"""Settings as they should not be, by the thousand: each is refused in a sentence, or taken and then of use.

    python -m tests.fuzz.settings --inputs 10000 --seed 1

An input is named by its number: the same seed and number make the same environment again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from ops.cli import main as run
from tests.fuzz.oddities import content, mangled
from workers.engine.broker import NudgeBroker
from workers.environment import strangers
from workers.ledger import connect
from workers.proxies import SHAPE as SHAPE_OF_A_PROXY
from workers.secrets.vault import Place
from workers.settings import NEEDS, SECRETS, SHAPES, Settings, SettingsError, customer_links

#: A complete environment that is right; nothing answers at its addresses.
RIGHT = {
    "ONBOARDING_REDIS_URL": "redis://:pass-4711-word@127.0.0.1:1/0",
    "ONBOARDING_BROKER_URL": "redis://:pass-4711-word@127.0.0.1:1/1",
    "ONBOARDING_INSTALLATION": "default",
    "IRON_BASE_URL": "https://api.sandbox.iron.invalid/api",
    "IRON_API_KEY": "key-0123456789abcdef",
    "IRON_API_VERSION": "2026-07-01",
    "IRON_KEEP_API_VERSION": "true",
    "IRON_WEBHOOK_SECRET": "whsec_c2V0dGluZ3MtZnV6ei1zZWNyZXQ",
    "IRON_WEBHOOK_TOLERANCE_S": "300",
    "IRON_RATE_PER_SECOND": "10",
    "IRON_IDENTIFICATIONS_PER_MINUTE": "60",
    "IRON_TIMEOUT_S": "10",
    "ONBOARDING_ENCRYPTION_KEYS": "c2l4dGVlbi1ieXRlcy1hbmQtc2l4dGVlbi1tb3JlISE=",
    "ONBOARDING_LOOKUP_KEYS": "c2l4dGVlbi1ieXRlcy1hbmQtc2l4dGVlbi1sb29rISE=",
    "ONBOARDING_LINK_KEYS": "c2l4dGVlbi1ieXRlcy1hbmQtc2l4dGVlbi1saW5rISE=",
    "ONBOARDING_API_TOKENS": f"crm:submitter:{'0a' * 32}",
    "ONBOARDING_PUBLIC_URL": "https://onboarding.example.com",
    "ONBOARDING_COMPANY_NAME": "Müller & Söhne",
    "ONBOARDING_WORKER_PROCESSES": "2",
    "ONBOARDING_WORKER_THREADS": "16",
    "ONBOARDING_POLL_MIN_S": "5",
    "ONBOARDING_POLL_FOR_S": "86400",
    "ONBOARDING_SWEEP_INTERVAL_S": "21600",
    "ONBOARDING_SETTLE_S": "120",
    "ONBOARDING_MAX_ROUNDS": "3",
    "ONBOARDING_ROUND_SPACING_S": "3600",
    "ONBOARDING_EVENTS_KEPT_S": "2592000",
    "ONBOARDING_PRIVATE_ENDPOINTS": "false",
    "ONBOARDING_PRIVATE_REDIS": "false",
    "ONBOARDING_UNKNOWN_FIELDS": "refuse",
    "ONBOARDING_WAITAOF": "off",
    "ONBOARDING_LOG": "json",
}
#: Variables of the surroundings that are mangled as well.
AROUND = {
    "HTTPS_PROXY": "http://user:pass@proxy.example.com:3128",
    "NO_PROXY": "localhost,.internal,10.0.0.0/8",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    "SSL_CERT_DIR": "/etc/ssl/certs",
    "USER": "ada",
}
#: What one in so many inputs is also tried with: the doctor, a command, or both in one go.
COMMANDS = (("doctor", "--json"), ("summary",), ("submit", "--key", "k", "--email", "ada@example.com"), ("link", "k"))
COMMAND_EVERY = 25
#: What sentences show as an example; a value that is a part of it tells nothing.
EXAMPLES = " ".join([*SHAPES.values(), SHAPE_OF_A_PROXY, "unix:///run/redis.sock"])
#: Values of a setting that are shorter may stand in a sentence by chance.
TELLING = 7


def environment(seed: int, number: int, folder: Path) -> dict[str, str]:
    """Make an environment in which some things are not as they should be."""
    dice = random.Random(f"{seed} {number}")
    found = dict(RIGHT)
    for name in dice.sample(sorted(SHAPES), dice.choice([0, 1, 1, 1, 2, 3, 6])):
        if name in SECRETS and dice.random() < 0.4:
            found[f"{name}_FILE"] = _file(dice, found[name], folder)
            if dice.random() < 0.9:
                del found[name]
        else:
            found[name] = mangled(dice, found[name])
    if dice.random() < 0.3:
        name = dice.choice(sorted(AROUND))
        found[name] = mangled(dice, AROUND[name]) if dice.random() < 0.8 else AROUND[name]
    return {name: value.replace("\0", "") for name, value in found.items()}


def _file(dice: random.Random, value: str, folder: Path) -> str:
    path = folder / "secret"
    path.write_bytes(content(dice, value))
    odd = [
        str(folder),
        str(folder / "none"),
        "/dev/null",
        "/dev/zero",
        "\udcff",
        "a" * 300,
        f"{path}\r",
        f"\ufeff{path}",
    ]
    return dice.choice([str(path)] * 8 + odd)


@contextlib.contextmanager
def standing(given: Mapping[str, str]) -> Iterator[None]:
    """Let these be the environment's settings and surroundings, and no others."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.upper().startswith(("ONBOARDING_", "IRON_")) or name.upper() in (*AROUND, "ALL_PROXY", "HTTP_PROXY"):
            del os.environ[name]
    for name, value in given.items():
        with contextlib.suppress(UnicodeEncodeError):  # no environment can hold it
            os.environ[name] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def wrong(seed: int, number: int, folder: Path, outcomes: Counter[str]) -> str | None:
    """Try one environment; answers what is wrong with what came of it."""
    given = environment(seed, number, folder)
    with standing(given):
        for need in sorted(NEEDS):
            try:
                if fault := _tried(need, given, outcomes):
                    return f"{need}: {fault}"
            except Exception as error:  # noqa: BLE001 -- that is what is looked for
                return f"{need}: {type(error).__name__} at {_place(error)}"
        if number % COMMAND_EVERY == 0:
            return _commanded(number, outcomes)
    return None


def _tried(need: str, given: Mapping[str, str], outcomes: Counter[str]) -> str | None:
    try:
        settings = Settings.load(need)
    except SettingsError as error:
        outcomes["refused"] += 1
        return next((fault for line in error.problems if (fault := _ill_told(line, given))), None)
    outcomes["taken"] += 1
    list(strangers(SHAPES, SECRETS))
    _used(settings)
    return None


def _used(settings: Settings) -> None:
    """Make of settings what the program makes of them; what was taken has to be of use."""
    for url in (settings.ledger_url, settings.broker_url) if settings.ledger_url else ():
        with connect(url) as client:
            client.connection_pool.make_connection()
    if settings.ledger_url:
        broker = NudgeBroker(settings.broker_url)
        broker.close()
        broker.client.close()
    if settings.key_ring:
        settings.vault.seal(Place("input", "k"), "x")
        customer_links(settings).link_to("k", 0)
    _ = settings.policy, settings.budget, settings.api_tokens, settings.durability, settings.webhook_secrets
    (settings.ONBOARDING_COMPANY_NAME or "").encode()
    if settings.IRON_BASE_URL:
        with settings.transport() as transport:
            iron = settings.iron(transport)
            headers = {"X-API-Key": iron.api_key, "X-API-Version": iron.api_version}
            httpx.Request("GET", f"{iron.base_url}/customers", headers=headers)


def _ill_told(line: str, given: Mapping[str, str]) -> str | None:
    """Say what is wrong with a sentence about a setting: it names it, is one line, and holds no value."""
    name = line.partition(" ")[0]
    if name not in AROUND and name.removesuffix("_FILE") not in SHAPES:
        return f"names no setting: {line!r}"
    if len(line.splitlines()) != 1 or not line.isprintable() or not line.endswith("."):
        return f"is no sentence: {line!r}"
    values = (value.strip() for name, value in given.items() if RIGHT.get(name) != value)
    if any(value in line for value in values if len(value) >= TELLING and value not in EXAMPLES):
        return f"holds a value: {line!r}"
    return None


def _commanded(number: int, outcomes: Counter[str]) -> str | None:
    words = COMMANDS[number // COMMAND_EVERY % len(COMMANDS)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(list(words))
    outcomes[f"{words[0]} {status}"] += 1
    told = out.getvalue() + err.getvalue()
    if status not in (1, 2) or "Internal error" in told or "Traceback" in told:
        return f"{words[0]} ends with {status}: {told[-300:]!r}"
    return None


def _place(error: Exception) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames) + f" {str(error)[:120]!r}"


def fuzz(seed: int, inputs: int, folder: Path) -> tuple[Counter[str], dict[int, str]]:
    """Try so many environments; answers what came of them, and what is wrong by number."""
    outcomes: Counter[str] = Counter()
    found = {number: fault for number in range(inputs) if (fault := wrong(seed, number, folder, outcomes))}
    return outcomes, found


def main() -> int:
    """Try, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.settings")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes, found = fuzz(options.seed, options.inputs, Path(folder))
    print(f"{options.inputs:,} environments, seed {options.seed}: {dict(sorted(outcomes.items()))}")
    for number, fault in list(found.items())[:50]:
        print(f"  {number}: {fault}")
    print(f"{len(found):,} found." if found else "Nothing found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
