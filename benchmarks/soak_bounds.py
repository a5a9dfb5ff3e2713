"""The bounds of a soak, as pure functions of the observations."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.soak_load import CLIENTS, EXPECTED, TOLD

#: kind, begin, end, status; see soak_load.Client.
Answer = Sequence[Any]

MOST_GROWTH = 0.05
#: A late thread opens a file or two. A leak in one of a thousand requests would be many times more.
MOST_DESCRIPTORS = 16
#: After a failover of the database, answers are good again this many seconds after the promotion.
MOST_SECONDS_TO_RETURN = 10
_WRITES = frozenset(("create", "change", "delete"))
#: A client may notice a kill this many seconds later.
MOMENT = 0.25


@dataclass
class Worker:
    """A worker during the weighing: samples of its memory in MB and of its open descriptors."""

    pid: int
    pss: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def quarters(self, samples: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
        """Return the first and the last quarter."""
        size = max(1, len(samples) // 4)
        return samples[:size], samples[-size:]

    @property
    def growth(self) -> float:
        """Return the relative growth of memory, from the median of the first quarter to that of the last."""
        first, last = (statistics.median(part) for part in self.quarters(self.pss))
        return last / first - 1

    @property
    def more_descriptors(self) -> int:
        """Return the growth of the minimum, because requests open and close descriptors."""
        first, last = (min(part) for part in self.quarters(self.descriptors))
        return int(last - first)


@dataclass
class Seen:
    """The observations of a soak."""

    answers: Sequence[Answer]
    kills: Sequence[float]
    workers: Sequence[Worker]
    #: Faults of rows, one line each.
    wrong_rows: Sequence[str]
    #: Lines of level `error` that no kill explains.
    error_lines: Sequence[str]
    missing_events: Sequence[str]
    #: Begin and end of each failover of the database.
    failovers: Sequence[tuple[float, float]] = ()

    def unavailable_seconds(self) -> list[float]:
        """Return for each failover the longest time without a good write."""
        ends = sorted(end for kind, _, end, status in self.answers if kind in _WRITES and status == EXPECTED.get(kind, 200))
        gaps = list(pairwise(ends))
        return [max((b - a for a, b in gaps if b > begun and a < ended), default=float("inf")) for begun, ended in self.failovers]


def is_good(answer: Answer, failovers: Sequence[tuple[float, float]] = ()) -> bool:
    """Tell whether an answer is a declared one. During a failover of the database, any request may be told to come back."""
    kind, begun, ended, status = answer
    if kind.endswith(TOLD) and any(ended >= gone and begun <= ready + MOST_SECONDS_TO_RETURN for gone, ready in failovers):
        return True
    return bool(status == EXPECTED.get(kind, 200) or kind == f"sign in{TOLD}")


def was_in_killed_worker(answer: Answer, kills: Sequence[float]) -> bool:
    """Tell whether an unanswered request was under way when a worker was killed."""
    _, begun, ended, status = answer
    return status == 0 and any(begun <= kill + MOMENT and ended >= kill for kill in kills)


def bounds(seen: Seen) -> list[tuple[str, str, bool]]:
    """Return each bound: its name, the finding, and whether it held."""
    bad = [answer for answer in seen.answers if not is_good(answer, seen.failovers)]
    lost = [answer for answer in bad if was_in_killed_worker(answer, seen.kills)]
    others = [f"{answer[0]}: {answer[3]}" for answer in bad if answer not in lost]
    found = [
        ("requests that failed, but for those of killed workers: 0", _listed(others), not others),
        (f"requests that were lost with a killed worker: {CLIENTS + 1} each at most", str(len(lost)), _are_few(lost, seen.kills)),
        ("rows that are not as they were answered: 0", _listed(seen.wrong_rows), not seen.wrong_rows),
        ("lines of level error in the log: 0", _listed(seen.error_lines), not seen.error_lines),
        ("events that did not come to their end: 0", _listed(seen.missing_events), not seen.missing_events),
    ]
    for (begun, ready), seconds in zip(seen.failovers, seen.unavailable_seconds(), strict=True):
        most = ready - begun + MOST_SECONDS_TO_RETURN
        name = f"seconds without a good write, with {ready - begun:.1f} to the promotion: {most:.1f} at most"
        found.append((name, f"{seconds:.1f}", seconds <= most))
    for worker in seen.workers:
        said = f"{worker.growth:+.1%}"
        found.append((f"memory of worker {worker.pid}: +{MOST_GROWTH:.0%} at most", said, worker.growth < MOST_GROWTH))
        more = worker.more_descriptors
        found.append((f"descriptors of worker {worker.pid}: +{MOST_DESCRIPTORS} at most", f"{more:+d}", more <= MOST_DESCRIPTORS))
    return found


def _are_few(lost: Sequence[Answer], kills: Sequence[float]) -> bool:
    return all(sum(was_in_killed_worker(answer, [kill]) for answer in lost) <= CLIENTS + 1 for kill in kills)


def _listed(things: Sequence[str]) -> str:
    counted = {thing: things.count(thing) for thing in things}
    named = ", ".join(f"{number} x {thing}" for thing, number in list(counted.items())[:5])
    return f"{len(things)} ({named})" if things else "0"


def wrong_rows(users: Mapping[str, Mapping[str, Any]], rows: Mapping[str, tuple[str | None, bool]]) -> list[str]:
    """Compare users as answered with their rows. Returns one line per fault."""
    wrong = []
    for username, user in users.items():
        if username not in rows:
            wrong.append(f"{username} is not there")
            continue
        firstname, is_deleted = rows[username]
        if (firstname or "") not in user["firstname"]:
            wrong.append(f"{username} is called {firstname!r}, not {user['firstname']}")
        if is_deleted not in user["deleted"]:
            wrong.append(f"{username} is {'' if is_deleted else 'not '}deleted")
    return wrong
