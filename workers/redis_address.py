"""Addresses of Redis: read strictly, with options from a list, and the server and logical database they name.

redis-py passes any option of an address on to its connections, where some change what every answer is (such as
`decode_responses`) and others end in an error of Python's. So there is a list. Source: redis-py, `parse_url`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, parse_qsl, unquote

from workers.forms import FormError, check_host, reason, split, written

SCHEMES = ("redis", "rediss", "unix")
_YES_OR_NO = "(?i:true|false|yes|no|1|0)"
#: Options that any address may have, and what each may be.
_ANY = {"db": r"\d{1,6}", "health_check_interval": r"\d{1,4}"}
_TCP = {"socket_keepalive": _YES_OR_NO}
#: Options of an address that begins with rediss://.
_TLS = {
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": _YES_OR_NO,
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"), r".+"),
}
OPTIONS = {"unix": _ANY, "redis": _ANY | _TCP, "rediss": _ANY | _TCP | _TLS}
#: What a password must not hold as it is, because it would end the part of the address that it is in.
HINT = "percent-encode # / ? @ in the password"


def redis_address(text: str) -> str:
    """Read an address of a Redis server. Raises FormError; the text names an option, and never its value."""
    _, _, rest = text.partition("://")
    behind = re.search(r"[/?#].*@", rest)
    if not text.lower().startswith("unix:") and (behind or "#" in rest):
        raise FormError("its password, or another part of it, holds a # / or ? as it is")
    parts = split(text, SCHEMES)
    if parts.scheme == "unix":
        _check_path(parts)
    else:
        if parts.hostname:
            check_host(parts)
        elif parts.netloc.rpartition("@")[2]:
            raise FormError("its host or port is not one")
        if not re.fullmatch(r"/?|/[0-9]{1,6}", parts.path):
            raise FormError("its logical database is not a number")
    _check_options(parts)
    return written(text)


def _check_path(parts: SplitResult) -> None:
    """Take only a path from the root: a part before it would be taken for a host, and be lost."""
    if parts.fragment or not parts.path.strip("/") or parts.netloc.rpartition("@")[2]:
        raise FormError("it names no socket: unix:// and a path from the root, such as unix:///run/redis.sock")


def _check_options(parts: SplitResult) -> None:
    allowed, seen = OPTIONS[parts.scheme], set[str]()
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed:
            known = f"the option {name}" if name.isidentifier() and name.isascii() else "an option"
            raise FormError(f"it has {known} that is not allowed there (allowed: {', '.join(allowed)})")
        if name in seen or not re.fullmatch(allowed[name], value, re.ASCII):
            raise FormError(f"its option {name} is given twice, or has a value that is not allowed")
        seen.add(name)
    if parts.query and not seen:
        raise FormError("it has a question mark and no option behind it")
    _load_certificates(dict(parse_qsl(parts.query)))


def _load_certificates(options: dict[str, str]) -> None:
    """Load the files that a TLS connection would load. Raises FormError, which names the option."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if key and not own:
        raise FormError("its option ssl_keyfile needs ssl_certfile")
    if own:
        password = options.get("ssl_password", "")  # none at all would be asked for on the terminal
        _try("ssl_certfile", lambda: context.load_cert_chain(own, key, password))
    if "ssl_ca_certs" in options:
        _try("ssl_ca_certs", lambda: context.load_verify_locations(cafile=options["ssl_ca_certs"]))
    if "ssl_ca_path" in options and not Path(options["ssl_ca_path"]).is_dir():
        raise FormError("its option ssl_ca_path names no folder")


def _try(option: str, load: Callable[[], object]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise FormError(f"its option {option} names a file without a certificate, or its key does not fit") from None
    except (OSError, ValueError) as error:
        raise FormError(f"its option {option} names a file that cannot be read ({reason(error)})") from None


# --- where it leads to -----------------------------------------------------------------------------------------------


def database(url: str) -> int:
    """Return the logical database that a Redis address names."""
    parts = split(url, SCHEMES)
    named = parse_qs(parts.query).get("db", [""])[0] or (parts.path.strip("/") if parts.scheme != "unix" else "")
    return int(named) if named.isdigit() else 0


def next_database(url: str) -> str:
    """Return the address of the same server's next logical database."""
    parts = split(url, SCHEMES)
    number = str(database(url) + 1)
    if parts.scheme == "unix" or "db" in parse_qs(parts.query):
        others = "&".join(part for part in parts.query.split("&") if part and not part.startswith("db="))
        return f"{url.partition('?')[0]}?" + f"{others}&db={number}".lstrip("&")
    return f"{parts.scheme}://{parts.netloc}/{number}" + f"?{parts.query}" * bool(parts.query)


def same_database(one: str, other: str) -> bool:
    """Return whether two addresses lead to one logical database, as far as can be told without asking."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, int]:
    """Name the server and the logical database of an address."""
    parts = split(url, SCHEMES)
    server = unquote(parts.path) if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    return server, database(url)
