"""Run tests on several processes (pytest-xdist): which share a process, in which order, and which run alone."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pytest

#: The folders whose tests take longest, and wait for most of that time.
SLOW_FOLDERS = ("system", "clients", "campus")

#: When the last of the slow groups begins, as a part of all tests: no process shall have a long one left at the end.
LAST_SLOW = 0.75


def group_of(item: pytest.Item) -> str:
    """Name the group of a test, which runs on one process: its file, whose tests share servers, and its kind of database."""
    if item.get_closest_marker("quiet"):
        return "quiet"
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    kind = parameters.get("database") or parameters.get("kind")
    return item.path.stem + (f"-{kind}" if isinstance(kind, str) else "")


def is_slow(item: pytest.Item) -> bool:
    return item.path.parent.name in SLOW_FOLDERS or item.get_closest_marker("early") is not None


def places_of(groups: dict[str, list[pytest.Item]]) -> dict[str, float]:
    """Return where each group begins, from 0 to 1.

    Large ones come first. Slow ones, which mostly wait, are spread between them by their names, after `early` ones.
    """
    slow = [name for name, items in groups.items() if is_slow(items[0])]
    slow.sort(key=lambda name: (groups[name][0].get_closest_marker("early") is None, name))
    others = sorted(groups.keys() - set(slow), key=lambda name: (-len(groups[name]), name))
    tests_before = accumulate((len(groups[name]) for name in others), initial=0)
    total = sum(len(groups[name]) for name in others)
    places = {name: LAST_SLOW * number / len(slow) for number, name in enumerate(slow)}
    return places | {name: before / total for name, before in zip(others, tests_before, strict=False)}


def arrange(items: list[pytest.Item]) -> None:
    """Put groups at their places, and `quiet` tests, for which all processes wait, last. Within a group the random order stays."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(group_of(item), []).append(item)
    places = places_of(groups) | {"quiet": 1}
    items.sort(key=lambda item: (places[group := group_of(item)], group))


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
