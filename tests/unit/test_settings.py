"""Settings: names and defaults of contract section 2, and every problem told in words, without the value."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InputLostError
from pipelines.model import Policy
from workers.ledger import (
    CLOCK_TOLERANCE_MS,
    LEASE_MARGIN_S,
    LEASE_MS,
    REDIS_TIMEOUT_S,
    RENEW_EVERY_S,
    STEP_LIMIT_S,
)
from workers.redis_address import database
from workers.secrets.vault import Place, Vault, new_key
from workers.settings import NEEDS, SHAPES, Settings, SettingsError

#: Names and defaults as the contract lists them. None: there is no default.
CONTRACT: dict[str, Any] = {
    "ONBOARDING_REDIS_URL": None,
    "ONBOARDING_BROKER_URL": None,
    "ONBOARDING_INSTALLATION": "default",
    "IRON_BASE_URL": None,
    "IRON_API_KEY": None,
    "IRON_API_VERSION": "2026-07-01",
    "IRON_KEEP_API_VERSION": False,
    "IRON_WEBHOOK_SECRET": None,
    "IRON_WEBHOOK_TOLERANCE_S": 300,
    "IRON_RATE_PER_SECOND": 10,
    "IRON_IDENTIFICATIONS_PER_MINUTE": 60,
    "IRON_TIMEOUT_S": 10,
    "ONBOARDING_ENCRYPTION_KEYS": [],
    "ONBOARDING_LOOKUP_KEYS": [],
    "ONBOARDING_LINK_KEYS": [],
    "ONBOARDING_API_TOKENS": [],
    "ONBOARDING_PUBLIC_URL": None,
    "ONBOARDING_COMPANY_NAME": None,
    "ONBOARDING_WORKER_PROCESSES": 2,
    "ONBOARDING_WORKER_THREADS": 16,
    "ONBOARDING_POLL_MIN_S": 5,
    "ONBOARDING_POLL_FOR_S": 86400,
    "ONBOARDING_SWEEP_INTERVAL_S": 21600,
    "ONBOARDING_SETTLE_S": 120,
    "ONBOARDING_MAX_ROUNDS": 3,
    "ONBOARDING_ROUND_SPACING_S": 3600,
    "ONBOARDING_EVENTS_KEPT_S": 2_592_000,
    "ONBOARDING_PRIVATE_ENDPOINTS": False,
    "ONBOARDING_PRIVATE_REDIS": False,
    "ONBOARDING_UNKNOWN_FIELDS": "refuse",
    "ONBOARDING_WAITAOF": "off",
    "ONBOARDING_LOG": None,
}
RING = f"{new_key()},{new_key()}"
#: A complete and correct environment.
GOOD = {
    "ONBOARDING_REDIS_URL": "redis://:secret@redis:6379/0",
    "IRON_BASE_URL": "https://api.sandbox.iron.xyz/api/",
    "IRON_API_KEY": "key-1234",
    "ONBOARDING_ENCRYPTION_KEYS": RING,
}
SECRETS = {
    "ONBOARDING_REDIS_URL": "redis://:secret@redis/3",
    "ONBOARDING_BROKER_URL": "redis://:secret@redis/4",
    "IRON_API_KEY": "key-5678",
    "IRON_WEBHOOK_SECRET": "whsec_c2V0dGluZ3MtdGVzdC1zZWNyZXQ",
    "ONBOARDING_ENCRYPTION_KEYS": RING,
    "ONBOARDING_LOOKUP_KEYS": RING,
    "ONBOARDING_LINK_KEYS": RING,
    "ONBOARDING_API_TOKENS": f"ada:viewer:{'00' * 32}, bob:admin:{'11' * 32}",
}


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any setting of ours."""
    for name in list(os.environ):
        if name.upper().startswith(("ONBOARDING_", "IRON_")):
            monkeypatch.delenv(name)
    return monkeypatch


def load(env: pytest.MonkeyPatch, need: str = "worker", **settings: str) -> Settings:
    """Settings from a correct environment with these changes; an empty one takes a setting away."""
    for name, value in {**GOOD, **settings}.items():
        env.setenv(name, value)
    return Settings.load(need)


def problems(env: pytest.MonkeyPatch, need: str = "worker", **settings: str) -> tuple[str, ...]:
    """The lines that these changes of a correct environment lead to."""
    with pytest.raises(SettingsError) as raised:
        load(env, need, **settings)
    assert str(raised.value).splitlines() == list(raised.value.problems)
    return raised.value.problems


def plain(value: Any) -> Any:
    """A setting without its wrapping."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def test_names_and_defaults_are_the_contracts() -> None:
    """Every setting of the contract exists with its default, each has a shape to show, and there are no others."""
    assert {name: field.default for name, field in Settings.model_fields.items()} == CONTRACT
    assert set(SHAPES) == set(CONTRACT)


def test_the_policys_defaults_are_the_settings(env: pytest.MonkeyPatch) -> None:
    """Who sets nothing gets the policy and the budget as the contract has them."""
    settings = load(env)
    policy = settings.policy
    assert (policy.settle_s, policy.poll_min_s, policy.poll_for_s) == (120, 5, 86_400)
    assert (policy.max_rounds, policy.round_spacing_s, policy.retention_s) == (3, 3_600, 86_400)
    assert policy == replace(Policy(), poll_far_s=policy.poll_far_s)
    assert (settings.budget.rate_per_second, settings.budget.identifications_per_minute) == (10, 60)
    assert settings.IRON_BASE_URL == "https://api.sandbox.iron.xyz/api"
    assert settings.key_ring == RING.split(",")


def test_each_purpose_has_its_keys(env: pytest.MonkeyPatch) -> None:
    """Lookup and link keys are those of the ring until they are set; a value belongs to the installation."""
    ring, lookup, link = (new_key() for _ in range(3))
    shared = load(env, ONBOARDING_ENCRYPTION_KEYS=ring)
    apart = load(
        env, ONBOARDING_ENCRYPTION_KEYS=ring, ONBOARDING_LOOKUP_KEYS=lookup, ONBOARDING_LINK_KEYS=f"{link}, {ring}"
    )
    assert (shared.link_keys, apart.link_keys) == ([ring], [link, ring])
    assert shared.vault.email_digests("a@b.c") == Vault([ring]).email_digests("a@b.c")
    assert apart.vault.email_digests("a@b.c") == Vault([lookup]).email_digests("a@b.c")
    sealed = shared.vault.seal(Place("evidence", "k-1"), 1)
    assert apart.vault.open(Place("evidence", "k-1"), sealed) == 1
    with pytest.raises(InputLostError):
        load(env, ONBOARDING_ENCRYPTION_KEYS=ring, ONBOARDING_INSTALLATION="b").vault.open(
            Place("evidence", "k-1"), sealed
        )


def test_every_pace_setting_reaches_the_policy(env: pytest.MonkeyPatch) -> None:
    """Each duration and cap that is set is the one that counts."""
    settings = load(
        env,
        ONBOARDING_SETTLE_S="90",
        ONBOARDING_POLL_MIN_S="1.5",
        ONBOARDING_POLL_FOR_S="60",
        ONBOARDING_SWEEP_INTERVAL_S="120",
        ONBOARDING_MAX_ROUNDS="7",
        ONBOARDING_ROUND_SPACING_S="30",
        IRON_RATE_PER_SECOND="2.5",
        IRON_IDENTIFICATIONS_PER_MINUTE="3",
    )
    policy = settings.policy
    assert (policy.settle_s, policy.poll_min_s, policy.poll_for_s) == (90, 1.5, 60)
    assert (policy.max_rounds, policy.round_spacing_s) == (7, 30)
    assert (settings.budget.rate_per_second, settings.budget.identifications_per_minute) == (2.5, 3)


def test_no_sweep_is_no_pause_of_zero(env: pytest.MonkeyPatch) -> None:
    """With the sweep switched off a customer is still read now and then."""
    assert load(env, ONBOARDING_SWEEP_INTERVAL_S="0").policy.poll_far_s >= 86_400


MALFORMED = [
    *((name, "http://marker") for name in ("ONBOARDING_REDIS_URL", "ONBOARDING_BROKER_URL")),
    *(("ONBOARDING_REDIS_URL", value) for value in ("marker", "redis://marker:99999", "redis://marker:port/0")),
    ("ONBOARDING_BROKER_URL", "redis://marker:99999/1"),
    *(("ONBOARDING_INSTALLATION", value) for value in ("marker one", "marker/1", "marker" * 20)),
    *(("IRON_BASE_URL", value) for value in ("marker", "ftp://marker", "https://", "https://marker/api?x=1")),
    *(("IRON_BASE_URL", value) for value in ("https://marker:99999", "https://marker:port/api", "https://marker/#x")),
    *(("IRON_API_KEY", value) for value in ("markerü", "marker\nx: y", "marker marker", "marker\x7f")),
    *(("IRON_WEBHOOK_TOLERANCE_S", value) for value in ("marker", "0", "0.9", "86401", "nan", "inf")),
    *(("IRON_API_VERSION", value) for value in ("marker", "2026-7-1")),
    *(("ONBOARDING_ENCRYPTION_KEYS", value) for value in ("marker", f"{'A' * 43}=,marker")),
    ("ONBOARDING_LOOKUP_KEYS", f"{'A' * 43}=,marker"),
    ("ONBOARDING_LINK_KEYS", "marker"),
    *(
        (name, value)
        for name in ("IRON_RATE_PER_SECOND", "IRON_IDENTIFICATIONS_PER_MINUTE", "IRON_TIMEOUT_S")
        for value in ("marker", "0", "-1", "nan", "inf")
    ),
    ("IRON_TIMEOUT_S", "20"),
    *(("ONBOARDING_WORKER_PROCESSES", value) for value in ("marker", "0", "65", "1.5")),
    *(("ONBOARDING_WORKER_THREADS", value) for value in ("marker", "0", "257")),
    *(("ONBOARDING_POLL_MIN_S", value) for value in ("marker", "0", "0.09", "nan", "inf", "31536001")),
    *(("ONBOARDING_POLL_FOR_S", value) for value in ("marker", "-1", "nan", "inf", "31536001")),
    *(("ONBOARDING_SWEEP_INTERVAL_S", value) for value in ("marker", "-1", "59", "nan", "inf", "31536001")),
    *(("ONBOARDING_SETTLE_S", value) for value in ("marker", "82", "3601", "nan", "inf")),
    *(("ONBOARDING_MAX_ROUNDS", value) for value in ("marker", "0", "101")),
    *(("ONBOARDING_ROUND_SPACING_S", value) for value in ("marker", "-1", "nan", "inf", "31536001")),
    *(("ONBOARDING_PUBLIC_URL", value) for value in ("marker", "ftp://marker", "https://marker/?x=1")),
    ("ONBOARDING_COMPANY_NAME", "marker" * 14),
    *(("ONBOARDING_EVENTS_KEPT_S", value) for value in ("marker", "0", "345599", "nan", "inf", "31536001")),
    ("ONBOARDING_PRIVATE_ENDPOINTS", "marker"),
    ("ONBOARDING_PRIVATE_REDIS", "marker"),
    ("IRON_KEEP_API_VERSION", "marker"),
    *(("ONBOARDING_UNKNOWN_FIELDS", value) for value in ("marker", "true", "Pass")),
    ("ONBOARDING_WAITAOF", "marker"),
    ("ONBOARDING_LOG", "marker"),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_value_is_one_line(name: str, value: str, env: pytest.MonkeyPatch) -> None:
    """The line names the setting and what it should look like, and does not repeat the value."""
    (line,) = problems(env, **{name: value})
    assert line.startswith(f"{name} is malformed: ")
    assert line.endswith(f"it should be {SHAPES[name]}.")
    assert "marker" not in line


def test_every_setting_with_a_form_is_tried() -> None:
    """What is not tried above takes any text."""
    free = {"IRON_WEBHOOK_SECRET", "ONBOARDING_API_TOKENS"}
    assert {name for name, _ in MALFORMED} == set(CONTRACT) - free


def test_all_malformed_values_are_told_at_once(env: pytest.MonkeyPatch) -> None:
    """Each wrong setting has its line, and the same setting only one."""
    lines = problems(env, ONBOARDING_ENCRYPTION_KEYS="a,b", IRON_TIMEOUT_S="soon", ONBOARDING_LOG="loud")
    assert [line.split()[0] for line in lines] == ["IRON_TIMEOUT_S", "ONBOARDING_ENCRYPTION_KEYS", "ONBOARDING_LOG"]


def test_missing_and_malformed_are_told_together(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One start tells everything: what is missing, what cannot be read and what is malformed, a line each."""
    lines = problems(
        env,
        IRON_API_KEY="",
        IRON_TIMEOUT_S="soon",
        ONBOARDING_ENCRYPTION_KEYS="",
        ONBOARDING_ENCRYPTION_KEYS_FILE=str(tmp_path / "nowhere"),
    )
    assert sorted(lines) == [
        f"IRON_API_KEY is not set: it should be {SHAPES['IRON_API_KEY']}.",
        f"IRON_TIMEOUT_S is malformed: it should be {SHAPES['IRON_TIMEOUT_S']}.",
        "ONBOARDING_ENCRYPTION_KEYS_FILE names a file that cannot be read: No such file or directory.",
    ]


def test_missing_and_one_database_for_both_are_told_together(env: pytest.MonkeyPatch) -> None:
    """What is wrong between two settings does not hide what is missing."""
    lines = problems(env, IRON_API_KEY="", ONBOARDING_BROKER_URL=GOOD["ONBOARDING_REDIS_URL"])
    assert [line.split()[0] for line in lines] == ["IRON_API_KEY", "ONBOARDING_BROKER_URL"]


@pytest.mark.parametrize(("value", "taken"), [("1", 1), ("86400", 86_400), ("12.5", 12.5)])
def test_the_webhooks_tolerance_is_taken(value: str, taken: float, env: pytest.MonkeyPatch) -> None:
    """From a second to a day, ends included."""
    tolerance_s = load(env, IRON_WEBHOOK_TOLERANCE_S=value).IRON_WEBHOOK_TOLERANCE_S
    assert tolerance_s == taken


@pytest.mark.parametrize(
    ("need", "names"),
    [
        ("ledger", ["ONBOARDING_REDIS_URL"]),
        ("input", ["ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS"]),
        ("gateway", ["ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS"]),
        ("worker", ["ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS", "IRON_BASE_URL", "IRON_API_KEY"]),
    ],
)
def test_what_is_missing_depends_on_what_is_to_be_done(need: str, names: list[str], env: pytest.MonkeyPatch) -> None:
    """Each part of the program asks for what it needs, all of it at once and nothing else; empty is missing."""
    lines = problems(env, need, **dict.fromkeys(GOOD, ""))
    assert lines == tuple(f"{name} is not set: it should be {SHAPES[name]}." for name in names)
    assert set(names) == set(NEEDS[need])


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_be_a_file(name: str, env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`NAME_FILE` gives what the file holds, without the line's end; the setting itself comes first."""
    path = tmp_path / "secret"
    path.write_text(SECRETS[name] + "\n", encoding="utf-8")
    settings = load(env, **{f"{name}_FILE": str(path), name: ""})
    listed = [part.strip() for part in SECRETS[name].split(",")]
    assert plain(getattr(settings, name)) == (listed if "," in SECRETS[name] else SECRETS[name])
    path.write_text("redis://other/9" if name.endswith("URL") else new_key(), encoding="utf-8")
    both = load(env, **{name: SECRETS[name]})
    assert plain(getattr(both, name)) == plain(getattr(settings, name))


def test_a_malformed_file_is_told_as_its_setting(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What stands in a file is checked like what stands in the environment."""
    path = tmp_path / "secret"
    path.write_text("marker", encoding="utf-8")
    settings = {"ONBOARDING_ENCRYPTION_KEYS": "", "ONBOARDING_ENCRYPTION_KEYS_FILE": str(path)}
    (line,) = problems(env, **settings)
    assert line.startswith("ONBOARDING_ENCRYPTION_KEYS is malformed")
    assert "marker" not in line


@pytest.mark.parametrize("content", [None, b"\xff\xfe marker"], ids=["missing", "no text"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_file_that_cannot_be_read_is_one_line(
    name: str, content: bytes | None, env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A secret's file that is not there, or is no text, is told by the setting's name, without path or content."""
    path = tmp_path / "marker"
    if content is not None:
        path.write_bytes(content)
    why = "No such file or directory" if content is None else "it is text in UTF-16: save it in UTF-8"
    lines = problems(env, **{name: "", f"{name}_FILE": str(path)})
    assert lines == (f"{name}_FILE names a file that cannot be read: {why}.",)


def test_settings_do_not_show_secrets(env: pytest.MonkeyPatch) -> None:
    """Settings can be printed."""
    shown = repr(load(env, **SECRETS))
    assert not [value for value in ("secret", "key-5678", "whsec", *RING.split(","), "ada:viewer") if value in shown]


@pytest.mark.parametrize(
    ("ledger", "broker"),
    [
        ("redis://h", "redis://h/1"),
        ("redis://:p@h:6380/3", "redis://:p@h:6380/4"),
        ("redis://h?db=4", "redis://h?db=5"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/1?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=1"),
        ("unix://user:p@/run/redis.sock", "unix://user:p@/run/redis.sock?db=1"),
        (
            "unix://user:p@/run/redis.sock?db=2&health_check_interval=3",
            "unix://user:p@/run/redis.sock?health_check_interval=3&db=3",
        ),
    ],
)
def test_the_broker_is_the_next_database(ledger: str, broker: str, env: pytest.MonkeyPatch) -> None:
    """Who names no broker gets the ledger's server and the database after the ledger's."""
    settings = load(env, ONBOARDING_REDIS_URL=ledger)
    assert (settings.ledger_url, settings.broker_url) == (ledger, broker)
    assert database(settings.broker_url) == database(ledger) + 1


@pytest.mark.parametrize(
    ("ledger", "broker", "same"),
    [
        ("redis://h", "redis://h/0", True),
        ("redis://h", "redis://h:6379/0", True),
        ("redis://h:6379/3", "rediss://:p@h/3", True),
        ("redis://", "redis://localhost", True),
        ("unix:///a.sock?db=1", "unix:///a.sock?db=2", False),
        ("redis://h", "redis://h:6380/0", False),
        ("redis://:p@h/2", "redis://h/2", True),
        ("redis://h/2", "redis://h?db=2", True),
        ("unix:///a.sock", "unix:///a.sock", True),
        ("unix:///a.sock", "unix:///b.sock", False),
        ("redis://h/0", "redis://h/1", False),
        ("redis://h/0", "redis://other/0", False),
    ],
)
def test_the_ledgers_database_is_no_broker(ledger: str, broker: str, same: bool, env: pytest.MonkeyPatch) -> None:
    """The queue's own upkeep would wade through the ledger: one database for both is refused."""
    if not same:
        assert load(env, ONBOARDING_REDIS_URL=ledger, ONBOARDING_BROKER_URL=broker).broker_url == broker
        return
    (line,) = problems(env, ONBOARDING_REDIS_URL=ledger, ONBOARDING_BROKER_URL=broker)
    assert line.startswith("ONBOARDING_BROKER_URL is the ledger's: it should be a Redis address")


@pytest.mark.parametrize(
    "extreme", [{}, {"IRON_TIMEOUT_S": "19", "ONBOARDING_SETTLE_S": "82.1"}, {"ONBOARDING_SETTLE_S": "3600"}]
)
def test_time_budgets_nest(extreme: dict[str, str], env: pytest.MonkeyPatch) -> None:
    """HTTP timeout < step limit < settle time < 80 % of the retention; twice the renewal interval < lease.

    A call to Redis that the client repeats < what clocks may differ < what the settle time has beyond the step limit.
    """
    settings = load(env, **extreme)
    policy = settings.policy
    assert 3 * settings.IRON_TIMEOUT_S < STEP_LIMIT_S < policy.settle_s
    assert policy.settle_s < policy.retention_used * policy.retention_s <= 0.8 * policy.retention_s
    assert 4 * REDIS_TIMEOUT_S < CLOCK_TOLERANCE_MS / 1000 < policy.settle_s - STEP_LIMIT_S
    assert 2 * RENEW_EVERY_S < LEASE_MS / 1000 - LEASE_MARGIN_S
