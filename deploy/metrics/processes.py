"""Read from /proc, at each scrape, what the server's processes use, under the names of Prometheus's own libraries.

All workers are one series, so that a new worker begins none. See docs/monitoring.md#processes.
"""

import math
import os
import re
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_PROC = Path("/proc")

# Fields of /proc/PID/stat behind the name of the program, which may have spaces: each is the number in proc(5), less three.
_FLAGS, _TIMES, _TIMES_OF_ENDED, _STARTED, _VIRTUAL, _RESIDENT = 6, (11, 12), (13, 14), 19, 20, 21

# PF_FORKNOEXEC of linux/sched.h. On USR2 the new master, a child of the old one, replaces its program; workers never do.
_NEVER_REPLACED = 0x40

_PSS = re.compile(rb"^Pss: +(\d+) kB", re.MULTILINE)

_CPU = "process_cpu_seconds"

#: By name: the text, and how the values of several workers become one.
_METRICS: Mapping[str, tuple[str, Callable[[Iterable[float]], float]]] = {
    _CPU: ("CPU time, user and system; of workers, also of those that have ended.", sum),
    "process_resident_memory_bytes": ("Resident memory; a page that processes share counts in each of them.", sum),
    "process_proportional_memory_bytes": ("Resident memory; of a shared page each process has its share (PSS).", sum),
    "process_virtual_memory_bytes": ("Virtual memory.", sum),
    "process_open_fds": ("Open file descriptors; of workers, the number of the one that has most.", max),
    "process_max_fds": ("How many file descriptors one process may open.", max),
    "process_start_time_seconds": ("When the process started, since the epoch; of workers, the latest.", max),
}


class ServerProcesses:
    """A collector of what the master, its workers and this process, which serves the metrics, use."""

    def __init__(self, master: int) -> None:
        """Take the process id of the master, the parent of the others."""
        self._master = master
        # systemd's `ProcSubset=pid` hides /proc/stat. Computed once, because the difference of two clocks jitters.
        self._booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._cpu_seconds_of_workers = 0.0

    def collect(self) -> Iterable[Metric]:
        """Return what the processes use now."""
        found = self._values()
        for name, (text, _) in _METRICS.items():
            kind = CounterMetricFamily if name == _CPU else GaugeMetricFamily
            metric = kind(name, text, labels=("process",))
            for process, values in found.items():
                if name in values:
                    metric.add_metric((process,), values[name])
            yield metric

    def _values(self) -> dict[str, dict[str, float]]:
        # The master is read first. A worker that ends meanwhile is then missing, which max() covers, instead of counted twice.
        stat = _stat_of(self._master)
        alive = {pid: fields for pid in _children_of(self._master) if (fields := _stat_of(pid))}
        workers = {pid: fields for pid, fields in alive.items() if pid != os.getpid() and fields[_FLAGS] & _NEVER_REPLACED}
        found = {
            "master": self._use_of(self._master, stat),
            "metrics": self._use_of(os.getpid(), _stat_of(os.getpid())),
            "worker": _join([self._use_of(pid, fields) for pid, fields in workers.items()]),
        }
        cpu_seconds = found["worker"].get(_CPU, 0) + _seconds(stat, _TIMES_OF_ENDED)
        self._cpu_seconds_of_workers = found["worker"][_CPU] = max(self._cpu_seconds_of_workers, cpu_seconds)
        return found

    def _use_of(self, pid: int, stat: list[int]) -> dict[str, float]:
        """Return what a process uses, by metric; a zombie has only its times left."""
        if not stat:
            return {}
        values = (
            _seconds(stat, _TIMES),
            stat[_RESIDENT] * resource.getpagesize(),
            _proportional_bytes(pid),
            stat[_VIRTUAL],
            _open_files(pid),
            _most_files(pid),
            self._booted_at + _seconds(stat, (_STARTED,)),
        )
        return dict(zip(_METRICS, values, strict=True))


def _join(uses: list[dict[str, float]]) -> dict[str, float]:
    return {name: join([use[name] for use in uses]) for name, (_, join) in _METRICS.items() if uses}


def _children_of(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in (_PROC / f"{pid}/task/{pid}/children").read_text().split()]
    return []


def _stat_of(pid: int) -> list[int]:
    """Return the numbers of /proc/PID/stat, the state as 0; empty if the process is gone."""
    with suppress(OSError):
        fields = (_PROC / f"{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return [0, *map(int, fields[1:])]
    return []


def _seconds(stat: list[int], places: Iterable[int]) -> float:
    return sum(stat[place] for place in places) / os.sysconf("SC_CLK_TCK") if stat else 0


def _proportional_bytes(pid: int) -> int:
    with suppress(OSError):
        found = _PSS.search((_PROC / f"{pid}/smaps_rollup").read_bytes())
        return int(found[1]) * 1024 if found else 0
    return 0


def _open_files(pid: int) -> int:
    with suppress(OSError):
        return len(os.listdir(_PROC / f"{pid}/fd"))  # noqa: PTH208 - iterdir would make a Path of each of thousands
    return 0


def _most_files(pid: int) -> float:
    with suppress(OSError):
        most = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        return math.inf if most == resource.RLIM_INFINITY else most
    return 0
