"""Start `python -m gunicorn` and `python -m flask` in forks of one process that has loaded the server.

Loading it takes a new Python about a second of processor time, which is more than most tests of servers take otherwise.
"""

import atexit
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Protocol

from config.settings import ROOT

LOADED = Path(__file__).with_name("loaded.py")

#: More than an answer has.
ANSWER_BYTES = 100


class Process(Protocol):
    """What tests use of a process: a `subprocess.Popen`, or a fork."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


class Forks:
    """The process that is forked, and the connection on which it is asked to."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = (sys.executable, str(LOADED), str(theirs.fileno()))
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)}, pass_fds=[theirs.fileno()], **streams
        )
        theirs.close()
        atexit.register(self.close)

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], streams: tuple[int, int]) -> "Forked":
        """Run a module, `words` being its name and its arguments, with two descriptors as output and errors."""
        wanted = json.dumps({"words": words, "folder": str(folder), "environment": dict(environment)}).encode()
        return Forked(self, self._ask(wanted, streams))

    def status_of(self, pid: int) -> int:
        """Return the exit status of a fork that has ended."""
        return self._ask(str(pid).encode())

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    def _ask(self, question: bytes, descriptors: Sequence[int] = ()) -> int:
        with self._lock:
            socket.send_fds(self._control, [question], descriptors)
            return int(self._control.recv(ANSWER_BYTES))


class Forked:
    """A fork. It is no child of this process, so a descriptor tells when it ends, and its parent tells the exit status."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self._forks, self.pid = forks, pid
        self._ended = os.pidfd_open(pid)
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None and select.select([self._ended], [], [], 0)[0]:
            self._status = self._forks.status_of(self.pid)
            os.close(self._ended)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None and not select.select([self._ended], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


@lru_cache(maxsize=1)
def forks() -> Forks:
    """Return the process that is forked; the first call starts it."""
    return Forks(os.environ)
