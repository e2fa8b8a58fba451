"""What production refuses: values that everybody knows or can guess, and secrets sent where others can read them.

Local is a loopback address, and a name of one label such as `sandbox` or `redis`: no public name has one label, so it
can only be a service of the same container network. A private network has more: addresses that are not routed in the
internet, and names below domains that the public DNS never has. No sentence here holds a value.
"""

from __future__ import annotations

import socket
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from workers.addresses import is_inside
from workers.secrets.signature import key_of

#: What `demo` and `dev` use: no secrets, since everybody can read them here. The sandbox takes any key of at least 8
#: characters, and remembers idempotency keys by it: the same in every run.
DEMO_API_KEY = "sandbox-demo-key"
#: What the sandbox signs its webhooks with; both ends are ours and on this machine.
DEMO_WEBHOOK_SECRET = "whsec_c2FuZGJveC1kZW1vLXNlY3JldA"  # noqa: S105 -- no secret, as the line above says
#: The shortest key that signs webhooks, in bytes after decoding: 128 bits.
SHORTEST_SECRET = 16
#: Domains that are never delegated in the public DNS. Sources: RFC 6761, 6762, 8375; ICANN's .internal; Kubernetes.
_PRIVATE_DOMAINS = (".localhost", ".local", ".internal", ".home.arpa", ".svc")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, so that what goes there goes over no network."""
    address = _address(host)
    return _name(host) == "localhost" if address is None else address.is_loopback


def is_local(host: str) -> bool:
    """Return whether a host is this machine or a service beside us in a container network."""
    return is_loopback(host) or ("." not in _name(host) and _address(host) is None)


def is_private(host: str) -> bool:
    """Return whether a host can only be in a private network."""
    address = _address(host)
    if address is not None:
        return is_inside(str(address))
    return is_local(host) or _name(host).endswith(_PRIVATE_DOMAINS)


def _name(host: str) -> str:
    return host.lower().removesuffix(".")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Read an address, also in the forms that only the system takes for one: 134744072 is 8.8.8.8."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def refused_addresses(
    iron: str | None, public: str | None, redis: Mapping[str, str], *, private_redis: bool
) -> Iterator[str]:
    """Return which addresses would send secrets or personal data in the clear, a sentence each.

    `redis` are those of its servers, by their settings; `private_redis`: somebody vouches for the network to them.
    """
    if iron and _is_plain(iron) and not is_local(_host(iron)):
        yield (
            "IRON_BASE_URL is refused: by plain http the API key and personal data would be sent in the clear. It"
            " should be an https:// address; http:// is for this machine and services of a container network."
        )
    if public and _is_plain(public) and not is_loopback(_host(public)):
        yield (
            "ONBOARDING_PUBLIC_URL is refused: customers' links are secrets, and by plain http others can read them."
            " It should be an https:// address; http:// is for this machine alone."
        )
    for name, url in redis.items():
        if urlsplit(url).scheme == "redis" and not private_redis and not is_private(_host(url)):
            yield (
                f"{name} is refused: redis:// sends its password and data in the clear, and its host is in no private"
                " network as far as its name tells. Use rediss://, or set ONBOARDING_PRIVATE_REDIS=true if the"
                " network to it is private."
            )


def refused_secrets(
    iron: str | None, api_key: str, webhook_secrets: Sequence[str], *, demo: bool = False
) -> Iterator[str]:
    """Return which secrets are none, a sentence each. Those of the demo are for a local Iron, or with `demo`."""
    known = " is refused: it is the value that `demo` and `dev` use with the sandbox, and everybody knows it. "
    demo = demo or (iron is not None and is_local(_host(iron)))
    if api_key == DEMO_API_KEY and not demo:
        yield f"IRON_API_KEY{known}It should be the API key from Iron's dashboard."
    if key_of(DEMO_WEBHOOK_SECRET) in map(key_of, webhook_secrets) and not demo:
        yield f"IRON_WEBHOOK_SECRET{known}It should be the secret from Iron's dashboard."
    if any(len(key_of(secret) or secret.encode()) < SHORTEST_SECRET for secret in webhook_secrets):
        yield (
            f"IRON_WEBHOOK_SECRET is refused: it has fewer than {SHORTEST_SECRET} bytes, so others could guess it and"
            " forge webhooks. Copy the whole secret again from Iron's dashboard."
        )


def refused_rings(rings: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Return which rings, by their settings, hold a key that is none, a sentence each."""
    for name, ring in rings.items():
        if any(len(set(urlsafe_b64decode(key))) == 1 for key in ring):
            yield (
                f"{name} is refused: one of its keys is the same byte over and over, so it protects nothing. It should"
                " be a key as `onboarding keys new` prints it."
            )


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _host(url: str) -> str:
    return urlsplit(url).hostname or "localhost"  # redis:// without a host leads there
