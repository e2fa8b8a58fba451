"""Every setting, read once from the environment; what is missing or malformed is named, a sentence each.

Secrets may also be given as a file, `NAME_FILE`. The value of a setting never stands in a message. What a value looks
like wherever it comes from is in workers/environment.py and workers/forms.py.
Source of names and defaults: contract section 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, cast

import httpx
from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from pipelines.iron import Iron
from pipelines.iron.transport import ThreadTransport
from pipelines.job import JobRules
from pipelines.model import Policy
from workers.environment import Given, certificates, given
from workers.forms import FormError, web_address
from workers.ledger import CLOCK_TOLERANCE_MS, STEP_LIMIT_S, Durability
from workers.ledger.limits import Budget
from workers.production import refused_addresses, refused_rings, refused_secrets
from workers.proxies import Proxies, way
from workers.redis_address import HINT, next_database, redis_address, same_database
from workers.secrets.links import CustomerLinks
from workers.secrets.signature import split_secrets
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

#: A key of the ring: 32 bytes in base64, of either alphabet.
_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=")

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
    "ONBOARDING_REDIS_URL": f"a Redis address such as redis://:password@host:6379/0 ({HINT})",
    "ONBOARDING_BROKER_URL": (
        f"a Redis address such as redis://:password@host:6379/1, not the ledger's database ({HINT})"
    ),
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
    "ONBOARDING_PRIVATE_REDIS": "true or false",
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
    return value.split(",") if isinstance(value, str) else value


def _redis_address(value: SecretStr) -> SecretStr:
    return SecretStr(redis_address(value.get_secret_value()))


def _header(value: SecretStr) -> SecretStr:
    """Take only what fits into an HTTP header."""
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise FormError("it holds a blank, or a letter beyond ASCII")
    return value


def _webhook_secrets(value: SecretStr) -> SecretStr:
    for secret in split_secrets(value.get_secret_value()):
        _header(SecretStr(secret))
    return value


def _sweep_interval(value: float) -> float:
    if 0 < value < SHORTEST_SWEEP_S:
        raise ValueError
    return value


def _date(value: str) -> str:
    date.fromisoformat(value)  # raises ValueError when there is no such day
    return value


def _key_ring(value: list[SecretStr]) -> list[SecretStr]:
    for key in value:
        if not _KEY.fullmatch(key.get_secret_value()):  # base64 alone would pass over what it does not know
            raise FormError("one of its keys is not 44 letters of base64")
        Fernet(key.get_secret_value())
    return value


def _tokens(value: list[SecretStr]) -> list[SecretStr]:
    parse_all(entry.get_secret_value() for entry in value)
    return value


def _public_address(value: str) -> str:
    return web_address(value, user=False)


RedisAddress = Annotated[SecretStr, AfterValidator(_redis_address)]
Listed = Annotated[list[SecretStr], NoDecode, BeforeValidator(_listed)]
KeyRing = Annotated[Listed, AfterValidator(_key_ring)]
Tokens = Annotated[Listed, AfterValidator(_tokens)]
WebAddress = Annotated[str, AfterValidator(web_address)]
PublicAddress = Annotated[str, AfterValidator(_public_address)]


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
#: Settings that hold several values, with commas between them.
SEVERAL = (
    "ONBOARDING_ENCRYPTION_KEYS",
    "ONBOARDING_LOOKUP_KEYS",
    "ONBOARDING_LINK_KEYS",
    "ONBOARDING_API_TOKENS",
    "IRON_WEBHOOK_SECRET",
)
#: Names for people.
SPOKEN = ("ONBOARDING_COMPANY_NAME",)
#: Parts that call Iron: certificates and proxies have to be right for them.
CALLERS = ("worker",)


class Settings(BaseSettings):
    """All settings. Make it with `load`, which reports problems in words."""

    model_config = SettingsConfigDict(extra="ignore")

    ONBOARDING_REDIS_URL: RedisAddress | None = None
    ONBOARDING_BROKER_URL: RedisAddress | None = None
    ONBOARDING_INSTALLATION: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "default"
    IRON_BASE_URL: WebAddress | None = None
    IRON_API_KEY: Annotated[SecretStr, AfterValidator(_header)] | None = None
    IRON_API_VERSION: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_date)] = (
        "2026-07-01"
    )
    IRON_KEEP_API_VERSION: bool = False
    IRON_WEBHOOK_SECRET: Annotated[SecretStr, AfterValidator(_webhook_secrets)] | None = None
    IRON_WEBHOOK_TOLERANCE_S: Annotated[float, Field(ge=1, le=86_400)] = 300
    IRON_RATE_PER_SECOND: Annotated[float, Field(gt=0, le=100_000)] = 10
    IRON_IDENTIFICATIONS_PER_MINUTE: Annotated[float, Field(gt=0, le=6_000_000)] = 60
    IRON_TIMEOUT_S: Annotated[float, Field(gt=0, lt=STEP_LIMIT_S / 3)] = 10
    ONBOARDING_ENCRYPTION_KEYS: KeyRing = []
    ONBOARDING_LOOKUP_KEYS: KeyRing = []
    ONBOARDING_LINK_KEYS: KeyRing = []
    ONBOARDING_API_TOKENS: Tokens = []
    ONBOARDING_PUBLIC_URL: PublicAddress | None = None
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
    #: Somebody vouches for the network to Redis, where its host's name does not tell that it is private.
    ONBOARDING_PRIVATE_REDIS: bool = False
    #: What becomes of fields below `identification` that this release does not know.
    ONBOARDING_UNKNOWN_FIELDS: Literal["refuse", "pass"] = "refuse"
    #: What a job and an act of a person wait for before they are acknowledged. Redis 7.2 and later, with AOF.
    ONBOARDING_WAITAOF: Literal["off", "local", "replica"] = "off"
    ONBOARDING_LOG: Literal["console", "json"] | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: object,  # noqa: ARG003 -- pydantic names it
        init_settings: PydanticBaseSettingsSource,
        *_: object,
        **__: object,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load` alone, which reads the environment in its normal form."""
        return (init_settings,)

    @classmethod
    def load(cls, need: str = "ledger") -> Settings:
        """Read the environment. `need` is what the program is about to do, a name of NEEDS. Raises SettingsError."""
        found = read_given()
        faults = dict(found.faults)
        settings = None
        try:
            settings = cls(**cast("Any", found.values))
        except ValidationError as error:
            for problem in error.errors():
                faults.setdefault(str(problem["loc"][0]).upper(), _why(problem))
        problems = [*found.files, *(_unset(name, found) for name in NEEDS[need] if _is_unset(name, found))]
        problems += [_malformed(name, faults[name]) for name in SHAPES if name in faults]
        if settings is not None:
            problems += settings.contradictions(need)
        if problems or settings is None:
            raise SettingsError(problems)
        return settings

    def contradictions(self, need: str) -> Iterator[str]:
        """Say what does not go together: of two settings, or of a setting and what else the environment says."""
        if self.ONBOARDING_REDIS_URL and same_database(self.ledger_url, self.broker_url):
            yield f"ONBOARDING_BROKER_URL is the ledger's: it should be {SHAPES['ONBOARDING_BROKER_URL']}."
        if need in CALLERS and (fault := certificates()):
            yield fault
        if need in CALLERS and self.IRON_BASE_URL:
            yield from Proxies.of_environment().problems(*way(self.IRON_BASE_URL))
        yield from self._refused(need)

    def _refused(self, need: str) -> Iterator[str]:
        """Say what production refuses. The sandbox is none, so it takes the demo's secret."""
        given = {"ONBOARDING_REDIS_URL": self.ONBOARDING_REDIS_URL, "ONBOARDING_BROKER_URL": self.ONBOARDING_BROKER_URL}
        redis = {name: url.get_secret_value() for name, url in given.items() if url}
        private = self.ONBOARDING_PRIVATE_REDIS
        yield from refused_addresses(self.IRON_BASE_URL, self.ONBOARDING_PUBLIC_URL, redis, private_redis=private)
        key = self.IRON_API_KEY.get_secret_value() if self.IRON_API_KEY else ""
        yield from refused_secrets(self.IRON_BASE_URL, key, self.webhook_secrets, demo=need == "sandbox")
        rings = ("ONBOARDING_ENCRYPTION_KEYS", "ONBOARDING_LOOKUP_KEYS", "ONBOARDING_LINK_KEYS")
        yield from refused_rings({name: [key.get_secret_value() for key in getattr(self, name)] for name in rings})

    @property
    def ledger_url(self) -> str:
        """The ledger's address, password included."""
        return self.ONBOARDING_REDIS_URL.get_secret_value() if self.ONBOARDING_REDIS_URL else ""

    @property
    def broker_url(self) -> str:
        """The broker's address: as set, or the ledger's server with the next logical database."""
        return (
            self.ONBOARDING_BROKER_URL.get_secret_value()
            if self.ONBOARDING_BROKER_URL
            else next_database(self.ledger_url)
        )

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

    def transport(self) -> ThreadTransport:
        """Make the transport to Iron: directly, or through the proxy that the environment names for it."""
        return ThreadTransport(proxy=Proxies.of_environment())

    @property
    def webhook_secrets(self) -> Sequence[str]:
        """The secrets that verify Iron's webhooks; none: they cannot be verified."""
        return split_secrets(self.IRON_WEBHOOK_SECRET.get_secret_value()) if self.IRON_WEBHOOK_SECRET else ()

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


def read_given() -> Given:
    """Read what is given of the settings, in its normal form."""
    return given(SHAPES, SECRETS, SEVERAL, SPOKEN)


def _is_unset(name: str, found: Given) -> bool:
    """Say whether nothing is given; a file that cannot be read is told of for itself."""
    told = any(line.startswith(f"{name}_FILE ") for line in found.files)
    return name not in found.values and name not in found.faults and not told


def _unset(name: str, found: Given) -> str:
    why = f", because the file that {name}_FILE names is empty" if name in found.empty else ""
    return f"{name} is not set{why}: it should be {SHAPES[name]}."


def _malformed(name: str, why: str) -> str:
    return f"{name} is malformed: {why}{'; ' * bool(why)}it should be {SHAPES[name]}."


def _why(problem: Mapping[str, Any]) -> str:
    """Give what a validator of ours says of a value; those of the library may repeat it."""
    error = problem.get("ctx", {}).get("error")
    return str(error) if isinstance(error, FormError) else ""


def customer_links(settings: Settings, fallback: str | None = None) -> CustomerLinks:
    """Make the links that the settings speak of. `fallback`: the public address where none is set."""
    return CustomerLinks(
        settings.link_keys, settings.ONBOARDING_INSTALLATION, settings.ONBOARDING_PUBLIC_URL or fallback
    )
