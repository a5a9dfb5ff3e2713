"""Programs that tests need and that may not be installed."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

from benchmarks.services import NotInstalled

Found = TypeVar("Found")


def needed(make: Callable[[], Found]) -> Found:
    """Return what `make` finds or starts. If it is not installed the test is skipped, or fails under REQUIRE_SERVICES=1."""
    try:
        return make()
    except NotInstalled as reason:
        (pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip)(str(reason))
