"""Run tests on several processes (pytest-xdist): which share a process, in which order, and which run alone."""

import fcntl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: The folders whose tests take longest run first, so that no process has a long one left at the end.
SLOW_FOLDERS = ("system", "clients", "campus")


def group_of(item: pytest.Item) -> str:
    """Name the group of a test, which runs on one process: its file, whose tests share servers, and its kind of database."""
    if item.get_closest_marker("quiet"):
        return "quiet"
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    kind = parameters.get("database") or parameters.get("kind")
    return item.path.stem + (f"-{kind}" if isinstance(kind, str) else "")


def rank_of(item: pytest.Item) -> int:
    """Return the rank of a test's folder; `early` tests come before all, and `quiet` ones, for which all processes wait, last."""
    if item.get_closest_marker("quiet"):
        return len(SLOW_FOLDERS) + 1
    if item.get_closest_marker("early"):
        return -1
    folder = item.path.parent.name
    return SLOW_FOLDERS.index(folder) if folder in SLOW_FOLDERS else len(SLOW_FOLDERS)


def arrange(items: list[pytest.Item]) -> None:
    """Put early tests and slow folders first, and then large groups. Within a group the random order stays."""
    groups = {item: group_of(item) for item in items}
    sizes = Counter(groups.values())
    items.sort(key=lambda item: (rank_of(item), -sizes[groups[item]], groups[item]))


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until this process may run a test: beside other processes, or alone."""
    with (folder / "queue").open("w") as queue, (folder / "machine").open("w") as machine:
        # The queue keeps other tests from overtaking one that waits to be alone.
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # Closing would not unlock while a child of the test holds the file open.
            fcntl.flock(machine, fcntl.LOCK_UN)
