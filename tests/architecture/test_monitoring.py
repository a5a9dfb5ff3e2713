"""The alerts and docs/monitoring.md name all metrics, and no others."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from installed import needed
from prometheus_client import CollectorRegistry

from benchmarks.services import find_program
from blueprints.mail import OUTCOMES as MAIL_OUTCOMES
from deploy.metrics.counters import OUTCOMES, TOKEN_FAILURES, UNAVAILABLE, Metrics
from deploy.metrics.processes import ServerProcesses
from deploy.metrics.worker_state import WorkerState

ROOT = Path(__file__).parents[2]
ALERTS = (ROOT / "deploy" / "alerts.yml").read_text()
FIRED = ROOT / "tests" / "system" / "alerts_test.yml"
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
METRIC = re.compile(r"\b(?:poort|process)_[a-z_]+\b")


def metrics() -> set[str]:
    """Return the names of all metrics, counters with `_total`."""
    registry = CollectorRegistry()
    Metrics(registry)
    WorkerState("", registry)
    registry.register(ServerProcesses(os.getpid()))
    return {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}


def without_ending(names: list[str]) -> set[str]:
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def test_alerts_are_about_metrics_that_there_are() -> None:
    named = without_ending(METRIC.findall(ALERTS))
    assert len(named) >= 6
    assert named - metrics() == set()


def test_every_metric_is_on_the_page_and_no_other() -> None:
    table = PAGE.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    assert {name for line in re.findall(r"^\| `((?:poort|process)_[a-z_]+)", table, re.MULTILINE) for name in [line]} == metrics()
    labels = {*MAIL_OUTCOMES, *OUTCOMES.values(), *TOKEN_FAILURES.values(), *UNAVAILABLE.values()}
    assert [label for label in labels if f"`{label}`" not in table] == []


def test_every_alert_is_on_the_page_and_is_made_to_fire() -> None:
    alerts = set(re.findall(r"alert: (\w+)", ALERTS))
    assert {alert for alert in alerts if f"`{alert}`" not in PAGE} == set()
    assert set(re.findall(r"alertname=\"(\w+)\"", FIRED.read_text())) == alerts


@pytest.mark.services
@pytest.mark.parametrize(
    "arguments", [("check", "rules", "deploy/alerts.yml"), ("test", "rules", str(FIRED))], ids=["valid", "fire"]
)
def test_prometheus_takes_the_alerts(arguments: tuple[str, ...]) -> None:
    promtool = needed(lambda: find_program("promtool"))
    done = subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
