"""The doctor finds what is planted: one table of faults of settings and surroundings, each with what names it."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.sandbox import SandboxTransport
from tests.fuzz.settings import RIGHT, standing
from tests.world import API_KEY, World, notifying
from workers.operate.doctor import Check, examined
from workers.operate.doctor.surroundings import EARLIEST_S
from workers.production import DEMO_API_KEY, DEMO_WEBHOOK_SECRET
from workers.secrets.vault import new_key

#: A key of the ring.
KEY = new_key()
#: A file behind a setting, by its content; None: there is none.
EMPTY, MARK, WIDE, LATIN, NONE = b"", "\ufeff".encode(), "key".encode("utf-16"), "schlüssel".encode("latin-1"), None

#: What is planted -> the check that finds it, the setting or variable that it names, and a part of the remedy.
#: `FILE` in a value stands for a file with the content that is given.
FAULTS: list[tuple[dict[str, str], bytes | None, str, str, str]] = [
    # what is missing
    ({"ONBOARDING_REDIS_URL": ""}, NONE, "settings", "ONBOARDING_REDIS_URL", "it should be a Redis address"),
    ({"ONBOARDING_REDIS_URL": " \r\n"}, NONE, "settings", "ONBOARDING_REDIS_URL", "it should be a Redis address"),
    ({"ONBOARDING_ENCRYPTION_KEYS": ""}, NONE, "settings", "ONBOARDING_ENCRYPTION_KEYS", "`onboarding keys new`"),
    ({"ONBOARDING_ENCRYPTION_KEYS": ","}, NONE, "settings", "ONBOARDING_ENCRYPTION_KEYS", "`onboarding keys new`"),
    ({"IRON_API_KEY": "\ufeff"}, NONE, "settings", "IRON_API_KEY", "the API key from Iron's dashboard"),
    ({"IRON_BASE_URL": ""}, NONE, "settings", "IRON_BASE_URL", "https://api.sandbox.iron.xyz/api"),
    ({"IRON_WEBHOOK_SECRET": ""}, NONE, "webhooks", "IRON_WEBHOOK_SECRET", "Set it to the secret"),
    ({"ONBOARDING_API_TOKENS": ", "}, NONE, "tokens", "ONBOARDING_API_TOKENS", "`onboarding tokens new NAME"),
    # files behind settings
    ({"IRON_API_KEY": "", "IRON_API_KEY_FILE": "FILE"}, NONE, "settings", "IRON_API_KEY_FILE", "No such file"),
    ({"IRON_API_KEY": "", "IRON_API_KEY_FILE": "/"}, NONE, "settings", "IRON_API_KEY_FILE", "no regular file"),
    ({"IRON_API_KEY": "", "IRON_API_KEY_FILE": "FILE"}, WIDE, "settings", "IRON_API_KEY_FILE", "save it in UTF-8"),
    ({"IRON_API_KEY": "", "IRON_API_KEY_FILE": "FILE"}, LATIN, "settings", "IRON_API_KEY_FILE", "not text in UTF-8"),
    ({"IRON_API_KEY": "", "IRON_API_KEY_FILE": "FILE"}, EMPTY, "settings", "IRON_API_KEY_FILE", "Fill the file"),
    ({"ONBOARDING_ENCRYPTION_KEYS": "", "ONBOARDING_ENCRYPTION_KEYS_FILE": "FILE"}, EMPTY, "settings",
     "ONBOARDING_ENCRYPTION_KEYS is not set", "`onboarding keys new`"),
    ({"IRON_WEBHOOK_SECRET": "", "IRON_WEBHOOK_SECRET_FILE": "FILE"}, MARK, "settings", "IRON_WEBHOOK_SECRET_FILE",
     "Fill the file"),
    ({"IRON_API_KEY_FILE": "FILE"}, b"another-key", "settings", "IRON_API_KEY and IRON_API_KEY_FILE", "Unset one"),
    # signs that nobody sees
    ({"IRON_API_KEY": "key\u200b-4711"}, NONE, "settings", "IRON_API_KEY", "ZERO WIDTH SPACE"),
    ({"IRON_API_KEY": "“key-4711”"}, NONE, "settings", "IRON_API_KEY", "LEFT DOUBLE QUOTATION MARK"),
    ({"IRON_API_KEY": "key 4711"}, NONE, "settings", "IRON_API_KEY", "holds a blank"),
    ({"IRON_API_KEY": "${IRON_KEY}"}, NONE, "settings", "IRON_API_KEY", "placeholder"),
    ({"IRON_WEBHOOK_SECRET": '"whsec_c2FuZGJveA=="'}, NONE, "settings", "IRON_WEBHOOK_SECRET", "QUOTATION MARK"),
    ({"ONBOARDING_COMPANY_NAME": "M\udcfcller"}, NONE, "settings", "ONBOARDING_COMPANY_NAME", "not text in UTF-8"),
    ({"ONBOARDING_INSTALLATION": "prod\x1b"}, NONE, "settings", "ONBOARDING_INSTALLATION", "ESCAPE"),
    ({"ONBOARDING_ENCRYPTION_KEYS": "A" * 42}, NONE, "settings", "ONBOARDING_ENCRYPTION_KEYS", "44 letters of base64"),
    ({"ONBOARDING_API_TOKENS": "crm:boss:00"}, NONE, "settings", "ONBOARDING_API_TOKENS", "`onboarding tokens new`"),
    ({"IRON_API_VERSION": "2026-02-30"}, NONE, "settings", "IRON_API_VERSION", "a date such as"),
    ({"IRON_TIMEOUT_S": "10s"}, NONE, "settings", "IRON_TIMEOUT_S", "seconds, above 0"),
    ({"ONBOARDING_SETTLE_S": "60"}, NONE, "settings", "ONBOARDING_SETTLE_S", "seconds, above 82"),
    ({"ONBOARDING_WAITAOF": "yes"}, NONE, "settings", "ONBOARDING_WAITAOF", "off, local"),
    # addresses
    ({"ONBOARDING_REDIS_URL": "redis://:57#pw@h/0"}, NONE, "settings", "ONBOARDING_REDIS_URL", "percent-encode"),
    ({"ONBOARDING_REDIS_URL": "redis://h?decode_responses=True"}, NONE, "settings", "ONBOARDING_REDIS_URL",
     "the option decode_responses"),
    ({"ONBOARDING_REDIS_URL": "rediss://h?ssl_ca_certs=/nope"}, NONE, "settings", "ONBOARDING_REDIS_URL",
     "ssl_ca_certs names a file"),
    ({"ONBOARDING_REDIS_URL": "redis://h/zero"}, NONE, "settings", "ONBOARDING_REDIS_URL", "logical database"),
    ({"ONBOARDING_REDIS_URL": "rediss://127.0.0.1:1/0?ssl_cert_reqs=none"}, NONE, "redis", "ONBOARDING_REDIS_URL",
     "with ssl_ca_certs instead"),
    ({"ONBOARDING_REDIS_URL": "redis://127.0.0.1:1/0"}, NONE, "redis", "ONBOARDING_REDIS_URL", "Start it"),
    ({"ONBOARDING_BROKER_URL": "redis://127.0.0.1:1/1"}, NONE, "queue", "ONBOARDING_BROKER_URL", "Start it"),
    ({"ONBOARDING_BROKER_URL": "LEDGER"}, NONE, "settings", "ONBOARDING_BROKER_URL", "not the ledger's database"),
    ({"IRON_BASE_URL": "https://iron..example/api"}, NONE, "settings", "IRON_BASE_URL", "its host is no name"),
    ({"IRON_BASE_URL": "https://iron.example/a\rpi"}, NONE, "settings", "IRON_BASE_URL", "CARRIAGE RETURN"),
    ({"IRON_BASE_URL": "http://iron.example/api"}, NONE, "settings", "IRON_BASE_URL", "https:// address"),
    ({"ONBOARDING_PUBLIC_URL": "https://u:p@onboarding.example.com"}, NONE, "settings", "ONBOARDING_PUBLIC_URL",
     "everybody would see"),
    ({"ONBOARDING_PUBLIC_URL": "http://onboarding.example.com"}, NONE, "settings", "ONBOARDING_PUBLIC_URL", "https"),
    # secrets that are none, or in each other's place
    ({"IRON_WEBHOOK_SECRET": "whsec_not*base64*at*all"}, NONE, "webhooks", "IRON_WEBHOOK_SECRET", "Copy the whole"),
    ({"IRON_WEBHOOK_SECRET": "whsec_c2Fu"}, NONE, "settings", "IRON_WEBHOOK_SECRET", "Copy the whole secret"),
    ({"IRON_WEBHOOK_SECRET": API_KEY + "-and-more", "IRON_API_KEY": API_KEY + "-and-more"}, NONE, "webhooks",
     "IRON_WEBHOOK_SECRET", "in the other's place"),
    ({"IRON_API_KEY": "whsec_c2FuZGJveC1saWtlLXNlY3JldA"}, NONE, "iron", "IRON_API_KEY", "key from Iron's dashboard"),
    ({"IRON_API_KEY": "short"}, NONE, "iron", "IRON_API_KEY", "Check IRON_API_KEY"),
    ({"ONBOARDING_API_TOKENS": "crm:viewer:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, NONE,
     "tokens", "ONBOARDING_API_TOKENS", "`onboarding tokens new`"),
    ({"ONBOARDING_ENCRYPTION_KEYS": f"{KEY},{KEY}"}, NONE, "encryption", "ONBOARDING_ENCRYPTION_KEYS", "check it"),
    ({"ONBOARDING_ENCRYPTION_KEYS": f"{'A' * 43}="}, NONE, "settings", "ONBOARDING_ENCRYPTION_KEYS", "`onboarding key"),
    ({"IRON_WEBHOOK_SECRET": DEMO_WEBHOOK_SECRET}, NONE, "settings", "IRON_WEBHOOK_SECRET", "from Iron's dashboard"),
    ({"IRON_API_KEY": DEMO_API_KEY}, NONE, "settings", "IRON_API_KEY", "from Iron's dashboard"),
    ({"ONBOARDING_REDIS_URL": "redis://cache.example.com/0"}, NONE, "settings", "ONBOARDING_REDIS_URL",
     "ONBOARDING_PRIVATE_REDIS=true"),
    # names
    ({"IRON_WEBHOOK_SECERT": "x"}, NONE, "settings", "IRON_WEBHOOK_SECERT", "Is IRON_WEBHOOK_SECRET meant?"),
    ({"IRON_BASE_URL_FILE": "FILE"}, b"x", "settings", "IRON_BASE_URL_FILE", "set it itself"),
    # surroundings
    ({"SSL_CERT_FILE": "/nope.pem"}, NONE, "certificates", "SSL_CERT_FILE", "or unset it"),
    ({"SSL_CERT_FILE": "FILE"}, b"no certificate", "certificates", "SSL_CERT_FILE", "holds no certificate"),
    ({"SSL_CERT_FILE": "FILE"}, EMPTY, "certificates", "SSL_CERT_FILE", "holds no certificate"),
    ({"SSL_CERT_DIR": "/nope"}, NONE, "certificates", "SSL_CERT_DIR", "or unset it"),
    ({"HTTPS_PROXY": "socks5://proxy.example:1080"}, NONE, "proxy", "HTTPS_PROXY", "http://proxy.example.com:3128"),
    ({"HTTPS_PROXY": "http://proxy.example:port"}, NONE, "proxy", "HTTPS_PROXY", "http://proxy.example.com:3128"),
    ({"HTTPS_PROXY": "https://proxy.example"}, NONE, "proxy", "HTTPS_PROXY", "no other kind is supported"),
    ({"ONBOARDING_SWEEP_INTERVAL_S": "0"}, NONE, "sweep", "ONBOARDING_SWEEP_INTERVAL_S", "Set it to 21600"),
]  # fmt: skip

Look = Callable[..., list[Check]]


@pytest.fixture
def look(ledger_url: str, broker_url: str, tmp_path: Path) -> Iterator[Look]:
    """Examine an environment that is right but for what is planted; gives what is not well."""

    def one(planted: dict[str, str], content: bytes | None = None, *, all_checks: bool = False) -> list[Check]:
        file = tmp_path / "file"
        if content is not None:
            file.write_bytes(content)
        urls = {"ONBOARDING_REDIS_URL": ledger_url, "ONBOARDING_BROKER_URL": broker_url}
        right = RIGHT | urls | {"IRON_API_KEY": API_KEY}
        given = right | {name: {"FILE": str(file), "LEDGER": ledger_url}.get(v, v) for name, v in planted.items()}
        with standing(given):
            checks = list(examined(SandboxTransport(notifying())))
        return [check for check in checks if all_checks or check.state != "ok"]

    return one


def test_nothing_is_found_where_nothing_is_planted(look: Look) -> None:
    """The environment that everything is planted into is right; each secret is said to have been tried."""
    assert look({}) == []
    told = {check.name: check.text for check in look({}, all_checks=True)}
    assert "a sample signed with its secret is taken, and a forged one is not" in told["webhooks"]
    assert "nothing is stored yet to try them on" in told["encryption"]
    assert "answers and accepts the API key" in told["iron"]


def test_there_are_enough_faults() -> None:
    """The table is as long as it has to be, and no fault is there twice."""
    assert len({(str(planted), content) for planted, content, *_ in FAULTS}) == len(FAULTS) >= 40


@pytest.mark.parametrize(
    ("planted", "content", "name", "setting", "remedy"),
    FAULTS,
    ids=[f"{n}-{next(iter(planted))}" for n, (planted, *_) in enumerate(FAULTS)],
)
def test_a_planted_fault(
    planted: dict[str, str], content: bytes | None, name: str, setting: str, remedy: str, look: Look, world: World
) -> None:
    """It is found by the right check, which names the setting and the remedy, and not the value."""
    world.submit(tag="manual")  # so that somebody waits for a link
    world.run_until("k-1", "identification_pending")
    world.client.delete("onboarding:input:k-1")
    found = look(planted, content)
    assert [check for check in found if check.name == name and setting in check.text and remedy in check.text], found
    secret = [value for key, value in planted.items() if "KEY" in key or "SECRET" in key if len(value) > 6]
    assert not [check for check in found if any(value in check.text for value in secret if "/" not in value)]


# --- faults that no variable plants ----------------------------------------------------------------------------------


def test_keys_that_do_not_open_what_is_stored(look: Look, world: World) -> None:
    """The key ring is tried on stored input: the right one opens it, another is broken, both together are well."""
    world.submit()
    own, other = world.key, new_key()
    [check] = [one for one in look({"ONBOARDING_ENCRYPTION_KEYS": own}, all_checks=True) if one.name == "encryption"]
    assert (check.state, "open what is stored of 1 customers looked at" in check.text) == ("ok", True)
    [check] = look({"ONBOARDING_ENCRYPTION_KEYS": other})
    assert (check.name, check.state) == ("encryption", "broken")
    assert "ONBOARDING_ENCRYPTION_KEYS does not open what is stored of 1 of 1" in check.text
    assert "Add the former key behind the first" in check.text
    assert look({"ONBOARDING_ENCRYPTION_KEYS": f"{other},{own}"}) == []


def test_certificates_do_not_keep_the_other_checks_from_being_made(look: Look) -> None:
    """G13: a missing SSL_CERT_FILE is one line; Redis, queue and the rest are looked at all the same."""
    found = {check.name: check.state for check in look({"SSL_CERT_FILE": "/nope.pem"}, all_checks=True)}
    assert found["certificates"] == "broken"
    assert {"redis", "queue", "sweep", "webhooks", "tokens", "iron"} <= set(found)


def test_a_clock_in_1970(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock was never set says so."""
    monkeypatch.setattr("time.time", lambda: 17.0)
    texts = [check.text for check in look({}) if check.name == "clocks"]
    assert texts[0].startswith("The clock here says 1970-01-01")
    assert "NTP" in texts[0]
    assert EARLIEST_S > 1_700_000_000


def test_too_few_files(look: Look) -> None:
    """A limit of open files that a worker would run into is told with the setting."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_000), hard))
        [check] = look({"ONBOARDING_WORKER_THREADS": "256"})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ONBOARDING_WORKER_THREADS=256 needs 1,088" in check.text
    assert "`ulimit -n`" in check.text


def test_a_user_without_a_name(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """G9: it is told, and is no fault: histories have the number."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    [check] = [one for one in look({}, all_checks=True) if one.name == "user"]
    assert (check.state, f"The user {os.getuid()} has no name here" in check.text) == ("ok", True)
