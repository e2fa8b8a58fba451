"""Whether a call goes out through a proxy: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl reads them.

The proxy is asked for a tunnel (CONNECT), so it learns where a call goes and nothing of it. A call to this very machine
never leaves through it. Decision 0019.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from pipelines.iron.proxy import Proxy
from workers.forms import FormError, check_host, judged, plain, split

#: The variables for each scheme, the first that is set counts. Small letters come first, as everywhere.
VARIABLES = {
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    "http": ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
}
NOT_FOR = ("no_proxy", "NO_PROXY")
DEFAULT_PORT = 80
#: What a proxy's address looks like.
SHAPE = "an address such as http://proxy.example.com:3128"


class ProxyError(OSError):
    """A proxy is set that cannot be used."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """What the environment says of proxies. Call it to choose one."""

    #: Variable and value by scheme.
    set: Mapping[str, tuple[str, str]]
    #: Names, networks and addresses that are called without one.
    around: tuple[str, ...]

    @classmethod
    def of_environment(cls) -> Proxies:
        """Read the environment now."""
        found = {scheme: _first(names) for scheme, names in VARIABLES.items()}
        around = plain((_first(NOT_FOR) or ("", ""))[1]).lower()
        return cls(
            {scheme: one for scheme, one in found.items() if one},
            tuple(part for part in (plain(part) for part in around.replace(" ", ",").split(",")) if part),
        )

    def __call__(self, scheme: str, name: str, host: str, port: int) -> Proxy | None:
        """Choose the proxy for a call, as `pipelines.iron.proxy.Choose` says. Raises ProxyError."""
        if scheme not in self.set or _is_here(host) or _is_here(name):
            return None
        if any(_fits(pattern, one, port) for pattern in self.around for one in {name, host}):
            return None
        try:
            return proxy_of(self.set[scheme][1])
        except FormError as error:
            raise ProxyError(str(error)) from None

    def variable(self, scheme: str, host: str, port: int) -> str | None:
        """Name the variable by which a call would go through a proxy; None: it would not."""
        try:
            used = self(scheme, host, host, port) is not None
        except ProxyError:
            used = True
        return self.set[scheme][0] if used else None

    def problems(self, scheme: str, host: str, port: int) -> Iterator[str]:
        """Return why a call cannot go through the proxy that is set for it."""
        try:
            self(scheme, host, host, port)
        except ProxyError as error:
            yield f"{self.set[scheme][0]} cannot be used: {error}; it should be {SHAPE}. NO_PROXY makes exceptions."


def proxy_of(text: str) -> Proxy:
    """Read the address of a proxy, with or without http:// before it. Raises FormError, without the address."""
    text = judged(plain(text))
    scheme, mark, _ = text.partition("://")
    if mark and scheme.lower() != "http":
        raise FormError("it is no http:// proxy, and no other kind is supported")
    parts = split(text if mark else f"http://{text}", ("http",))
    check_host(parts)
    user = ":".join(unquote(part or "") for part in (parts.username, parts.password)) if "@" in parts.netloc else ""
    return Proxy(parts.hostname or "", parts.port or DEFAULT_PORT, user)


def way(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a web address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _first(names: tuple[str, ...]) -> tuple[str, str] | None:
    return next(((name, os.environ[name]) for name in names if plain(os.environ.get(name, ""))), None)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _fits(pattern: str, host: str, port: int) -> bool:
    """Return whether a part of NO_PROXY fits: `*`, a name with all below it, an address, a network; or with a port."""
    if pattern == "*":
        return True
    host = host.lower().strip("[]").rstrip(".")
    try:
        return ip_address(host) in ip_network(pattern.strip("[]"), strict=False)
    except ValueError:
        pass
    name, _, number = pattern.rpartition(":") if pattern.count(":") == 1 else (pattern, "", "")
    if number and number != str(port):
        return False
    name = name.removeprefix("*").lstrip(".").rstrip(".").strip("[]")
    return bool(name) and (host == name or host.endswith(f".{name}"))
