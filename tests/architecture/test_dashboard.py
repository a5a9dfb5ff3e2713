"""deploy/grafana-dashboard.json is about the metrics and alerts that there are, and a person can read it."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from architecture.test_monitoring import ALERTS, METRIC, metrics, without_ending
from prometheus_client import CollectorRegistry

from deploy.metrics.counters import Metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
ANNOTATED = [note["target"]["expr"] for note in DASHBOARD["annotations"]["list"]]
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

#: Metrics that it does not show, and why.
EXCUSED: dict[str, str] = {}

#: Conditions of alerts, as one line.
CONDITIONS = dict(re.findall(r"alert: (\w+)\n +expr: (.*?)\n +(?:for|labels):", ALERTS, re.DOTALL))


def test_it_shows_every_metric_and_no_other() -> None:
    assert without_ending(METRIC.findall("".join(EXPRESSIONS))) == metrics() - set(EXCUSED)
    assert without_ending(METRIC.findall("".join(ANNOTATED))) <= metrics()


def test_labels_that_it_selects_are_those_of_the_metrics() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    known = {
        (name, value) for family in registry.collect() for sample in family.samples for name, value in sample.labels.items()
    } | {("process", "worker"), ("process", "master")}
    named = re.findall(r'\b(outcome|kind|part|process)=~?"([^"]+)"', "".join(EXPRESSIONS + ANNOTATED))
    assert {(label, value) for label, values in named for value in values.split("|")} - known == set()
    assert named


def test_every_query_follows_both_variables() -> None:
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    selectors = [selector for text in EXPRESSIONS for selector in re.findall(r"\{([^}]*)\}", text)]
    assert [one for one in selectors if not one.startswith('job="poort", instance=~"$instance"')] == []
    bare = [text for text in EXPRESSIONS if len(re.findall(r"\{", text)) != len(METRIC.findall(text)) + text.count("up{")]
    assert bare == [], "no metric stands without a selector"
    sources = [DASHBOARD["templating"]["list"][1], *DASHBOARD["annotations"]["list"], *PANELS]
    assert all(
        part["datasource"] == DATA_SOURCE for part in sources + [target for panel in PANELS for target in panel["targets"]]
    )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_tells_what_it_shows_and_has_the_threshold_of_its_alert(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["description"].endswith(".")
    assert defaults["unit"]
    named = re.findall(r"\bPoort[A-Z]\w+", panel["description"])
    assert [name for name in named if name not in CONDITIONS] == []
    (threshold,) = {step["value"] for step in defaults["thresholds"]["steps"]} - {None} or {None}
    if named and threshold is not None:
        limits = {float(limit) for name in named for limit in re.findall(r"[><=] ([0-9.]+)", CONDITIONS[name])}
        below = defaults["thresholds"]["steps"][0]["color"] == "red"  # such a panel is red beneath its threshold
        assert (0 if below else threshold) in limits


def test_panels_neither_overlap_nor_share_an_id() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = [one[at] + one[size] <= other[at] or other[at] + other[size] <= one[at] for at, size in (("x", "w"), ("y", "h"))]
        assert any(apart), (one, other)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Traffic", "Sign-ins", "Tokens and sessions", "Keys", "Database", "Saturation", "Processes"]
