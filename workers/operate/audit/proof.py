"""The chain of digests in a history: checked here, and explained so that anybody can check it with SHA-256 alone.

Each entry's digest covers the entry and the digest before it. The record holds the newest one, so that an entry can
neither be changed nor taken away unseen. Source: pipelines.keys.chained, design section 7.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pipelines.keys import chained

#: Where an entry as the ledger writes it has its digest. A quote inside a text is escaped, so this is no text.
_DIGEST = re.compile(r'"digest":"([A-Za-z0-9_-]{22})",?')


@dataclass(frozen=True, slots=True)
class Chain:
    """A history once its digests are checked.

    `intact`: for each entry, whether its digest is the one that follows from it and the entry before; `head` is the
    newest entry's.
    """

    stored: tuple[str, ...]
    intact: tuple[bool, ...]
    head: str

    @property
    def broken_at(self) -> int | None:
        """The first entry, counted from 1, whose digest is wrong; None: there is none."""
        return None if all(self.intact) else self.intact.index(False) + 1

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The entries, oldest first."""
        return [_entry(line) for line in self.stored]

    @property
    def phase(self) -> str:
        """The newest entry's phase."""
        return str(_entry(self.stored[-1]).get("phase", "")) if self.stored else ""


def chain(stored: Sequence[str]) -> Chain:
    """Check a history as it is stored, oldest entry first."""
    intact, head = [], ""
    for line in stored:
        digest, good = _checked(head, line)
        intact.append(good)
        head = digest
    return Chain(tuple(stored), tuple(intact), head)


def _checked(head: str, line: str) -> tuple[str, bool]:
    """Return an entry's digest, and whether it is right.

    The bytes of the line itself are tried first, which is quick: when they have the digest, they are what was written.
    """
    found = _DIGEST.search(line)
    if found:
        material = f'["{head}",{line[: found.start()]}{line[found.end() :]}]'.encode(errors="surrogateescape")
        if urlsafe_b64encode(sha256(material).digest()[:16]).rstrip(b"=") == found[1].encode():
            return found[1], True
    entry = _entry(line)
    digest = entry.pop("digest", None)
    return (digest, digest == _digest(head, entry)) if isinstance(digest, str) else ("", False)


def _entry(line: str) -> dict[str, Any]:
    """Read an entry; what is none has no digest, and so breaks the chain."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _digest(head: str, entry: dict[str, Any]) -> str | None:
    try:
        return chained(head, entry)
    except ValueError:  # NaN, or text that is no UTF-8: the ledger writes neither
        return None


#: What goes beside an exported history. The commands in it are run by a test.
PROOF = """\
How to check this history
=========================

history.jsonl holds one JSON object a line, oldest first, exactly as the ledger stores it. The member "digest" of each
chains it to the line before:

1. Take the line without its member "digest".
2. Write the JSON array [previous, line]: previous is the digest of the line before, "" for the first line. Member names
   are sorted by code point, there is no space between tokens, the text is UTF-8, and no character beyond ASCII is
   escaped. The lines are written like this already.
3. Take SHA-256 of these bytes, of that the first 16 bytes, and write them as base64url without padding: 22 characters.

They must be the line's "digest". The last digest must be the one that the record itself keeps, "head" below. Then no
line was changed, put in or taken away since it was written, unless somebody wrote all later lines and the record again.
To rule that out, keep the head of today somewhere else.

With a shell, SHA-256 and base64 (prints nothing when all is well):

    previous=
    while IFS= read -r line; do
      digest=$(printf '%s' "$line" | sed 's/.*"digest":"\\([^"]*\\)".*/\\1/')
      bare=$(printf '%s' "$line" | sed 's/"digest":"[^"]*",\\{0,1\\}//')
      found=$(printf '["%s",%s]' "$previous" "$bare" | sha256sum | cut -c 1-32)
      stated=$(printf '%s==' "$digest" | tr '_-' '/+' | base64 -d | od -An -v -tx1 | tr -d ' \\n')
      [ "$found" = "$stated" ] || echo "broken: $line"
      previous=$digest
    done < history.jsonl
    [ "$previous" = "@head@" ] || echo "the last digest is not the head"

key      @key@
version  @version@
entries  @entries@
head     @head@
"""


def explained(key: str, version: int, head: str, entries: int) -> str:
    """Write what goes beside an exported history: how its digests are computed, and what they must come to."""
    text = PROOF.replace("@head@", head).replace("@entries@", str(entries)).replace("@version@", str(version))
    return text.replace("@key@", key)
