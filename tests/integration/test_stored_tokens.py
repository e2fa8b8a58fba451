"""API tokens in the ledger: made, listed, revoked and ended while a gateway runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from ops.cli import main
from ops.gateway.http.attempts import OF_A_NETWORK
from tests.gateway import TOKENS, Gateway
from tests.integration.test_metrics import of, scraped
from tests.world import World
from workers.operate.doctor.secrets import tokens
from workers.secrets import stored_tokens
from workers.secrets.stored_tokens import KnownTokens, TokenNameTakenError, TokenStore
from workers.secrets.tokens import Role, digest
from workers.settings import Settings


@pytest.fixture
def store(world: World) -> TokenStore:
    """The tokens of a ledger that has none yet."""
    return TokenStore(world.ledger)


@pytest.fixture
def gateway(world: World, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A gateway that asks the ledger anew each time."""
    monkeypatch.setattr(stored_tokens, "KNOWN_FOR_S", 0.0)
    made = Gateway(world, broker_url)
    yield made
    made.close()


def ask(gateway: Gateway, token: str, path: str = "/v1/summary") -> tuple[int, str | None]:
    """Ask with a token; gives the status and the code of a refusal."""
    answer = gateway.get(path, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("code") if answer.status_code >= 400 else None


def test_a_token_is_good_until_it_is_revoked(gateway: Gateway, store: TokenStore) -> None:
    """Made and revoked while the gateway runs, it is taken and then refused, with its name in the line."""
    token = store.new("crm", Role.VIEWER, by="ada")
    with capture_logs() as lines:
        assert ask(gateway, token) == (200, None)
    assert [line["name"] for line in lines if line["event"] == "request.answered"] == ["crm"]
    assert store.revoke("crm", by="ada")
    assert ask(gateway, token) == (401, "token_unknown")
    assert not store.revoke("crm", by="ada")


def test_its_role_counts(gateway: Gateway, store: TokenStore) -> None:
    """A stored token may do what its role may, and no more."""
    assert ask(gateway, store.new("crm", Role.VIEWER, by="ada"), "/v1/onboardings/k/personal")[1] == "role_insufficient"
    assert ask(gateway, store.new("dpo", Role.COMPLIANCE, by="ada"), "/v1/onboardings/k/personal")[0] == 404


def test_what_is_known_holds_for_five_seconds(
    world: World, broker_url: str, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway asks the ledger once in five seconds, whatever comes, and not at all for tokens of the setting."""
    gateway = Gateway(world, broker_url)
    assert stored_tokens.KNOWN_FOR_S == 5.0
    asked = readings(monkeypatch)
    assert gateway.get("/v1/summary", role="viewer").status_code == 200
    assert not asked
    token = store.new("crm", Role.VIEWER, by="ada")
    assert [ask(gateway, token)[0] for _ in range(5)] == [200] * 5
    assert len(asked) == 1
    gateway.close()


def readings(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An entry for each time that the tokens are read from now on."""
    seen: list[None] = []
    read = TokenStore.all

    def reading(store: TokenStore) -> Any:
        seen.append(None)
        return read(store)

    monkeypatch.setattr(TokenStore, "all", reading)
    return seen


def test_a_token_ends(gateway: Gateway, store: TokenStore, world: World) -> None:
    """From its end on it is refused, and its name is free."""
    token = store.new("crm", Role.VIEWER, by="ada", expires_s=60)
    world.advance(58)
    assert ask(gateway, token)[0] == 200
    world.advance(3)
    assert ask(gateway, token) == (401, "token_unknown")
    assert store.new("crm", Role.VIEWER, by="ada") != token


def test_a_token_ends_while_the_ledger_is_not_asked(store: TokenStore) -> None:
    """Its end counts in between, too, by the ledger's clock and no other."""
    now = 0.0
    known = KnownTokens(store, clock=lambda: now)
    token = store.new("crm", Role.VIEWER, by="ada", expires_s=3)
    assert known.find(token)
    now += 4.0
    assert stored_tokens.KNOWN_FOR_S > 4.0
    assert (known.at_hand(token), known.find(token)) == (None, None)


def test_a_name_is_there_once(store: TokenStore) -> None:
    """A second good token of one name is refused; one that is revoked leaves its name."""
    store.new("crm", Role.VIEWER, by="ada")
    with pytest.raises(TokenNameTakenError):
        store.new("crm", Role.ADMIN, by="eve")
    store.revoke("crm", by="ada")
    store.new("crm", Role.ADMIN, by="ada")
    assert [(one.name, one.role) for one in store.all()] == [("crm", "admin")]


def test_the_setting_comes_first(gateway: Gateway, store: TokenStore) -> None:
    """A stored token with the name of one of the setting is not taken: nobody could tell who acted."""
    assert ask(gateway, store.new("the-viewer", Role.ADMIN, by="eve")) == (401, "token_unknown")
    assert ask(gateway, TOKENS[Role.VIEWER]) == (200, None)


def test_the_ledger_holds_digests_alone(store: TokenStore, world: World) -> None:
    """Whoever reads the ledger has no token; who made one, when, and its end are there."""
    token = store.new("crm", Role.VIEWER, by="ada", expires_s=3_600)
    kept = world.client.hget("onboarding:tokens", "crm")
    assert token.encode() not in kept
    told = json.loads(kept)
    assert (told["digest"], told["created_by"], told["role"]) == (digest(token), "ada", "viewer")
    assert told["expires_ms"] - told["created_ms"] == 3_600_000


def test_the_last_use_is_known_to_the_hour(gateway: Gateway, store: TokenStore, world: World) -> None:
    """It is noted once an hour, and says no more than that."""
    token = store.new("crm", Role.VIEWER, by="ada")
    assert store.used_ms() == {}
    ask(gateway, token)
    first = store.used_ms()["crm"]
    assert first == world.ledger.now_ms() // 3_600_000 * 3_600_000
    world.advance(3_600)
    ask(gateway, token)
    assert store.used_ms()["crm"] == first + 3_600_000


def test_nothing_is_known_while_the_ledger_is_away(world: World, broker_url: str) -> None:
    """Tokens of the setting are told all the same; whether another one is good, nobody can say: 503."""
    gateway = Gateway(world, broker_url)
    store = TokenStore(world.ledger)

    def away(_: TokenStore) -> Any:
        raise redis.ConnectionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store), "all", away)
        assert ask(gateway, "onb_another") == (503, "ledger_away")
        assert ask(gateway, TOKENS[Role.VIEWER])[0] == 200
    gateway.close()


def test_with_a_stored_token_somebody_is_let_in(world: World, broker_url: str, store: TokenStore) -> None:
    """Without the setting it is the ledger that knows whether there is anybody."""
    token = store.new("crm", Role.VIEWER, by="ada")
    gateway = Gateway(world, broker_url, tokens=())
    assert ask(gateway, token) == (200, None)
    assert ask(gateway, "onb_wrong") == (401, "token_unknown")
    gateway.close()


# --- wrong ones ------------------------------------------------------------------------------------------------------


def test_wrong_tokens_are_slowed_down(gateway: Gateway) -> None:
    """After twenty a minute: 429 with Retry-After; a right token is let in from the same place, and all are counted."""
    answers = [
        gateway.get("/v1/summary", headers={"Authorization": f"Bearer onb_{n}"}) for n in range(OF_A_NETWORK + 2)
    ]
    assert [answer.status_code for answer in answers] == [401] * OF_A_NETWORK + [429] * 2
    assert answers[-1].json()["code"] == "too_many_attempts"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert ask(gateway, TOKENS[Role.VIEWER]) == (200, None)
    assert of(scraped(gateway), "onboarding_auth_refused_total", where="api") == OF_A_NETWORK + 2


def test_no_token_at_all_is_no_attempt(gateway: Gateway) -> None:
    """Whoever forgets the header is told so, however often."""
    assert {gateway.get("/v1/summary").status_code for _ in range(OF_A_NETWORK + 5)} == {401}


# --- the command line ------------------------------------------------------------------------------------------------

Run = Any


@pytest.fixture
def run(ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `onboarding tokens`; gives the status, standard output and standard error."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", ledger_url)

    def one(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()  # lines of the gateway
        status = main(["tokens", *words])
        told = capsys.readouterr()
        return status, told.out.strip(), told.err

    return one


def test_made_listed_and_revoked_by_command(run: Run, gateway: Gateway) -> None:
    """The whole life of a token, and a running gateway follows."""
    status, token, said = run("new", "crm", "--role", "submitter", "--expires", "90d", "--store", "--by", "ada")
    assert (status, ask(gateway, token)[0]) == (0, 200)
    assert "crm" in said
    status, listed, _ = run("list", "--json")
    [told] = json.loads(listed)["tokens"]
    assert (told["name"], told["role"], told["state"], told["created_by"]) == ("crm", "submitter", "good", "ada")
    assert told["expires"]
    assert told["last_used_hour"]
    assert token not in listed
    assert digest(token) not in listed
    assert run("revoke", "crm")[0] == 0
    assert ask(gateway, token)[0] == 401
    assert json.loads(run("list", "--json")[1])["tokens"][0]["state"] == "revoked"
    assert run("list")[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("new", "crm", "--role", "viewer", "--expires", "90d"), 2, "--store"),
        (("new", "crm", "--role", "viewer", "--expires", "soon", "--store"), 2, "30m"),
        (("new", "crm", "--role", "boss", "--store"), 2, "submitter, viewer"),
        (("new", "two words", "--role", "viewer", "--store"), 2, "1 to 64"),
        (("new", "ops", "--role", "viewer", "--store"), 2, "taken"),
        (("new", "old", "--role", "viewer", "--store"), 2, "ONBOARDING_API_TOKENS"),
        (("revoke", "nobody"), 1, "no good token"),
        (("revoke", "old"), 1, "ONBOARDING_API_TOKENS"),
    ],
)
def test_what_cannot_be(
    words: tuple[str, ...], status: int, said: str, run: Run, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake is a sentence with the remedy, and changes nothing."""
    store.new("ops", Role.VIEWER, by="ada")
    monkeypatch.setenv("ONBOARDING_API_TOKENS", f"old:viewer:{'0' * 64}")
    before = store.all()
    ended, printed, told = run(*words)
    assert (ended, printed, store.all()) == (status, "", before)
    assert said in told


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_the_doctor_knows_stored_tokens(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says who is let in, by either way, and names a token of the ledger that one of the setting hides."""

    def told() -> list[tuple[str, str]]:
        good = [token for token in store.all() if token.state(0) == "good"]
        return [(check.state, check.text) for check in tokens(Settings.load("nothing"), good)]

    monkeypatch.delenv("ONBOARDING_API_TOKENS", raising=False)
    assert [state for state, _ in told()] == ["warning"]
    store.new("crm", Role.SUBMITTER, by="ada")
    assert told() == [("ok", "API tokens: 1 submitter.")]
    monkeypatch.setenv("ONBOARDING_API_TOKENS", f"crm:viewer:{'0' * 64}")
    (state, text), well = told()
    assert (state, "tokens revoke crm" in text, well) == ("warning", True, ("ok", "API tokens: 1 viewer."))
