"""Tests on several processes (pytest-xdist): which stay together, in which order they run, and which run alone."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: The folders whose tests take longest run first, so that no process has a long one left at the end.
SLOW_FOLDERS = ("system", "clients", "campus")


def group_of(item: pytest.Item) -> str:
    """Name the tests that run on one process: those of a file, which share its servers, apart for each kind of database."""
    if item.get_closest_marker("quiet"):
        return "quiet"
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    kind = parameters.get("database") or parameters.get("kind")
    return item.path.stem + (f"-{kind}" if isinstance(kind, str) else "")


def rank_of(item: pytest.Item) -> int:
    """Return the place of a test's folder in the order; `quiet` tests, which everybody waits for, are last."""
    if item.get_closest_marker("quiet"):
        return len(SLOW_FOLDERS) + 1
    folder = item.path.parent.name
    return SLOW_FOLDERS.index(folder) if folder in SLOW_FOLDERS else len(SLOW_FOLDERS)


def arrange(items: list[pytest.Item]) -> None:
    """Put tests into groups, and the groups that take longest first; the random order stays within a folder."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=rank_of)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until this process may run a test: beside those of other processes, or while none of them runs one."""
    with (folder / "queue").open("w") as queue, (folder / "machine").open("w") as machine:
        # The queue lets nobody overtake a test that waits to be alone.
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # Closing is not enough while a child of the test holds the file open.
            fcntl.flock(machine, fcntl.LOCK_UN)
