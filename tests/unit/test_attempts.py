"""Wrong API tokens: counted by network and over all, with lines that hold no address."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request
from structlog.testing import capture_logs

from ops.gateway.http.attempts import OF_A_NETWORK, OVER_ALL, Attempts, network_of
from ops.gateway.http.windows import NAMES, WINDOW_S
from workers.secrets.vault import new_key

RING = [new_key()]


def asked(peer: str | None, **headers: str) -> Request:
    """A request from an address."""
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "client": (peer, 1) if peer else None, "headers": given})


class Guesser:
    """Somebody who tries tokens, and a clock to turn."""

    def __init__(self, **options: Any) -> None:
        self.now = 1_000.0
        self.doors: list[str] = []
        self.attempts = Attempts(RING, self.doors.append, clock=lambda: self.now, **options)

    def tries(self, peer: str, times: int = 1) -> list[int | None]:
        """Try so many wrong tokens from an address."""
        return [self.attempts.refused(asked(peer), "api") for _ in range(times)]


def test_a_network_is_slowed_down_for_a_minute() -> None:
    """After twenty wrong tokens it is told how long to wait, until the window that began with the first is over."""
    guesser = Guesser()
    assert guesser.tries("203.0.113.9", OF_A_NETWORK) == [None] * OF_A_NETWORK
    guesser.now += 20
    assert guesser.tries("203.0.113.77", 2) == [40, 40]  # the same /24
    guesser.now += WINDOW_S - 20
    assert guesser.tries("203.0.113.9") == [None]


def test_other_networks_are_told_as_before() -> None:
    """What one network does counts for itself, as long as all together stay below the limit over all."""
    guesser = Guesser()
    guesser.tries("203.0.113.9", 50)
    assert guesser.tries("203.0.114.9") == guesser.tries("2001:db8:1:2::9") == [None]


def test_all_networks_together_have_a_limit() -> None:
    """Whoever spreads the guesses over many networks is slowed down, too."""
    guesser = Guesser()
    assert [guesser.tries(f"203.0.{n}.1") for n in range(OVER_ALL)] == [[None]] * OVER_ALL
    assert guesser.tries("198.51.100.1") == [60]
    guesser.now += WINDOW_S
    assert guesser.tries("198.51.100.1") == [None]


def test_each_has_a_line_until_it_is_limited() -> None:
    """Lines of one network have one keyed digest and no address; of those beyond the limit the first alone has one."""
    guesser = Guesser()
    with capture_logs() as lines:
        guesser.tries("203.0.113.9", 50)
        guesser.tries("198.51.100.7")
    first, other = lines[: OF_A_NETWORK + 1], lines[-1]
    assert len(lines) == OF_A_NETWORK + 2
    assert [line["outcome"] for line in first] == ["refused"] * OF_A_NETWORK + ["limited"]
    assert {(line["event"], line["where"]) for line in lines} == {("auth.refused", "api")}
    assert len({line["origin"] for line in first} | {other["origin"]}) == 2
    assert "203.0.113" not in str(lines)
    assert len(guesser.doors) == 51


def test_the_digest_is_keyed() -> None:
    """Another key ring gives other digests, so nobody finds the address by trying all."""
    with capture_logs() as lines:
        for ring in (RING, RING, [new_key()]):
            Attempts(ring).refused(asked("203.0.113.9"), "api")
    one, same, other = (line["origin"] for line in lines)
    assert one == same != other


def test_what_is_remembered_has_an_end() -> None:
    """However many networks come, the count of them takes no more memory than a limit."""
    guesser = Guesser()
    for n in range(NAMES + 10):
        guesser.attempts.refused(asked(f"10.{n >> 16}.{n >> 8 & 255}.1", x_forwarded_for=f"2001:db8:{n:x}::1"), "api")
    assert len(guesser.attempts._by_network) == NAMES


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        ("203.0.113.9", "", "203.0.113.0/24"),
        ("2a00:1450:4001:81b::200e", "", "2a00:1450:4001:81b::/64"),
        ("::ffff:203.0.113.9", "", "203.0.113.0/24"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.0/24"),  # a proxy of ours adds whom it saw
        ("10.0.0.2", "203.0.113.9", "203.0.113.0/24"),
        ("8.8.8.8", "203.0.113.9", "8.8.8.0/24"),  # a stranger may say what it likes
        ("127.0.0.1", "nonsense", "127.0.0.0/24"),
        (None, "", ""),
    ],
)
def test_where_a_request_comes_from(peer: str | None, forwarded: str, network: str) -> None:
    """A network is a /24 or a /64, and behind a proxy of ours the one that the proxy names."""
    assert network_of(asked(peer, x_forwarded_for=forwarded)) == network
