"""Podman, in a folder of its own, with stand-ins for the images that the Compose file and the Dockerfile begin with.

No registry is asked. The stand-ins are made of Debian's packages under the official images' names, so that both files
run as they are: what differs is who packed the server and Python, not how they are started. Nothing of the machine's
own containers, networks or settings is touched: all of it lies below HOME.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
#: Base images are kept here from run to run: they take minutes, and some GB since each layer is a whole copy.
HOME = Path(os.environ.get("ONBOARDING_CONTAINERS", "/var/tmp/onboarding-containers"))
#: What has to be installed: on Debian by packages of the same names, and netavark, aardvark-dns, catatonit.
NEEDED = ("podman", "buildah", "runc", "debootstrap", "iptables")
#: The Debian that the stand-ins are made of: it has Python 3.13 and Redis 8.
SUITE = "trixie"
DOCKERFILE = ROOT / "ops/deploy/Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))

ENGINE = """
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
helper_binaries_dir = ["/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman"]
[network]
network_backend = "netavark"
network_config_dir = "{home}/networks"
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
"""
STORAGE = """
[storage]
driver = "vfs"
graphroot = "{home}/storage"
runroot = "{home}/run"
"""
#: Drops to the server's user when it is root, as the official image's entry point does.
ENTRY = """#!/bin/sh
[ "$(id -u)" != 0 ] || exec setpriv --reuid redis --regid redis --clear-groups "$0" "$@"
exec "$@"
"""
#: What the engine at hand does not know of what docker compose does: the logging driver.
MORE = {"services": {name: {"logging": {"driver": "k8s-file", "options": {}}} for name in COMPOSE["services"]}}


def missing() -> str | None:
    """Say why containers cannot be run here; None: they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "containers are made from Debian's packages, which takes root on Linux"
    absent = [name for name in NEEDED if shutil.which(name, path=_path()) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def environment() -> dict[str, str]:
    """Give what makes podman, buildah and podman-compose use our folder."""
    HOME.mkdir(parents=True, exist_ok=True)
    for name, text in (("containers.conf", ENGINE), ("storage.conf", STORAGE)):
        (HOME / name).write_text(text.format(home=HOME), encoding="utf-8")
    settings = {"CONTAINERS_CONF": HOME / "containers.conf", "CONTAINERS_STORAGE_CONF": HOME / "storage.conf"}
    return {**os.environ, "PATH": _path(), "LC_ALL": "C.UTF-8", **{name: str(path) for name, path in settings.items()}}


def run(*words: object, check: bool = True, within_s: float = 900, **more: Any) -> str:
    """Run a program of the engine; gives what it wrote to standard output."""
    done = subprocess.run(
        [str(word) for word in words],
        env=environment() | more.pop("env", {}), capture_output=True, text=True, timeout=within_s, check=False, **more,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def podman(*words: object, check: bool = True, **more: Any) -> str:
    """Run podman."""
    return run("podman", *words, check=check, **more).strip()


def exists(image: str) -> bool:
    """Say whether an image is there."""
    return bool(podman("images", "--quiet", image))


def bases() -> dict[str, str]:
    """Give the images that everything begins with, as the files name them: Python's and the server's."""
    [python] = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    names = {"python": python, "redis": COMPOSE["services"]["redis"]["image"]}
    return {part: f"docker.io/library/{name}" for part, name in names.items()}


def prepare() -> None:
    """Make the stand-ins that are not there yet."""
    names = bases()
    if not exists(names["python"]):
        _imported(_python(), names["python"], ["CMD python3"])
    if not exists(names["redis"]):
        changes = ['ENTRYPOINT ["/usr/local/bin/entry"]', "WORKDIR /data", "VOLUME /data", 'CMD ["redis-server"]']
        _imported(_server(), names["redis"], changes)


def _rooted(name: str, packages: str) -> Path:
    """Bootstrap a Debian with some packages, without what an image does not need."""
    folder = HOME / name
    shutil.rmtree(folder, ignore_errors=True)
    run("debootstrap", "--variant=minbase", f"--include={packages}", SUITE, folder)
    for useless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(folder / useless, ignore_errors=True)
    return folder


def _python() -> Path:
    """Python where the official image has it, and this machine's certificates for reaching the package index."""
    folder = _rooted("python", "ca-certificates,python3,python3-venv")
    run("chroot", folder, "python3", "-m", "venv", "/opt/python")
    for name in ("python", "python3", "pip"):
        (folder / "usr/local/bin" / name).symlink_to(f"/opt/python/bin/{name}")
    certificates = Path("etc/ssl/certs/ca-certificates.crt")
    shutil.copy(Path("/") / certificates, folder / certificates)
    (folder / "etc/pip.conf").write_text(f"[global]\ncert = /{certificates}\n", encoding="utf-8")
    return folder


def _server() -> Path:
    """The server, whose user is called redis."""
    folder = _rooted("redis", "redis-server")
    entry = folder / "usr/local/bin/entry"
    entry.write_text(textwrap.dedent(ENTRY), encoding="utf-8")
    entry.chmod(0o755)
    (folder / "data").mkdir()
    run("chroot", folder, "chown", "redis:redis", "/data")
    return folder


def _imported(folder: Path, image: str, changes: list[str]) -> None:
    """Make an image of a folder."""
    words = [word for change in changes for word in ("--change", change)]
    archive = HOME / f"{folder.name}.tar"
    run("tar", "-C", folder, "-cf", archive, ".")
    podman("import", *words, archive, image)
    archive.unlink()
    shutil.rmtree(folder)


def build(image: str) -> None:
    """Build our image from the Dockerfile as it is."""
    how = ("--isolation", "chroot", "--network", "host", "--layers", "--pull-never")
    run("buildah", "bud", *how, "-f", DOCKERFILE, "-t", image, ".", cwd=ROOT)


def size_mb(image: str) -> float:
    """Give an image's size in MB."""
    return int(podman("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def label(image: str, text: str) -> None:
    """Make another image of an image, under the same name."""
    container = run("buildah", "from", "--pull-never", image).strip()
    run("buildah", "config", "--label", text, container)
    run("buildah", "commit", "--rm", container, image)
