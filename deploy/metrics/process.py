"""Counting across gunicorn's workers, and the process beside them that serves the sum.

A worker counts in files that it maps into its memory (prometheus_client's multiprocess mode), so that what it counted is
there however it ends. The files are numbered by slots, not by process ids: a worker takes the slot of one that has ended, and
goes on with its counts. So there are few files, however many workers come and go.
"""

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NoReturn

from flask import Flask
from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

from deploy.metrics.counters import Metrics, count_requests
from deploy.metrics.server import serve

logger = logging.getLogger(__name__)

# The files are written through memory: where the disk turns out to be full then, the kernel ends the process. So they
# are given their room before. It is enough for all routes, and what is not is made when it is needed.
_FILE_BYTES = {"counter": 16 * 1024, "histogram": 1024 * 1024, "gauge_livesum": 4096}

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the folder in it is for this user alone

# What a terminal or an operator sends to the whole group is for the master, who ends this process.
_NOT_FOR_US = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU)


class MetricsProcess:
    """What the master keeps: the folder of the counts, and the process that serves their sum."""

    def __init__(self, port: int) -> None:
        """Take the port to serve on, and make the folder."""
        self.port = port
        memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="poort-metrics-", dir=memory))
        # The library is told by the environment, which the workers inherit.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._folder)
        self._pid = 0

    def run(self, listeners: Iterable[socket.socket]) -> None:
        """Start the process, unless it runs; `listeners` are the master's, which it is not to keep open."""
        if self._is_running():
            return
        master = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            for listener in listeners:
                listener.close()
            self._live(master)

    def remove(self) -> None:
        """End the process, and remove what was counted."""
        if self._is_running():
            os.kill(self._pid, signal.SIGTERM)
            os.waitpid(self._pid, 0)
        self._pid = 0
        shutil.rmtree(self._folder, ignore_errors=True)

    def take_slot(self, taken: Collection[int]) -> int:
        """Return the slot for a new worker: the first that none of those who live has; 0 where there is no room to count."""
        slot = next(number for number in range(1, len(taken) + 2) if number not in taken)
        self.leave_slot(slot)
        try:
            for kind, size in _FILE_BYTES.items():
                _make_room(self._folder / f"{kind}_{slot}.db", size)
        except OSError as reason:
            logger.error("a worker will not count its requests: %s", reason.strerror)
            return 0
        return slot

    def leave_slot(self, slot: int) -> None:
        """Forget what a worker that has ended had under way; what it counted stays."""
        mark_process_dead(slot, str(self._folder))  # type: ignore[no-untyped-call]

    def _is_running(self) -> bool:
        try:
            return self._pid != 0 and os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:  # gunicorn noticed its end before us
            return False

    def _live(self, master: int) -> NoReturn:
        """Serve, in the new process, until the master says that it is over, or is gone without a word."""
        for number in _NOT_FOR_US:
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        try:
            serve(self.port, self._folder, master)
            shutil.rmtree(self._folder, ignore_errors=True)
        except BaseException:
            logger.exception("the metrics are served no more")
        finally:
            os._exit(0)  # nothing of the master's is to be cleaned up here


def count_in_slot(app: Flask, slot: int) -> None:
    """Have the application of this worker count its requests in the files of a slot."""
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    count_requests(app, Metrics())


def _make_room(path: Path, size: int) -> None:
    with path.open("ab") as file:
        if file.tell() < size and sys.platform == "linux":
            os.posix_fallocate(file.fileno(), 0, size)
