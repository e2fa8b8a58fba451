"""The Lua code in its parts: each operation's script has all that it uses, and no more."""

from __future__ import annotations

import re

import pytest

from workers.ledger import lua_parts
from workers.ledger.scripts import whole
from workers.ledger.wire import ARGUMENTS, in_order

PARTS = lua_parts()
COMMENT = re.compile(r"--.*$", re.MULTILINE)
#: What a part defines for those that need it, at the beginning of a line; and what is a name of its own further in.
SHARED = re.compile(r"^local (?:function )?([\w, ]+)", re.MULTILINE)
OPERATION = re.compile(r"^function (operations\.\w+)", re.MULTILINE)
INNER = re.compile(
    r"^ +.*?\blocal (?:function )?([\w, ]+)|\bfunction [\w.]*\(([\w, ]*)|\bfor ([\w, ]+) (?:in|=)", re.MULTILINE
)


def names(found: list[str]) -> set[str]:
    """Take lists of names apart."""
    return {name.strip() for part in found for name in part.split(",") if name.strip()}


def code(part: str) -> str:
    """A part's code, without comments and strings."""
    return re.sub(r"'[^'\n]*'", "''", COMMENT.sub("", PARTS[part]))


def shared(part: str) -> set[str]:
    """Name what a part defines for others."""
    return names(SHARED.findall(code(part)))


def used(part: str) -> set[str]:
    """Name what a part uses and does not define itself: no field, no key of a table."""
    own = shared(part) | names([name for found in INNER.findall(code(part)) for name in found])
    return set(re.findall(r"(?<![\w.])[A-Za-z_]\w*(?!\w| = [^=\n]*[,}])", code(part))) - own


def needs(part: str) -> set[str]:
    """Name all parts that come before one in its script."""
    script = whole(part, PARTS)
    return {other for other, text in PARTS.items() if other != part and text in script}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_script_has_what_it_uses(part: str) -> None:
    """Whatever a part uses of another part comes with it, and nothing comes with it of which it uses nothing."""
    wanted = {other for other in PARTS if other != part and used(part) & shared(other)}
    assert wanted <= needs(part)
    direct = re.search(r"^-- needs: (.+)$", PARTS[part], re.MULTILINE)
    for other in direct[1].split() if direct else ():
        of_others = shared(other) | names(OPERATION.findall(PARTS[other]))
        assert other in wanted or any(name in code(part) for name in of_others), f"{part} uses nothing of {other}"


@pytest.mark.parametrize("operation", sorted(ARGUMENTS))
def test_both_ends_name_the_same_arguments(operation: str) -> None:
    """Python and Lua name an operation's arguments alike, in the same order; only pairs come after them."""
    signature = re.compile(rf"^function operations\.{operation}\(([^)]*)\)", re.MULTILINE)
    [found] = [match[1] for text in PARTS.values() for match in signature.finditer(text)]
    *named, last = [name.strip() for name in found.split(",")]
    assert (tuple(named), last) == (ARGUMENTS[operation], "...")


def test_an_argument_that_is_not_given_is_an_error() -> None:
    """A missing argument is no empty one: it would move all that follow it."""
    given = dict.fromkeys(ARGUMENTS["join"], "")
    assert in_order("join", given, {"customer": b"c"}) == [*[""] * len(ARGUMENTS["join"]), "customer", b"c"]
    given.pop("email")
    with pytest.raises(KeyError, match="email"):
        in_order("join", given, {})


def test_every_operation_is_in_one_part() -> None:
    """No two parts have an operation of the same name."""
    operations = OPERATION.findall("\n".join(PARTS.values()))
    assert len(operations) == len(set(operations))


@pytest.mark.parametrize(
    ("part", "most"), [("pace", {"base"}), ("read", {"base", "details"}), ("claim", {"base", "pace", "imports"})]
)
def test_hot_scripts_are_short(part: str, most: set[str]) -> None:
    """What is called most often brings little along: Redis runs all of a script at each call."""
    assert needs(part) == most
