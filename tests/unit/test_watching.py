"""Alerts, dashboard and runbook: they name only metrics that there are, and each alert says what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from ops.gateway.http.access import ACCESS
from ops.gateway.monitoring import metrics
from pipelines.lifecycle import Phase

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "ops/deploy"
RULES: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
SCRAPES = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/onboarding.json").read_text())
RUNBOOK = (ROOT / "ops/docs/runbook.md").read_text()
SOURCE = (ROOT / "ops/gateway/monitoring/metrics.py").read_text()
QUERIES = [
    *((rule["alert"], rule["expr"]) for rule in RULES),
    *((panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]),
]


def known() -> set[str]:
    """Every sample that /metrics can give, by its name in a query."""
    registry = CollectorRegistry()
    metrics.Traffic(registry)
    own = {family.name for family in registry.collect()}
    fleet = set(re.findall(r'"(onboarding_[a-z_]+)"', SOURCE)) | {
        f"onboarding_lane_{name}" for name in re.findall(r'_by_lane\("([a-z_]+)"', SOURCE)
    }
    return {name + end for name in own | fleet for end in ("", "_total", "_bucket", "_sum", "_count")}


@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_metric_exists(title: str, expression: str) -> None:
    """A query names no metric that /metrics does not have, and its brackets close."""
    named = set(re.findall(r"\bonboarding_[a-z_]+\b", expression))
    assert named or expression.startswith("up{"), title
    assert named <= known()
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)


@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[title for title, _ in QUERIES])
def test_the_fleets_values_are_not_added_up_over_gateways(title: str, expression: str) -> None:
    """Every gateway shows the whole fleet, so its values are aggregated with max or min before anything else."""
    for fleets in re.finditer(
        r"(\w+(?: (?:by|without) \([a-z, ]+\))? )?\(*(?:rate|increase|delta)?\(*(onboarding_\w+)", expression
    ):
        if not fleets[2].startswith(("onboarding_http_", "onboarding_auth_")):  # counted by each gateway itself
            assert re.search(r"\b(max|min)\b[^,]*$", expression[: fleets.end()]), title


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_every_alert_is_explained(rule: dict[str, Any]) -> None:
    """It has a severity, says what is the case, and the runbook has a section with its name that says what to do."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    section = RUNBOOK.partition(f"\n## {rule['alert']}\n")[2].partition("\n## ")[0]
    assert "**Do:**" in section


def test_the_runbook_speaks_of_nothing_else() -> None:
    """A section that no alert leads to is out of date, and phases that are named exist."""
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == {rule["alert"] for rule in RULES}
    text = " ".join(expression for _, expression in QUERIES)
    named = re.findall(r'phase[=!]~?"([a-z_|]+)"', text)
    assert {phase for names in named for phase in names.split("|")} <= set(Phase)
    routes = set(re.findall(r'route="([^"]+)"', text))
    assert routes <= {"/webhooks/iron", *(route.partition(" ")[2] for route in ACCESS)}


def test_prometheus_is_told_what_to_scrape() -> None:
    """The file beside the rules asks at the right path, with a token."""
    [scrape] = SCRAPES["scrape_configs"]
    assert (scrape["job_name"], scrape["metrics_path"]) == ("onboarding", "/metrics")
    assert scrape["authorization"]["type"] == "Bearer"
    assert SCRAPES["rule_files"] == ["alerts.yml"]


def test_the_dashboard_can_be_imported() -> None:
    """Each panel has its own id and place, says what it shows, and asks the data source that is chosen."""
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    for panel in panels:
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
