"""Which addresses an endpoint may have: everything inside our own network is refused, in every spelling."""

from __future__ import annotations

import socket
from collections.abc import Callable

import httpx
import pytest

from workers.addresses import URL_LENGTH, AddressRefusedError, allowed, look_up, read_url, target

PUBLIC = [
    *(
        "93.184.215.14",
        "8.8.8.8",
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.167.0.1",
    ),
    "192.167.0.1",
    *("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450:4001:82b::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
]
#: What is inside a network, or nowhere. RFC 6890 and the registries that follow it.
PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    *("100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("240.0.0.1", "255.255.255.255", "192.88.99.1", "192.0.0.170", "192.0.0.192", "0.1.2.3"),
    *("::1", "fc00::1", "fd12:3456::1", "fec0::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "3fff::1", "100::1"),
    *(
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
    ),
    *("64:ff9b:1::1", "::127.0.0.1", "5f00::1", "4000::1"),
]
#: What hands out credentials, or is no host at all: refused even where private networks are allowed.
NEVER = [
    *(
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
    ),
    *(
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "ff0e::1",
    ),
]


def to(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda host, port: list(addresses)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """An address in the Internet is one that we deliver to."""
    assert allowed(address, private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    """Private, loopback, shared, documentation and reserved addresses are refused, also inside an IPv6 address."""
    assert not allowed(address, private=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.0.1", "100.64.0.1", "::1", "fd12:3456::1"])
def test_private_addresses_may_be_allowed(address: str) -> None:
    """A setting allows endpoints in one's own network."""
    assert allowed(address, private=True)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", NEVER)
def test_metadata_services_are_never_allowed(address: str, private: bool) -> None:
    """No setting lets anybody reach the services that hand out a cloud's credentials."""
    assert not allowed(address, private=private)


@pytest.mark.parametrize(
    "spelling", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "[::1]", "[::ffff:7f00:1]", "localhost"]
)
def test_spellings_of_this_machine(spelling: str) -> None:
    """However this machine is spelled, it is the address that it leads to which is judged."""
    try:
        looked_up = look_up(spelling.strip("[]"), 443)
    except OSError:
        looked_up = []  # this system does not know the spelling: then it leads nowhere
    with pytest.raises((AddressRefusedError, OSError)):
        target(
            read_url(f"https://{spelling}/events", private=False), private=False, resolve=lambda host, port: looked_up
        )


def test_one_bad_address_is_enough() -> None:
    """A name that leads to a public and to a private address is refused: which one is taken would be chance."""
    url = read_url("https://example.com/events", private=False)
    with pytest.raises(AddressRefusedError):
        target(url, private=False, resolve=to("93.184.215.14", "10.0.0.1"))


def test_the_connection_goes_to_the_judged_address() -> None:
    """The request names the judged address, and the endpoint's own name stands where TLS and its server look."""
    url = read_url("https://example.com:8443/events?token=t", private=False)
    request = target(url, private=False, resolve=to("93.184.215.14")).request(b"{}", {}, httpx.Timeout(1))
    assert str(request.url) == "https://93.184.215.14:8443/events?token=t"
    assert request.headers["Host"] == "example.com:8443"
    assert request.extensions["sni_hostname"] == "example.com"


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com", "//example.com", "ftp://example.com", "http://example.com", "https://", "https:///events"),
        *("https://user:password@example.com/", "https://example.com/#part", "file:///etc/passwd", "https://a b/"),
        *(
            "https://example.com:99999/",
            "https://exa\nmple.com/",
            "https://" + "a" * URL_LENGTH,
            "gopher://example.com",
        ),
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    """Only a plain https address is one, and the refusal says what it should look like."""
    with pytest.raises(AddressRefusedError, match=r"https://|leave them out"):
        read_url(text, private=False)


def test_http_where_it_is_allowed() -> None:
    """In one's own network http will do."""
    assert read_url("http://crm.internal:8080/events", private=True).port == 8080


def test_the_systems_own_answers() -> None:
    """The look-up gives each address once."""
    assert set(look_up("localhost", 443)) <= {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        look_up("no-such-host.invalid", 443)
