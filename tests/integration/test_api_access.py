"""Who may use which route: every cell of the matrix, and what is said to whoever may not."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from ops.gateway.http.access import ACCESS
from ops.local.embedded import EmbeddedRedis
from tests.gateway import TOKENS, Gateway
from tests.world import World
from workers.ledger import connect
from workers.secrets.tokens import Role

#: The matrix as the guide shows it: s submitter, v viewer, o operator, c compliance, a admin.
MATRIX = {
    "POST /v1/onboardings": "soa",
    "GET /v1/onboardings": "svoca",
    "GET /v1/onboardings/{key}": "svoca",
    "GET /v1/onboardings/{key}/history": "svoca",
    "GET /v1/onboardings/{key}/personal": "ca",
    "POST /v1/onboardings/{key}/signings": "soa",
    "POST /v1/onboardings/{key}/actions/retry": "oa",
    "POST /v1/onboardings/{key}/actions/correct": "oa",
    "POST /v1/onboardings/{key}/actions/restart": "oa",
    "POST /v1/onboardings/{key}/actions/cancel": "oa",
    "POST /v1/onboardings/{key}/actions/reidentify": "oca",
    "POST /v1/onboardings/{key}/actions/revoke-links": "oa",
    "POST /v1/onboardings/{key}/actions/archive": "ca",
    "POST /v1/find": "svoca",
    "GET /v1/summary": "svoca",
    "GET /v1/events": "svoca",
    "GET /v1/refused": "svoca",
    "POST /v1/imports": "soa",
    "GET /v1/imports": "svoca",
    "GET /v1/imports/{name}": "svoca",
    "GET /v1/imports/{name}/report": "soca",
    "POST /v1/imports/{name}/actions/pause": "oa",
    "POST /v1/imports/{name}/actions/resume": "oa",
}
CELLS = [(route, role) for route in MATRIX for role in Role]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a token for each role, for all tests: none of them changes anything."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server, connect(server.url_for(0)) as client:
        made = Gateway(World(client), server.url_for(1), wrong_tokens=100_000)
        yield made
        made.close()
        assert client.dbsize() == 0


def address(route: str) -> tuple[str, str]:
    """Give method and path of a route, its parameters filled in."""
    method, path = route.split(" ")
    return method, path.replace("{key}", "k-1").replace("{name}", "n-1")


@pytest.mark.parametrize(("route", "role"), CELLS)
def test_each_cell(route: str, role: Role, gateway: Gateway) -> None:
    """A role may use a route, or is told that it may not, exactly as the matrix says."""
    method, path = address(route)
    answer = gateway.request(method, path, role=role, content=b"" if method == "GET" else b"{")
    if role[0] in MATRIX[route]:
        assert answer.status_code not in {401, 403, 500}
        return
    assert (answer.status_code, answer.json()["code"]) == (403, "role_insufficient")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert gateway.world.client.dbsize() == 0


def test_the_matrix_is_whole(gateway: Gateway) -> None:
    """The table in the code, this one, and the routes below /v1 in the OpenAPI document name the same routes."""
    paths = gateway.get("/openapi.json").json()["paths"]
    guarded = {f"{method.upper()} {path}" for path in paths if path.startswith("/v1/") for method in paths[path]}
    assert guarded == set(ACCESS) == set(MATRIX)
    for route in ACCESS:
        method, path = route.split(" ")
        operation = paths[path][method.lower()]
        assert operation["x-roles"] == sorted(role for role in Role if role[0] in MATRIX[route])
        assert operation["security"] == [{"bearer": []}]
        assert {"401", "403", "503"} <= set(operation["responses"])


@pytest.mark.parametrize("route", MATRIX)
@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("Bearer", "token_missing"),
        ("Basic YTpi", "token_missing"),
        ("Bearer two words", "token_missing"),
        ("Bearer onb_wrong", "token_unknown"),
        (f"Bearer {TOKENS[Role.ADMIN]}x", "token_unknown"),
        (f"Bearer {TOKENS[Role.ADMIN][:-1]}", "token_unknown"),
    ],
)
def test_without_a_token(route: str, credentials: str | None, code: str, gateway: Gateway) -> None:
    """Whoever has no token, or a wrong one, is answered 401 with a challenge, whatever was asked for."""
    method, path = address(route)
    answer = gateway.request(method, path, headers={} if credentials is None else {"Authorization": credentials})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith('Bearer realm="onboarding"')
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_scheme_is_told_in_any_case(gateway: Gateway) -> None:
    """`bearer` is as good as `Bearer` (RFC 9110)."""
    answer = gateway.get("/v1/summary", headers={"Authorization": f"bEARER  {TOKENS[Role.VIEWER]}"})
    assert answer.status_code == 200


def test_nobody_is_let_in_without_tokens(world: World, broker_url: str) -> None:
    """While no token is set, the API answers 503 and says what to do; the probes go on."""
    gateway = Gateway(world, broker_url, tokens=())
    try:
        answer = gateway.get("/v1/summary", role="admin")
        assert (answer.status_code, answer.json()["code"]) == (503, "api_tokens_missing")
        assert "onboarding tokens new" in answer.json()["detail"]
        assert gateway.get("/readyz").status_code == 200
    finally:
        gateway.close()


def test_no_token_is_logged(gateway: Gateway) -> None:
    """A line says whose token it was and its role, and holds neither a right nor a wrong token."""
    with capture_logs() as lines:
        gateway.get("/v1/summary", role="viewer")
        gateway.get("/v1/summary", headers={"Authorization": "Bearer onb_a-wrong-one"})
    right, refused, wrong = lines
    assert refused["event"] == "auth.refused"
    assert (right["name"], right["role"], right["status"]) == ("the-viewer", "viewer", 200)
    assert (wrong["code"], wrong["status"]) == ("token_unknown", 401)
    assert "onb_" not in json.dumps(lines)
