"""Where an endpoint's name leads to, and whether we may go there: nothing inside our own network (SSRF).

An address is looked up and judged at each delivery, and the connection goes to the very address that was judged: a
name that leads elsewhere a moment later (DNS rebinding) changes nothing. Sources: the IANA registries of
special-purpose addresses, which Python's ipaddress follows; OWASP's page on server-side request forgery.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

Address = IPv4Address | IPv6Address
#: Looks a name up: host and port to addresses. Raises OSError.
Resolve = Callable[[str, int], Sequence[str]]

#: Longest address of an endpoint, in characters.
URL_LENGTH = 2_000
HIGHEST_PORT = 65_535

#: Never allowed, not even where private networks are: the metadata services of clouds, which hand out credentials.
_METADATA = tuple(
    ip_network(block)
    for block in (
        *("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "168.63.129.16/32", "100.100.100.200/32"),
        "192.0.0.192/32",
    )
)
#: The only IPv6 addresses that lead anywhere in the Internet, and the parts of them that do not or lead back to IPv4.
_GLOBAL_V6 = ip_network("2000::/3")
_SPECIAL_V6 = tuple(ip_network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
#: IPv4 blocks that lead to no host in the Internet, and that some release of Python counts as global: protocol
#: assignments, and the former 6to4 relays.
_SPECIAL_V4 = (ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24"))
#: IPv6 networks whose last 32 bits are an IPv4 address: it is judged instead.
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefusedError(Exception):
    """An endpoint's address is not one that we deliver to; the text says why and how to fix it."""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint's URL, and the address that its name leads to now and that was judged."""

    url: httpx.URL
    address: str

    def request(self, body: bytes, headers: dict[str, str], timeout: httpx.Timeout) -> httpx.Request:
        """Make the request to the judged address, under the endpoint's own name for TLS and for its server."""
        return httpx.Request(
            "POST",
            self.url.copy_with(host=self.address),
            headers={"Host": self.url.netloc.decode(), **headers},
            content=body,
            extensions={"sni_hostname": self.url.host, "timeout": timeout.as_dict()},
        )


def read_url(text: str, *, private: bool) -> httpx.URL:
    """Read an endpoint's URL. `private`: http and private networks are allowed. Raises AddressRefusedError."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL()
    plain = len(text) <= URL_LENGTH and text.isprintable() and " " not in text and (url.port or 1) <= HIGHEST_PORT
    if not plain or url.scheme not in ("https", "http") or not url.host:
        raise AddressRefusedError("The endpoint's address is not one: it should be like https://example.com/events.")
    if url.scheme != "https" and not private:
        raise AddressRefusedError("The endpoint's address must begin with https://, so that nobody can listen in.")
    if url.userinfo or url.fragment:
        raise AddressRefusedError("The endpoint's address must have no user, password or fragment: leave them out.")
    return url


def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def target(url: httpx.URL, *, private: bool, resolve: Resolve = look_up) -> Target:
    """Look up where a URL leads to, and judge it.

    Raises AddressRefusedError when any of its addresses is not allowed, and OSError when the name leads nowhere.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    addresses = resolve(url.host, port)
    if not addresses:
        raise OSError(f"no address for port {port}")
    for address in addresses:
        if not allowed(address, private=private):
            raise AddressRefusedError(
                "The endpoint's name leads into a private or reserved network, where nothing is delivered to: use one"
                " that leads to a public address, or set ONBOARDING_PRIVATE_ENDPOINTS=true where that is intended."
            )
    return Target(url, addresses[0].partition("%")[0])


def allowed(text: str, *, private: bool) -> bool:
    """Return whether we may connect to an address."""
    address = _embedded(ip_address(text.partition("%")[0]))
    if address.is_multicast or address.is_unspecified or any(address in block for block in _METADATA):
        return False
    return private or _is_public(address)


def is_public(text: str) -> bool:
    """Return whether an address is one of the Internet, and none of a network's own."""
    return _is_public(_embedded(ip_address(text.partition("%")[0])))


def is_inside(host: str) -> bool:
    """Return whether a host is an address of this machine or of a private network; a name is neither."""
    try:
        return not is_public(host)
    except ValueError:
        return False


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in block for block in _SPECIAL_V4)
    return address in _GLOBAL_V6 and address.is_global and not any(address in block for block in _SPECIAL_V6)


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
