"""What a run of the tests is told and tells: which tests run, in which order, and how long each of them took."""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

_seconds: dict[str, float] = defaultdict(float)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that MUTATION_TESTS names, in its order."""
    if file := os.environ.get("MUTATION_TESTS"):
        place = {name: number for number, name in enumerate(json.loads(Path(file).read_text()))}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in place])
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of a test."""
    _seconds[report.nodeid] += report.duration


def pytest_sessionfinish() -> None:
    """Write the seconds of all tests to MUTATION_SECONDS."""
    if file := os.environ.get("MUTATION_SECONDS"):
        Path(file).write_text(json.dumps(_seconds))
