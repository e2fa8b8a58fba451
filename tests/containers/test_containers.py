"""The image and the Compose file, really run: `make test-containers`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.fleet import ONCE
from tests.containers import engine
from tests.containers.engine import COMPOSE, podman
from tests.containers.stack import USER, Stack, secrets_in, until

pytestmark = pytest.mark.containers

SERVICES = sorted(COMPOSE["services"])
OURS = [name for name in SERVICES if name != "redis"]
IMAGE = COMPOSE["services"]["worker"]["image"]
#: MB that our own layers may add to the base: the locked dependencies take nearly all of it.
MOST_MB = 130


@pytest.fixture(scope="session")
def image() -> str:
    """Build our image on the stand-ins."""
    if why := engine.missing():
        pytest.skip(why)
    engine.prepare()
    engine.build(IMAGE)
    return IMAGE


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secret files."""
    return secrets_in(tmp_path_factory.mktemp("secrets") / "files")


@pytest.fixture(scope="session")
def stack(image: str, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services, healthy."""
    with Stack(tmp_path_factory.mktemp("stack"), secrets) as running:
        running.all_healthy()
        yield running


def test_the_image_is_small(image: str) -> None:
    """It adds the program and its dependencies to the base, and no tool for building or installing."""
    ours, base = engine.size_mb(image), engine.size_mb(engine.bases()["python"])
    print(f"the image has {ours:.0f} MB, {base:.0f} MB of them the base")
    assert ours - base < MOST_MB
    assert podman("run", "--rm", image, "sh", "-c", "ls /app/bin/pip 2>/dev/null || echo none") == "none"


@pytest.mark.parametrize("service", OURS)
def test_it_is_confined(service: str, stack: Stack) -> None:
    """No root, no capability, no way to get any, nothing to write to but /tmp and the volume."""
    assert stack.inside(service, "id", "-u") == str(USER)
    status = stack.inside(service, "cat", "/proc/1/status")
    rights = dict(re.findall(r"^(Cap\w+|NoNewPrivs):\s+(\w+)$", status, re.MULTILINE))
    assert {int(rights[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert rights["NoNewPrivs"] == "1"
    for place in ("/app/x", "/x", "/etc/x"):
        assert stack.inside(service, "sh", "-c", f"touch {place} 2>/dev/null || echo no") == "no"
    assert stack.inside(service, "sh", "-c", "touch /tmp/x && echo yes") == "yes"


def test_redis_is_reached_by_its_own_alone(stack: Stack) -> None:
    """Its network leads nowhere else: the sandbox does not even know its name, and nothing is published."""
    look = "import socket; socket.create_connection(('redis', 6379), 3)"
    assert stack.inside("gateway", "python", "-c", look + "; print('there')") == "there"
    assert stack.inside("sandbox", "python", "-c", f"try:\n  {look}\nexcept OSError: print('away')") == "away"
    assert not stack.inspect("redis")["HostConfig"]["PortBindings"]


def test_no_secret_is_in_an_environment(stack: Stack, secrets: Path) -> None:
    """The engine knows the secrets' files and not what is in them; nor do the logs."""
    texts = [file.read_text(encoding="utf-8").strip() for file in secrets.iterdir()]
    for service in OURS:
        told = f"{stack.inspect(service)}{stack.log(service)}{stack.inside(service, 'env')}"
        assert not [text for text in texts if text in told]


def test_a_customer_from_a_job_to_active(stack: Stack) -> None:
    """Over HTTP, through the sandbox, with its webhooks: they come in, and are believed."""
    stack.submit("c-1")
    stack.active("c-1")
    assert stack.effects("c-1") == {"c-1": ONCE}
    until(lambda: not stack.sandbox("webhooks")["waiting"], "webhooks are not taken")
    hooks = re.findall(r'"route": "[^"]*webhooks/iron".*', stack.log("gateway", lines=0))
    assert hooks
    assert all('"status": 20' in line for line in hooks)


def test_the_console_is_where_the_log_says(stack: Stack) -> None:
    """The gateway's first line names the console's address, and there it is."""
    address = re.search(r'"console": "(http[^"]+)"', stack.log("gateway", lines=0))
    assert address
    assert stack.http.get(address[1], follow_redirects=True).status_code == 200


@pytest.mark.parametrize("service", ["worker", "gateway", "redis"])
def test_killed_with_work_in_hand(service: str, stack: Stack) -> None:
    """The engine starts it again, it becomes healthy, and everybody ends with each effect once."""
    keys = [f"kill-{service}-{number}" for number in range(8)]
    stack.submit(*keys)
    stack.kill(service)
    stack.all_healthy()
    stack.active(*keys)
    assert stack.effects(*keys) == dict.fromkeys(keys, ONCE)


@pytest.mark.parametrize("service", SERVICES)
def test_restarted_with_work_in_hand(service: str, stack: Stack) -> None:
    """Each service ends in order within its time, and what it kept is there again: the sandbox's state, too."""
    keys = [f"restart-{service}-{number}" for number in range(4)]
    stack.submit(*keys)
    stack.compose("restart", service)
    stack.all_healthy()
    stack.active(*keys)
    assert stack.effects(*keys) == dict.fromkeys(keys, ONCE)


def test_upgraded_with_work_in_hand(stack: Stack) -> None:
    """Another image in place of ours: the containers are new, and what was begun is ended by the new ones."""
    keys = [f"upgrade-{number}" for number in range(8)]
    before = {service: stack.inspect(service)["Image"] for service in ("worker", "gateway")}
    stack.submit(*keys)
    engine.label(IMAGE, "upgraded=yes")
    stack.compose("up", "--detach", "--no-build", "--force-recreate", "--no-deps", "worker", "gateway")
    stack.all_healthy()
    stack.active(*keys)
    assert stack.effects(*keys) == dict.fromkeys(keys, ONCE)
    assert all(stack.inspect(service)["Image"] != image for service, image in before.items())


def test_a_secret_that_nobody_may_read_is_told(stack: Stack, secrets: Path) -> None:
    """A file of root's alone: the gateway does not start, and says which setting's file cannot be read."""
    file = secrets / "api_tokens"
    os.chown(file, 0, 0)
    try:
        stack.compose("restart", "gateway")
        reason = "ONBOARDING_API_TOKENS_FILE names a file that cannot be read"
        until(lambda: reason in stack.log("gateway"), "the reason")
        assert not stack.healthy("gateway")
    finally:
        os.chown(file, USER, USER)
    until(lambda: stack.healthy("gateway"), "the gateway is not back")
