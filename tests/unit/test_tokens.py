"""API tokens: made, written as a setting, read back, and found without telling by time which one it was."""

from __future__ import annotations

import hashlib

import pytest

from workers.secrets import tokens
from workers.secrets.tokens import Role, digest, find, new_token, parse, parse_all, setting_of


def test_a_token_is_found_by_its_setting() -> None:
    """What `tokens new` prints lets exactly its token in, under its name and role."""
    token = new_token()
    known = parse_all([setting_of("crm", Role.SUBMITTER, token), setting_of("ops", Role.ADMIN, new_token())])
    found = find(known, token)
    assert (found.name, found.role) == ("crm", Role.SUBMITTER) if found else False
    assert find(known, new_token()) is None
    assert find(known, known[0].digest) is None  # whoever reads the settings has no token yet


def test_the_setting_does_not_hold_the_token() -> None:
    """Of a token its SHA-256 alone is kept."""
    token = new_token()
    entry = setting_of("crm", Role.VIEWER, token)
    assert entry == f"crm:viewer:{hashlib.sha256(token.encode()).hexdigest()}"


def test_tokens_differ_and_are_long() -> None:
    """No two tokens are the same, each has 256 bits, and a scanner can know one by its beginning."""
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith("onb_") and len(token) == 47 for token in made)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "crm",
        "crm:viewer",
        f"crm:viewer:{'0' * 63}",
        f"crm:viewer:{'g' * 64}",
        f"crm:owner:{'0' * 64}",
        f":viewer:{'0' * 64}",
        f"two words:viewer:{'0' * 64}",
        f"crm:viewer:{'0' * 64}:more",
        f"{'n' * 65}:viewer:{'0' * 64}",
    ],
)
def test_what_is_no_entry_is_refused(entry: str) -> None:
    """An entry has a plain name, a role that exists, and a SHA-256."""
    with pytest.raises(ValueError):  # noqa: PT011 -- settings say what it should look like
        parse(entry)


@pytest.mark.parametrize("second", [f"crm:admin:{'1' * 64}", f"other:viewer:{'0' * 64}"])
def test_names_and_tokens_are_there_once(second: str) -> None:
    """Two entries with one name, or with one token, are refused: nobody could tell who acted."""
    with pytest.raises(ValueError):  # noqa: PT011 -- settings say what it should look like
        parse_all([f"crm:viewer:{'0' * 64}", second])


def test_every_digest_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is the constant-time one, and goes through all tokens, wherever the right one stands."""
    token, seen = new_token(), []

    def compare(one: str, other: str) -> bool:
        seen.append(one)
        return one == other

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    known = parse_all([setting_of(name, Role.VIEWER, token if name == "b" else new_token()) for name in "abc"])
    assert find(known, token) == known[1]
    assert seen == [one.digest for one in known]


def test_any_text_may_be_presented() -> None:
    """A token that is no UTF-8 is a wrong one, and no error."""
    assert digest("\udcff")
    assert find(parse_all([setting_of("crm", Role.VIEWER, new_token())]), "\udcff") is None
