"""Requests to Iron, taken apart: which endpoint, which ids, and how it refuses one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httpx

#: Values of X-API-Version that are known, the default first. Source: iron-api 1.2, iron-conformance 2.
VERSIONS = ("2025-03-13", "2026-07-01", "2026-08-01", "2026-10-15")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

#: Handlers by method and template. Every POST needs a key. Source: iron-api section 3.
ROUTES = {
    "POST /customers": "create_customer",
    "GET /customers": "list_customers",
    "GET /customers/{id}": "read_customer",
    "PUT /customers/{id}": "update_customer",
    "GET /customers/{external_id}/external": "find_customer",
    "PUT /customers/{id}/archive": "archive_customer",
    "POST /customers/{id}/identifications/v2": "create_identification",
    "GET /customers/{id}/identifications": "list_identifications",
    "GET /identifications/{id}": "read_identification",
    "PUT /identifications/{id}/archive": "archive_identification",
    "GET /customers/{id}/requirements": "read_requirements",
    "GET /customers/{id}/required-signings": "read_required_signings",
    "POST /customers/{id}/signings": "create_signing",
    "GET /customers/{id}/signings": "list_signings",
    "POST /sandbox/identification/{id}": "decide_in_sandbox",
}


class RefusedError(Exception):
    """Iron refuses a request."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True)
class Call:
    """A request, taken apart."""

    method: str
    template: str
    path: str
    of: Mapping[str, str]
    query: httpx.QueryParams
    headers: httpx.Headers
    content: bytes

    @property
    def version(self) -> str:
        return self.headers.get("X-API-Version") or VERSIONS[0]

    @property
    def key(self) -> str:
        return self.headers.get("IDEMPOTENCY-KEY", "")

    def chosen(self, name: str, value: str) -> bool:
        """Say whether a list's filter lets a value through: repeated, or with commas."""
        wanted = [one for text in self.query.get_list(name) for one in text.split(",") if one]
        return not wanted or value in wanted

    @classmethod
    def read(cls, request: httpx.Request) -> Call:
        """Take a request apart; a path of no route has an empty template."""
        path = request.url.raw_path.decode().partition("?")[0].partition("/api")[2]
        segments = [unquote(segment) for segment in path.split("/")]
        for route in ROUTES:
            method, _, template = route.partition(" ")
            of = _matched(template.split("/"), segments)
            if method == request.method and of is not None:
                return cls(method, template, path, of, request.url.params, request.headers, request.read())
        return cls(request.method, "", path, {}, request.url.params, request.headers, request.read())


def _matched(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    pairs = list(zip(template, segments, strict=True))
    if any(part != segment for part, segment in pairs if not part.startswith("{")):
        return None
    return {part[1:-1]: segment for part, segment in pairs if part.startswith("{")}


def as_json(content: bytes) -> Any:
    """Read JSON; None for what is none."""
    try:
        return json.loads(content)
    except ValueError:
        return None
