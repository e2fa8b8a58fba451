"""What production refuses: demo values, secrets that are none, and addresses where others can listen in."""

from __future__ import annotations

import pytest

from ops.cli import main
from tests.unit.test_settings import GOOD, RING, env, load, problems  # noqa: F401 -- a fixture
from workers.production import DEMO_API_KEY, DEMO_WEBHOOK_SECRET, is_local, is_private

Env = pytest.MonkeyPatch
#: A secret that nobody knows.
SECRET = "whsec_bm9ib2R5LWtub3dzLXRoaXMtc2VjcmV0"

REFUSED = [
    ("IRON_BASE_URL", "http://api.iron.xyz/api"),
    ("IRON_BASE_URL", "http://10.0.0.7/api"),  # the key and passports would still be read on the way
    ("IRON_BASE_URL", "http://134744072/api"),  # the system takes it for 8.8.8.8
    ("IRON_BASE_URL", "http://iron.internal/api"),
    ("IRON_API_KEY", DEMO_API_KEY),
    ("IRON_WEBHOOK_SECRET", DEMO_WEBHOOK_SECRET),
    ("IRON_WEBHOOK_SECRET", DEMO_WEBHOOK_SECRET.removeprefix("whsec_") + "="),
    ("IRON_WEBHOOK_SECRET", f"{SECRET},{DEMO_WEBHOOK_SECRET}"),
    ("IRON_WEBHOOK_SECRET", "Z"),
    ("IRON_WEBHOOK_SECRET", "whsec_c2hvcnQtYnV0LWxvbmc="),  # 14 bytes in 26 characters
    ("IRON_WEBHOOK_SECRET", f"{SECRET},fifteen-letters"),
    ("ONBOARDING_ENCRYPTION_KEYS", "A" * 43 + "="),
    ("ONBOARDING_ENCRYPTION_KEYS", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="),
    ("ONBOARDING_ENCRYPTION_KEYS", f"{RING},{'A' * 43}="),
    ("ONBOARDING_LOOKUP_KEYS", "A" * 43 + "="),
    ("ONBOARDING_LINK_KEYS", "A" * 43 + "="),
    ("ONBOARDING_PUBLIC_URL", "http://onboarding.example.com"),
    ("ONBOARDING_PUBLIC_URL", "http://192.168.0.1:8700"),
    ("ONBOARDING_REDIS_URL", "redis://:secret@cache.example.com:6379/0"),
    ("ONBOARDING_REDIS_URL", "redis://:secret@8.8.8.8/0"),
    ("ONBOARDING_REDIS_URL", "redis://:secret@[::ffff:8.8.8.8]/0"),
    ("ONBOARDING_BROKER_URL", "redis://:secret@cache.example.com:6379/1"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
@pytest.mark.parametrize("need", ["worker", "gateway"])
def test_a_value_that_protects_nothing_is_refused(need: str, name: str, value: str, env: Env) -> None:  # noqa: F811
    """Neither worker nor gateway starts; one line names the setting, and not the value."""
    lines = [line for line in problems(env, need, **{name: value}) if " is refused: " in line]
    assert [line.partition(" ")[0] for line in lines] == [name] * len(lines) != []
    assert not [line for line in lines if value in line]


@pytest.mark.parametrize(
    "settings",
    [
        {"IRON_BASE_URL": "http://127.0.0.1:8701/api", "IRON_API_KEY": DEMO_API_KEY},
        {"IRON_BASE_URL": "http://localhost:8701/api", "IRON_WEBHOOK_SECRET": DEMO_WEBHOOK_SECRET},
        {"IRON_BASE_URL": "http://[::1]:8701/api", "ONBOARDING_PUBLIC_URL": "http://127.0.0.1:8700"},
        {"IRON_BASE_URL": "http://sandbox:8701/api", "IRON_API_KEY": DEMO_API_KEY},
        {"ONBOARDING_REDIS_URL": "redis://redis:6379/0", "ONBOARDING_BROKER_URL": "redis://redis:6379/1"},
        {"ONBOARDING_REDIS_URL": "redis://:secret@10.1.2.3/0"},
        {"ONBOARDING_REDIS_URL": "redis://:secret@redis.onboarding.svc.cluster.local/0"},
        {"ONBOARDING_REDIS_URL": "rediss://:secret@cache.example.com:6379/0"},
        {"ONBOARDING_REDIS_URL": "unix:///run/redis.sock"},
        {"ONBOARDING_REDIS_URL": "redis://:secret@cache.example.com/0", "ONBOARDING_PRIVATE_REDIS": "true"},
        {"IRON_WEBHOOK_SECRET": SECRET},
        {"IRON_WEBHOOK_SECRET": "sixteen-letters!"},
    ],
)
def test_what_stays_here_is_taken(settings: dict[str, str], env: Env) -> None:  # noqa: F811
    """This machine, container networks, private networks and what somebody vouches for go on as they are."""
    assert load(env, "worker", **settings)


def test_the_sandbox_takes_the_demos_secret(env: Env) -> None:  # noqa: F811
    """It is no production, whatever else is set, and signs with what it is told to."""
    assert load(env, "sandbox", IRON_WEBHOOK_SECRET=DEMO_WEBHOOK_SECRET)


def test_all_refusals_are_told_at_once(env: Env) -> None:  # noqa: F811
    """Each has its line, beside what is missing."""
    lines = problems(
        env,
        IRON_BASE_URL="http://api.iron.xyz/api",
        IRON_WEBHOOK_SECRET="a",
        ONBOARDING_ENCRYPTION_KEYS="A" * 43 + "=",
        IRON_API_KEY="",
    )
    named = sorted(line.partition(" ")[0] for line in lines)
    assert named == ["IRON_API_KEY", "IRON_BASE_URL", "IRON_WEBHOOK_SECRET", "ONBOARDING_ENCRYPTION_KEYS"]


@pytest.mark.parametrize(
    ("host", "local", "private"),
    [
        *((host, True, True) for host in ("localhost", "LOCALHOST.", "127.0.0.1", "127.1", "::1", "redis", "sandbox")),
        *((host, False, True) for host in ("10.0.0.1", "192.168.1.1", "172.16.0.9", "fd00::1", "r.internal")),
        *((host, False, False) for host in ("8.8.8.8", "134744072", "0x08080808", "api.iron.xyz", "r.svc.example.com")),
        ("2606:4700::1111", False, False),
    ],
)
def test_where_a_host_is(host: str, local: bool, private: bool) -> None:
    """Names of one label and addresses of this machine are local; what the internet can lead to is not private."""
    assert (is_local(host), is_private(host)) == (local, private)


@pytest.mark.parametrize("part", ["worker", "gateway"])
def test_a_refusal_is_status_2(part: str, env: Env, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """No part starts, and the program says which setting it is about."""
    for name, value in {**GOOD, "IRON_API_KEY": DEMO_API_KEY}.items():
        env.setenv(name, value)
    assert main([part]) == 2
    assert "IRON_API_KEY is refused" in capsys.readouterr().err
