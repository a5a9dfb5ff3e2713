"""Sum the counts of gunicorn's workers, and serve the sums from a separate process.

A worker counts in files that it maps into memory (prometheus_client's multiprocess mode), so its counts outlive it. The files
are numbered by slot, not by process id: a new worker takes the slot of an ended one and continues its counts. So the number of
files stays small however many workers come and go.
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
from typing import Any, NoReturn

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

from blueprints.parts import parts
from deploy.metrics.counters import Metrics, count_requests
from deploy.metrics.server import serve
from deploy.metrics.worker_state import WorkerState

logger = logging.getLogger(__name__)

# A mapped file that cannot grow because the disk is full kills the process, so the files get their space beforehand. This is
# enough for all routes.
_FILE_BYTES = {"counter": 16 * 1024, "histogram": 1024 * 1024, "gauge_livesum": 4096, "gauge_livemostrecent": 4096}

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the folder in it is for this user alone

# A terminal or an operator may send these signals to the whole process group. Only the master obeys them; it ends this process.
_FOR_MASTER = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU)


class MetricsProcess:
    """The master's handle on the folder of counts and on the process that serves their sum."""

    def __init__(self, port: int) -> None:
        self.port = port
        memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="poort-metrics-", dir=memory))
        # The library reads this variable, which the workers inherit.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._folder)
        self._pid = 0

    def run(self, listeners: Iterable[socket.socket]) -> None:
        """Start the process unless it runs. The new process closes the master's `listeners`."""
        if self._is_running():
            return
        master = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            for listener in listeners:
                listener.close()
            self._live(master)

    def remove(self) -> None:
        """Stop the process and remove the counts."""
        if self._is_running():
            os.kill(self._pid, signal.SIGTERM)
            os.waitpid(self._pid, 0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def take_slot(self, taken: Collection[int]) -> int:
        """Return the first slot that no living worker has; 0 if the disk has no room for its files."""
        slot = next(number for number in range(1, len(taken) + 2) if number not in taken)
        self.leave_slot(slot)
        try:
            for kind, size in _FILE_BYTES.items():
                with (self._folder / f"{kind}_{slot}.db").open("ab") as file:
                    if file.tell() < size and sys.platform == "linux":
                        os.posix_fallocate(file.fileno(), 0, size)
        except OSError as reason:
            logger.error("a worker will not count its requests: %s", reason.strerror)
            return 0
        return slot

    def leave_slot(self, slot: int) -> None:
        """Reset the gauges of an ended worker. Its counters stay."""
        mark_process_dead(slot, str(self._folder))  # type: ignore[no-untyped-call]

    def _is_running(self) -> bool:
        try:
            return self._pid != 0 and os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:  # gunicorn has already waited for it
            return False

    def _live(self, master: int) -> NoReturn:
        """Serve in the new process until the master stops it or has ended."""
        for number in _FOR_MASTER:
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        try:
            serve(self.port, self._folder, master)
            shutil.rmtree(self._folder, ignore_errors=True)
        except BaseException:
            logger.exception("the metrics are no longer served")
        finally:
            os._exit(0)  # skips the clean-up, which is the master's job


def count_in_slot(worker: Any) -> None:
    """Have this worker count its requests and connections in the files of its slot."""
    app, slot = worker.wsgi, worker.metrics_slot
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    count_requests(app, Metrics())
    with app.app_context():
        worker.look = WorkerState(parts().settings.jwt_secret_key).look
