"""The names that others depend on, read from the text of the program: actors, queues, Redis keys, headers and so on.

    python -m tests.wire_names [folder of the program]

Prints a line a name, its kind before it. `tests/unit/wire_names.txt` holds what they are; a name that goes away or
changes breaks who uses it, so that a test compares. Read from the text, so that any state of the program can be asked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Kind -> patterns over all sources; the first group is the name, a second one its value.
PATTERNS: Mapping[str, tuple[str, ...]] = {
    "actor": (
        r"^def ([a-z]\w*)\(record: Record, iron: Iron, attempt: Attempt\) -> Outcome:",
        r'actor_name="(\w+)"',
        r'^[A-Z_]*ACTOR = "(\w+)"',
    ),
    "queue": (r'^LANES = \("(\w+)", ', r'^LANES = \("\w+", "(\w+)"', r'^LANES = \("\w+", "\w+", "(\w+)"'),
    "Redis key": (r"prefix \.\. '([a-z_]+:?)", r'f"\{PREFIX\}([a-z_]+:?)'),
    "header": (
        r'"((?:idempotency|webhook|x|retry|iron|user|www|if)-[a-z-]+)"',
        r'"((?:Idempotency|Webhook|X|Retry|User|WWW)-[A-Za-z-]+)"',
    ),
    "metric": (r'"(onboarding_[a-z_]+)"',),
    "setting": (r"^    ((?:IRON|ONBOARDING)_[A-Z_]+): ",),
    "phase or event": (
        r'^    [A-Z_]+ = "([a-z_]+)"(?:  # .*)?$',
        r'^(?:NEEDS_CHANGED|REMINDER_DUE|OVERDUE) = "(\w+)"',
        r'^EMITTED_BY_STEPS = frozenset\(\{"(\w+)"',
    ),
    "exit status": (r"^    ([A-Z_]+) = (\d+)(?:  # .*)?$",),
    "problem": (
        r'^    "([a-z_]+)": \((\d{3}), ',
        r'^    code = "([a-z_]+)"',
        r"""^    "([a-z0-9_]+)": (?:\(\s+)?f?["'][A-Z{].*\.["']""",
    ),
}

#: Kinds that are in one file only, by the end of its path in this and in earlier states.
ONLY_IN = {"phase or event": "pipelines/", "exit status": "exits.py", "setting": "settings.py"}


def sources(root: Path) -> Iterator[tuple[str, str]]:
    """Read each source file of the program, with its path below the root."""
    for top in ("pipelines", "workers", "ops"):
        for file in sorted((root / top).rglob("*")):
            if file.suffix in (".py", ".lua") and file.is_file():
                yield str(file.relative_to(root)), file.read_text("utf-8")


def names(root: Path = ROOT) -> set[str]:
    """Collect the names of a state of the program, each as `kind name` or `kind name value`."""
    found = set()
    for path, text in sources(root):
        for kind, patterns in PATTERNS.items():
            if kind in ONLY_IN and ONLY_IN[kind] not in path:
                continue
            for pattern in patterns:
                for match in re.finditer(pattern, text, re.MULTILINE):
                    name = match[1].lower() if kind == "header" else match[1]
                    found.add(" ".join((kind, name, *match.groups()[1:])))
    return found


if __name__ == "__main__":
    print(*sorted(names(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)), sep="\n")
