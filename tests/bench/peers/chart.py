"""The figures of a comparison as a chart in SVG: a bar for each peer and latency, its range as a line.

python -m tests.bench.peers.chart FIGURES.json > chart.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.peers.table import medians

WIDTH, LEFT, BAR, GAP, HEAD = 720, 110, 18, 8, 46
OURS, THEIRS, INK = "#2563eb", "#94a3b8", "#64748b"


def chart(result: dict[str, Any]) -> str:
    """Draw a block of bars for each latency, the longest bar the fastest of all."""
    runs = result["runs"]
    longest = max(run["per_second"] for run in runs)
    top, parts = 8, []
    for latency in dict.fromkeys(run["latency_ms"] for run in runs):
        block = [run for run in runs if run["latency_ms"] == latency]
        rows = [
            medians(run for run in block if run["name"] == name) for name in dict.fromkeys(r["name"] for r in block)
        ]
        parts.append(_text(8, top + 24, f"onboardings a second, Iron answers after {latency} ms", weight="bold"))
        top += HEAD - 8
        for row in sorted(rows, key=lambda row: -row["per_second"]):
            parts.append(_row(row, top, (WIDTH - LEFT - 90) / longest))
            top += BAR + GAP
        top += GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _row(row: dict[str, Any], top: float, scale: float) -> str:
    length, middle = row["per_second"] * scale, top + BAR / 2
    color = OURS if row["name"] == "pipeline" else THEIRS
    label = "this pipeline" if row["name"] == "pipeline" else row["name"]
    slowest, fastest = (LEFT + row[name] * scale for name in ("slowest", "fastest"))
    ends = f'x1="{slowest:.1f}" x2="{fastest:.1f}" y1="{middle}" y2="{middle}"'
    parts = (
        _text(LEFT - 8, middle + 5, label, anchor="end"),
        f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{color}"/>',
        f'<line {ends} stroke="{INK}" stroke-width="2"/>',
        _text(fastest + 8, middle + 5, f"{row['per_second']:.0f}"),
    )
    return "\n".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}">{text}</text>'


if __name__ == "__main__":
    sys.stdout.write(chart(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
