"""The files of operation: Compose file, image and Redis settings say what the design promises, and fit the program."""

from __future__ import annotations

import importlib.resources
import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema.validators
import pytest
import yaml
from typer.testing import CliRunner

from ops.cli import app

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name in SERVICES if name != "redis")
DOCKERFILE = (ROOT / "ops/deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def commands() -> list[list[str]]:
    """Every `onboarding` command the Compose file or the image runs, health checks included."""
    lists = [service["command"] for service in SERVICES.values()]
    lists += [service["healthcheck"]["test"][1:] for service in SERVICES.values()]
    lists += [json.loads(words) for words in re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)]
    return [words for words in lists if words[0] == "onboarding"]


def redis_settings() -> dict[str, list[str]]:
    """Read redis.conf: each directive with the values of its lines."""
    settings: dict[str, list[str]] = {}
    for line in (ROOT / "ops/deploy/redis.conf").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            settings.setdefault(name, []).append(value)
    return settings


def test_the_compose_file_follows_the_compose_specification() -> None:
    """The file is valid by the specification's own JSON schema."""
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(COMPOSE)] == []


def test_it_has_the_parts_of_the_system() -> None:
    """Redis, workers and gateway start by default; the sandbox only in the profile dev."""
    assert set(SERVICES) == {"redis", "worker", "gateway", "sandbox"}
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "sandbox": ["dev"]
    }


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """No service follows a moving tag."""
    assert re.fullmatch(r"[a-z-]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_confined_and_come_back(name: str) -> None:
    """Each service restarts, is watched, has time to stop, writes nowhere but its volume, and has no privileges."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_only_this_machine_reaches_the_ports(name: str) -> None:
    """Published ports are on 127.0.0.1, and Redis publishes none and has a network of its own."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert SERVICES["redis"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


@pytest.mark.parametrize("name", OURS)
def test_secrets_are_files(name: str) -> None:
    """No secret stands in the environment: a variable names a file, and the service is given that file."""
    environment = SERVICES[name].get("environment", {})
    secret = {"IRON_API_KEY", "IRON_WEBHOOK_SECRET", "ONBOARDING_ENCRYPTION_KEYS", "ONBOARDING_API_TOKENS"}
    assert not secret & set(environment)
    files = {value for variable, value in environment.items() if variable.endswith("_FILE")}
    assert files == {f"/run/secrets/{source}" for source in SERVICES[name].get("secrets", [])}
    assert set(SERVICES[name].get("secrets", [])) <= set(COMPOSE["secrets"])
    assert all(set(source) == {"file"} for source in COMPOSE["secrets"].values())


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_the_queue_has_the_next_logical_database(name: str) -> None:
    """Ledger and queue share the server and nothing else."""
    environment = SERVICES[name]["environment"]
    assert environment["ONBOARDING_REDIS_URL"] == "redis://redis:6379/0"
    assert environment["ONBOARDING_BROKER_URL"] == "redis://redis:6379/1"
    assert SERVICES[name]["depends_on"]["redis"]["condition"] == "service_healthy"


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_exist(words: list[str]) -> None:
    """Each command and each of its options is known to the command line."""
    # With --help after them, the words are parsed and nothing is started.
    answer = CliRunner().invoke(app, [*words[1:], "--help"])
    assert answer.exit_code == 0, answer.output


def test_redis_keeps_what_it_is_given() -> None:
    """The append-only file is on and synced each second, and no record is ever dropped to make room."""
    settings = redis_settings()
    assert settings["appendonly"] == ["yes"]
    assert settings["appendfsync"] == ["everysec"]
    assert settings["maxmemory-policy"] == ["noeviction"]
    path = SERVICES["redis"]["command"][1]
    assert f"./ops/deploy/redis.conf:{path}:ro" in SERVICES["redis"]["volumes"]
    assert "ledger:/data" in SERVICES["redis"]["volumes"]


def test_each_redis_setting_has_its_reason() -> None:
    """A comment stands above every directive, or above the one of the same name before it."""
    before = ""
    for line in (ROOT / "ops/deploy/redis.conf").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert (
                before.startswith("#") or before.split()[:1] == line.split()[:1] or line.startswith("protected-mode")
            ), line
        before = line


def test_the_image_is_built_from_files_that_exist() -> None:
    """Every COPY names something that is there and that .dockerignore lets through."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    sources = [
        word for words in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in words.split()
    ]
    assert set(sources) == {"ops/locks/requirements.lock", "pyproject.toml", "README.md", "pipelines", "workers", "ops"}
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in kept)


def test_the_image_holds_the_lock_and_no_root() -> None:
    """Dependencies come from the lock, with hashes; the last stage has no installer and its process is not root."""
    assert "pip install --require-hashes -r requirements.lock" in DOCKERFILE
    assert all("--no-deps" in line or "--require-hashes" in line for line in re.findall(r"pip install .*", DOCKERFILE))
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "pip install" not in last
    assert re.search(r"pip uninstall .*\bpip\b", last)
    assert re.search(r"^USER [1-9]\d*$", last, re.MULTILINE)
    assert all(
        re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", image)
        for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    )
