"""Figures as a chart in SVG: a block of bars for each question, and the range of several rounds as a line.

    python -m tests.bench.peers.chart FIGURES.json > chart.svg

FIGURES.json is what `tests.bench.compare --out` or `tests.bench.growth --out` wrote.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.peers.table import medians

WIDTH, LEFT, BAR, GAP, HEAD = 720, 170, 18, 8, 38
OURS, THEIRS, INK = "#2563eb", "#94a3b8", "#64748b"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its value, and the least and the most of all rounds."""

    label: str
    value: float
    least: float
    most: float
    ours: bool = True


Block = tuple[str, list[Bar]]


def comparison(result: dict[str, Any]) -> Iterator[Block]:
    """Onboardings a second of each peer: a block for each latency, the fastest first."""
    runs = result["runs"]
    for latency in dict.fromkeys(run["latency_ms"] for run in runs):
        found = [run for run in runs if run["latency_ms"] == latency]
        rows = [
            medians(run for run in found if run["name"] == name) for name in dict.fromkeys(r["name"] for r in found)
        ]
        bars = [_peer(row) for row in sorted(rows, key=lambda row: -row["per_second"])]
        yield f"onboardings a second, Iron answers after {latency} ms", bars


def growth(rows: list[dict[str, Any]]) -> Iterator[Block]:
    """Onboardings a second beside so many who wait: a block for each number of worker processes."""
    names = [name for name in rows[0] if name.startswith("per_second_")]
    for name in names:
        bars = [Bar(f"{row['waiting']:,} waiting", row[name], row[name], row[name]) for row in rows]
        yield f"onboardings a second, {name.removeprefix('per_second_')} worker processes", bars


def _peer(row: dict[str, Any]) -> Bar:
    ours = row["name"] == "pipeline"
    return Bar("this pipeline" if ours else row["name"], row["per_second"], row["slowest"], row["fastest"], ours)


def chart(blocks: Iterable[Block]) -> str:
    """Draw; the longest bar is the largest of all blocks."""
    blocks = list(blocks)
    longest = max(bar.most for _, bars in blocks for bar in bars)
    top, parts = 8, []
    for title, bars in blocks:
        parts.append(_text(8, top + 24, title, weight="bold"))
        top += HEAD
        for bar in bars:
            parts.append(_row(bar, top, (WIDTH - LEFT - 90) / longest))
            top += BAR + GAP
        top += GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _row(bar: Bar, top: float, scale: float) -> str:
    middle = top + BAR / 2
    ends = f'x1="{LEFT + bar.least * scale:.1f}" x2="{LEFT + bar.most * scale:.1f}" y1="{middle}" y2="{middle}"'
    color = OURS if bar.ours else THEIRS
    parts = (
        _text(LEFT - 8, middle + 5, bar.label, anchor="end"),
        f'<rect x="{LEFT}" y="{top}" width="{bar.value * scale:.1f}" height="{BAR}" fill="{color}"/>',
        f'<line {ends} stroke="{INK}" stroke-width="2"/>',
        _text(LEFT + bar.most * scale + 8, middle + 5, f"{bar.value:.0f}"),
    )
    return "\n".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}">{text}</text>'


if __name__ == "__main__":
    figures = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(chart(comparison(figures) if isinstance(figures, dict) else growth(figures)))
