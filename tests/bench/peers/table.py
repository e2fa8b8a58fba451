"""The figures of a comparison as a table in Markdown: medians, and the range of the throughput."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

HEAD = (
    "| {latency} ms | onboardings/s (range) | against ours | CPU ms: workers | handing in, webhooks, consent | Redis |"
    " calls | Redis commands | Redis kB | peak MB |"
)


def show(result: dict[str, Any]) -> str:
    """Write one table a latency."""
    runs = result["runs"]
    latencies = dict.fromkeys(run["latency_ms"] for run in runs)
    return "\n\n".join(_table(latency, [run for run in runs if run["latency_ms"] == latency]) for latency in latencies)


def _table(latency: int, runs: list[dict[str, Any]]) -> str:
    names = dict.fromkeys(run["name"] for run in runs)
    rows = [medians(run for run in runs if run["name"] == name) for name in names]
    rows.sort(key=lambda row: -row["per_second"])
    ours = next((row["per_second"] for row in rows if row["name"] == "pipeline"), 0.0)
    return "\n".join([HEAD.format(latency=latency), "|---|" + "---|" * 9, *(_row(row, ours) for row in rows)])


def medians(runs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Take the median of each figure, and the range of the throughput."""
    given = list(runs)
    row = {name: statistics.median(run[name] for run in given) for name in given[0] if name != "name"}
    rates = [run["per_second"] for run in given]
    return {"name": given[0]["name"], **row, "slowest": min(rates), "fastest": max(rates)}


def _row(row: dict[str, Any], ours: float) -> str:
    return (
        f"| {row['name']} | {row['per_second']:.0f} ({row['slowest']:.0f} to {row['fastest']:.0f})"
        f" | {row['per_second'] / ours if ours else 0:.2f} | {row['workers_ms']:.1f}"
        f" | {row['submit_ms'] + row['people_ms']:.1f} | {row['redis_ms']:.2f} | {row['calls']:.1f}"
        f" | {row['commands']:.0f} | {row['bytes'] / 1000:.1f} | {row['peak_mb']:.0f} |"
    )
