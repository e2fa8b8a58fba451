"""Every setting, read once from the environment; what is missing or malformed is named, a sentence each.

Secrets may also be given as a file, `NAME_FILE`. The value of a setting never stands in a message.
Source of names and defaults: contract section 2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx
from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipelines.iron import Iron
from pipelines.job import JobRules
from pipelines.model import Policy
from workers.ledger import CLOCK_TOLERANCE_MS, STEP_LIMIT_S, Durability
from workers.ledger.limits import Budget
from workers.secrets.links import CustomerLinks
from workers.secrets.tokens import ApiToken, parse_all
from workers.secrets.vault import Vault

#: Pause between two reads of a customer beyond the first day when the sweep is switched off, in seconds.
FAR_WITHOUT_SWEEP_S = 86_400.0
#: The same while the sweep looks: no more than a floor under it.
FAR_WITH_SWEEP_S = 365 * 86_400.0

#: Longest duration that a setting may name, in seconds: a year.
LONGEST_S = 365 * 86_400.0
#: Shortest pause from one sweep to the next, in seconds.
SHORTEST_SWEEP_S = 60.0

#: Events are kept at least so long, in seconds: four days, longer than an endpoint is tried before it is paused.
SHORTEST_KEPT_S = 4 * 86_400.0
#: The settle time is longer: than the calls of a step, and than that by what a worker's clock may be off, in seconds.
SHORTEST_SETTLE_S = STEP_LIMIT_S + CLOCK_TOLERANCE_MS / 1000

#: What each part of the program cannot do without.
NEEDS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "ledger": ("ONBOARDING_REDIS_URL",),
    "gateway": ("ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS"),
    "input": ("ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS"),
    "links": ("ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS", "ONBOARDING_PUBLIC_URL"),
    "worker": ("ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS", "IRON_BASE_URL", "IRON_API_KEY"),
    "sandbox": ("IRON_WEBHOOK_SECRET",),
}

#: What a setting should look like, for messages.
SHAPES = {
    "ONBOARDING_REDIS_URL": "a Redis address such as redis://:password@host:6379/0",
    "ONBOARDING_BROKER_URL": "a Redis address such as redis://:password@host:6379/1, not the ledger's database",
    "ONBOARDING_INSTALLATION": "a short name of letters, digits, '-' and '_'",
    "IRON_BASE_URL": "an address such as https://api.sandbox.iron.xyz/api",
    "IRON_API_KEY": "the API key from Iron's dashboard",
    "IRON_API_VERSION": "a date such as 2026-07-01",
    "IRON_KEEP_API_VERSION": "true or false",
    "IRON_WEBHOOK_SECRET": "the secret that Iron's dashboard shows once for the webhook, or several with commas",
    "IRON_WEBHOOK_TOLERANCE_S": "seconds, from 1 to 86400",
    "IRON_RATE_PER_SECOND": "a number above 0",
    "IRON_IDENTIFICATIONS_PER_MINUTE": "a number above 0",
    "IRON_TIMEOUT_S": f"seconds, above 0 and below {STEP_LIMIT_S / 3:.0f}, so that a step's calls fit into its limit",
    "ONBOARDING_ENCRYPTION_KEYS": "keys separated by commas, each as `onboarding keys new` prints it",
    "ONBOARDING_LOOKUP_KEYS": "keys separated by commas, each as `onboarding keys new` prints it",
    "ONBOARDING_LINK_KEYS": "keys separated by commas, each as `onboarding keys new` prints it",
    "ONBOARDING_API_TOKENS": "entries separated by commas, each as `onboarding tokens new` prints it, none twice",
    "ONBOARDING_PUBLIC_URL": "the gateway's address as customers reach it, such as https://onboarding.example.com",
    "ONBOARDING_COMPANY_NAME": "a name of 1 to 80 characters",
    "ONBOARDING_WORKER_PROCESSES": "a whole number from 1 to 64",
    "ONBOARDING_WORKER_THREADS": "a whole number from 1 to 256",
    "ONBOARDING_POLL_MIN_S": "seconds, from 0.1 to a year",
    "ONBOARDING_POLL_FOR_S": "seconds, from 0 to a year",
    "ONBOARDING_SWEEP_INTERVAL_S": "seconds, from 60 to a year, or 0 to switch it off",
    "ONBOARDING_SETTLE_S": f"seconds, above {SHORTEST_SETTLE_S:.0f} (the limit of a step and more), at most 3600",
    "ONBOARDING_MAX_ROUNDS": "a whole number from 1 to 100",
    "ONBOARDING_ROUND_SPACING_S": "seconds, from 0 to a year",
    "ONBOARDING_EVENTS_KEPT_S": "seconds, from 345600 (four days, longer than a delivery is tried) to a year",
    "ONBOARDING_PRIVATE_ENDPOINTS": "true or false",
    "ONBOARDING_UNKNOWN_FIELDS": "refuse, or pass to hand unknown fields of an identification on to Iron",
    "ONBOARDING_WAITAOF": "off, local (the server's disk) or replica (and that of a replica)",
    "ONBOARDING_LOG": "console or json",
}


class SettingsError(Exception):
    """Settings are missing or malformed; `problems` has a line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Keep the lines."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def _listed(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _redis_address(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    _ = parts.port  # raises ValueError when it is none
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError
    return value


def _header(value: SecretStr) -> SecretStr:
    """Take only what fits into an HTTP header."""
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError
    return value


def _sweep_interval(value: float) -> float:
    if 0 < value < SHORTEST_SWEEP_S:
        raise ValueError
    return value


def _key_ring(value: list[SecretStr]) -> list[SecretStr]:
    for key in value:
        Fernet(key.get_secret_value())
    return value


def _tokens(value: list[SecretStr]) -> list[SecretStr]:
    parse_all(entry.get_secret_value() for entry in value)
    return value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError when it is none
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError
    return value.rstrip("/")


RedisAddress = Annotated[SecretStr, AfterValidator(_redis_address)]
Listed = Annotated[list[SecretStr], NoDecode, BeforeValidator(_listed)]
KeyRing = Annotated[Listed, AfterValidator(_key_ring)]
Tokens = Annotated[Listed, AfterValidator(_tokens)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


#: Settings that may be given as a file.
SECRETS = (
    "ONBOARDING_REDIS_URL",
    "ONBOARDING_BROKER_URL",
    "ONBOARDING_ENCRYPTION_KEYS",
    "ONBOARDING_LOOKUP_KEYS",
    "ONBOARDING_LINK_KEYS",
    "ONBOARDING_API_TOKENS",
    "IRON_API_KEY",
    "IRON_WEBHOOK_SECRET",
)


class Settings(BaseSettings):
    """All settings. Make it with `load`, which reports problems in words."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False, env_ignore_empty=True)

    ONBOARDING_REDIS_URL: RedisAddress | None = None
    ONBOARDING_BROKER_URL: RedisAddress | None = None
    ONBOARDING_INSTALLATION: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "default"
    IRON_BASE_URL: WebAddress | None = None
    IRON_API_KEY: Annotated[SecretStr, AfterValidator(_header)] | None = None
    IRON_API_VERSION: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] = "2026-07-01"
    IRON_KEEP_API_VERSION: bool = False
    IRON_WEBHOOK_SECRET: SecretStr | None = None
    IRON_WEBHOOK_TOLERANCE_S: Annotated[float, Field(ge=1, le=86_400)] = 300
    IRON_RATE_PER_SECOND: Annotated[float, Field(gt=0, le=100_000)] = 10
    IRON_IDENTIFICATIONS_PER_MINUTE: Annotated[float, Field(gt=0, le=6_000_000)] = 60
    IRON_TIMEOUT_S: Annotated[float, Field(gt=0, lt=STEP_LIMIT_S / 3)] = 10
    ONBOARDING_ENCRYPTION_KEYS: KeyRing = []
    ONBOARDING_LOOKUP_KEYS: KeyRing = []
    ONBOARDING_LINK_KEYS: KeyRing = []
    ONBOARDING_API_TOKENS: Tokens = []
    ONBOARDING_PUBLIC_URL: WebAddress | None = None
    ONBOARDING_COMPANY_NAME: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    ONBOARDING_WORKER_PROCESSES: Annotated[int, Field(ge=1, le=64)] = 2
    ONBOARDING_WORKER_THREADS: Annotated[int, Field(ge=1, le=256)] = 16
    ONBOARDING_POLL_MIN_S: Annotated[float, Field(ge=0.1, le=LONGEST_S)] = 5
    ONBOARDING_POLL_FOR_S: Annotated[float, Field(ge=0, le=LONGEST_S)] = 86_400
    ONBOARDING_SWEEP_INTERVAL_S: Annotated[float, Field(ge=0, le=LONGEST_S), AfterValidator(_sweep_interval)] = 21_600
    ONBOARDING_SETTLE_S: Annotated[float, Field(gt=SHORTEST_SETTLE_S, le=3_600)] = 120
    ONBOARDING_MAX_ROUNDS: Annotated[int, Field(ge=1, le=100)] = 3
    ONBOARDING_ROUND_SPACING_S: Annotated[float, Field(ge=0, le=LONGEST_S)] = 3_600
    ONBOARDING_EVENTS_KEPT_S: Annotated[float, Field(ge=SHORTEST_KEPT_S, le=LONGEST_S)] = 30 * 86_400
    ONBOARDING_PRIVATE_ENDPOINTS: bool = False
    #: What becomes of fields below `identification` that this release does not know.
    ONBOARDING_UNKNOWN_FIELDS: Literal["refuse", "pass"] = "refuse"
    #: What a job and an act of a person wait for before they are acknowledged. Redis 7.2 and later, with AOF.
    ONBOARDING_WAITAOF: Literal["off", "local", "replica"] = "off"
    ONBOARDING_LOG: Literal["console", "json"] | None = None

    @classmethod
    def load(cls, need: str = "ledger") -> Settings:
        """Read the environment. `need` is what the program is about to do, a name of NEEDS. Raises SettingsError."""
        from_files, problems = _from_files()
        given = {name for name in SHAPES if os.environ.get(name) or os.environ.get(f"{name}_FILE")}
        problems += [f"{name} is not set: it should be {SHAPES[name]}." for name in NEEDS[need] if name not in given]
        try:
            settings = cls(**from_files)
        except ValidationError as error:
            names = dict.fromkeys(str(problem["loc"][0]).upper() for problem in error.errors())
            malformed = [f"{name} is malformed: it should be {SHAPES[name]}." for name in names]
            raise SettingsError([*problems, *malformed]) from None
        if settings.ONBOARDING_REDIS_URL and _same_database(settings.ledger_url, settings.broker_url):
            problems.append(f"ONBOARDING_BROKER_URL is the ledger's: it should be {SHAPES['ONBOARDING_BROKER_URL']}.")
        if problems:
            raise SettingsError(problems)
        return settings

    @property
    def ledger_url(self) -> str:
        """The ledger's address, password included."""
        return self.ONBOARDING_REDIS_URL.get_secret_value() if self.ONBOARDING_REDIS_URL else ""

    @property
    def broker_url(self) -> str:
        """The broker's address: as set, or the ledger's server with the next logical database."""
        return self.ONBOARDING_BROKER_URL.get_secret_value() if self.ONBOARDING_BROKER_URL else _next(self.ledger_url)

    @property
    def policy(self) -> Policy:
        """The durations and caps of the pipeline."""
        return Policy(
            settle_s=self.ONBOARDING_SETTLE_S,
            poll_min_s=self.ONBOARDING_POLL_MIN_S,
            poll_for_s=self.ONBOARDING_POLL_FOR_S,
            poll_far_s=FAR_WITH_SWEEP_S if self.ONBOARDING_SWEEP_INTERVAL_S else FAR_WITHOUT_SWEEP_S,
            max_rounds=self.ONBOARDING_MAX_ROUNDS,
            round_spacing_s=self.ONBOARDING_ROUND_SPACING_S,
        )

    @property
    def job_rules(self) -> JobRules:
        """What jobs may hold here."""
        return JobRules(unknown_fields=self.ONBOARDING_UNKNOWN_FIELDS)

    @property
    def budget(self) -> Budget:
        """The calls to Iron that the fleet may make."""
        return Budget(self.IRON_RATE_PER_SECOND, self.IRON_IDENTIFICATIONS_PER_MINUTE)

    def iron(self, transport: httpx.BaseTransport) -> Iron:
        """Make the client of Iron's API on this transport."""
        key = self.IRON_API_KEY.get_secret_value() if self.IRON_API_KEY else ""
        return Iron(transport, str(self.IRON_BASE_URL), key, self.IRON_API_VERSION, self.IRON_TIMEOUT_S)

    @property
    def durability(self) -> Durability:
        """What is waited for before a job or an act is acknowledged."""
        return {"off": Durability(), "local": Durability(1), "replica": Durability(1, 1)}[self.ONBOARDING_WAITAOF]

    @property
    def api_tokens(self) -> tuple[ApiToken, ...]:
        """The tokens that the gateway accepts."""
        return parse_all(entry.get_secret_value() for entry in self.ONBOARDING_API_TOKENS)

    @property
    def key_ring(self) -> list[str]:
        """The encryption keys, newest first."""
        return [key.get_secret_value() for key in self.ONBOARDING_ENCRYPTION_KEYS]

    @property
    def link_keys(self) -> list[str]:
        """The keys of customers' links and of console sessions, newest first; those of the ring where none is set."""
        return [key.get_secret_value() for key in self.ONBOARDING_LINK_KEYS or self.ONBOARDING_ENCRYPTION_KEYS]

    @property
    def vault(self) -> Vault:
        """What seals and opens, and makes the digests by which addresses and jobs are found."""
        lookup = [key.get_secret_value() for key in self.ONBOARDING_LOOKUP_KEYS]
        return Vault(self.key_ring, self.ONBOARDING_INSTALLATION, lookup)


def _from_files() -> tuple[dict[str, Any], list[str]]:
    """Read the secrets that are given as files, and say which of these cannot be read."""
    values: dict[str, Any] = {}
    problems = []
    for name in SECRETS:
        path = os.environ.get(f"{name}_FILE")
        if path and not os.environ.get(name):
            try:
                values[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                problems.append(f"{name}_FILE names a file that cannot be read.")
    return values, problems


def database(url: str) -> int:
    """Give the logical database that a Redis address names."""
    parts = urlsplit(url)
    named = parse_qs(parts.query).get("db", [""])[0] or (parts.path.strip("/") if parts.scheme != "unix" else "")
    return int(named) if named.isdigit() else 0


def _next(url: str) -> str:
    parts = urlsplit(url)
    number = str(database(url) + 1)
    if parts.scheme == "unix" or "db" in parse_qs(parts.query):
        others = "&".join(part for part in parts.query.split("&") if part and not part.startswith("db="))
        return f"{url.partition('?')[0]}?" + f"{others}&db={number}".lstrip("&")
    return urlunsplit(parts._replace(path=f"/{number}"))


def _same_database(one: str, other: str) -> bool:
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, int]:
    """Name the server and the logical database of an address."""
    parts = urlsplit(url)
    server = parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    return server, database(url)


def customer_links(settings: Settings, fallback: str | None = None) -> CustomerLinks:
    """Make the links that the settings speak of. `fallback`: the public address where none is set."""
    return CustomerLinks(
        settings.link_keys, settings.ONBOARDING_INSTALLATION, settings.ONBOARDING_PUBLIC_URL or fallback
    )
