"""The verdict of `make soak`: each bound fails when it should, and only then. No server runs here."""

from dataclasses import replace

import pytest

from benchmarks.soak_bounds import Seen, Worker, bounds, wrong_rows
from benchmarks.soak_load import CLIENTS, EXPECTED, KINDS

KILL = 100.0
STEADY = Worker(7, [80.0, 80.5, 80.2, 80.4] * 4, [30, 34, 31, 30] * 4)
QUIET = Seen([("read", 1.0, 1.1, 200), ("create", 2.0, 2.1, 201)], [KILL], [STEADY], [], [], [])


def broken(seen: Seen) -> list[str]:
    return [name for name, _, held in bounds(seen) if not held]


def test_a_quiet_soak_breaks_nothing() -> None:
    assert broken(QUIET) == []
    told = [*QUIET.answers, ("sign in, told to come back", 3.0, 3.1, 503), ("sign in", 4.0, 4.5, 200)]
    assert broken(replace(QUIET, answers=told)) == [], "503 under too many sign-ins is a documented answer"


@pytest.mark.parametrize(
    "answer",
    [
        ("read", 1.0, 1.1, 500),
        ("read, told to come back", 1.0, 1.1, 503),
        ("sign in", 1.0, 1.1, 503),
        ("sign in", 1.0, 1.1, 401),
        ("create", 1.0, 1.1, 200),
        ("unchanged", 1.0, 1.1, 200),
        ("read", 98.0, 99.9, 0),
        ("read", 100.5, 101.0, 0),
    ],
    ids=str,
)
def test_a_request_that_failed_breaks_its_bound(answer: tuple[str, float, float, int]) -> None:
    assert [name[:20] for name in broken(replace(QUIET, answers=[answer]))] == ["requests that failed"]


def test_what_was_in_a_killed_worker_may_be_lost_and_no_more() -> None:
    lost = [("read", 99.9, 100.1, 0)] * (CLIENTS + 1)
    assert broken(replace(QUIET, answers=lost)) == []
    assert [name[:17] for name in broken(replace(QUIET, answers=[*lost, lost[0]]))] == ["requests that wer"]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("wrong_rows", ["soak1n1 is not there"]),
        ("error_lines", ["unexpected failure of users.list"]),
        ("missing_events", ["reload"]),
        ("workers", [Worker(8, [80.0, 81.0, 83.0, 85.0], [30] * 4)]),
        ("workers", [Worker(9, [80.0] * 4, [30, 30, 60, 90])]),
    ],
)
def test_each_other_bound_can_break(part: str, value: list[object]) -> None:
    assert len(broken(replace(QUIET, **{part: value}))) == 1


def test_rows_are_as_they_were_answered() -> None:
    users = {
        "one": {"firstname": [""], "deleted": [False]},
        "two": {"firstname": ["v1", "v2"], "deleted": [False]},
        "three": {"firstname": ["v3"], "deleted": [False, True]},
    }
    rows = {"one": (None, False), "two": ("v2", False), "three": ("v3", True), "of a lost answer": ("", False)}
    assert wrong_rows(users, rows) == []
    assert wrong_rows(users, rows | {"one": ("x", True)}) == ["one is called 'x', not ['']", "one is deleted"]
    assert wrong_rows(users, {name: rows[name] for name in ("one", "three")}) == ["two is not there"]


def test_kinds_make_a_whole() -> None:
    assert sum(KINDS.values()) == 100
    assert set(EXPECTED) <= set(KINDS)


def test_during_a_failover_any_request_may_be_told_to_come_back_and_good_writes_return_in_time() -> None:
    gone, ready = 200.0, 203.0
    told = [("read, told to come back", 200.5, 201.0, 503), ("create, told to come back", 202.0, 212.0, 503)]
    writes = [("create", 199.0, 199.9, 201), ("change", 205.0, 206.0, 200)]
    assert broken(replace(QUIET, answers=[*writes, *told], failovers=[(gone, ready)])) == []
    late = [("read, told to come back", 214.0, 214.1, 503)]
    assert [name[:20] for name in broken(replace(QUIET, answers=[*writes, *late], failovers=[(gone, ready)]))] == [
        "requests that failed"
    ]
    slow = [writes[0], ("change", 213.0, 213.1, 200)]
    assert [name[:28] for name in broken(replace(QUIET, answers=slow, failovers=[(gone, ready)]))] == [
        "seconds without a good write"
    ]
