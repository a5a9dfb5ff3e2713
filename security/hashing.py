"""Where requests hash passwords: one at a time, on a thread that gives way to all others, so that sign-ins slow no read."""

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar

from werkzeug.exceptions import ServiceUnavailable

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# The kernel gives such a thread a thirtieth of what it gives one of a request, and all that is left where none is busy.
_NICENESS = 15

# A storm is worth a line now and then, not one a refusal.
_SECONDS_BETWEEN_WARNINGS = 10


class HashingThread:
    """Does the hashing of one process in turns: one at a time, a few wait, and whoever comes on top is refused.

    Who waits keeps a thread of the server: it needs more of them than may wait here, or reads wait as well.
    """

    def __init__(self, most_waiting: int, wait_seconds: int) -> None:
        """Take how many may wait for their turn, and how long."""
        self._most_inside = most_waiting + 1
        self._wait_seconds = wait_seconds
        #: Since the start of this process: refusals, turns, and the seconds that passed before those turns.
        self.refused_total = 0
        self.turns_total = 0
        self.waited_seconds_total = 0.0
        self._warned_at = float("-inf")
        self._tell: Callable[[int], object] = _tell_nobody
        self._begin()
        begin = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin(self) -> None:
        """Begin without anyone inside. The thread itself starts at the first turn: a fork leaves it behind."""
        self._lock = threading.Lock()
        #: How many wait or are at it.
        self.inside = 0
        self._executor = ThreadPoolExecutor(1, "hashing", _give_way)

    def watch(self, tell: Callable[[int], object]) -> None:
        """Have somebody told how many are inside, whenever that changes; under a lock, so in no time."""
        self._tell = tell

    def require_room(self) -> None:
        """Raise 503 where no more may wait: cheaper than to find out after work of one's own."""
        if self.inside >= self._most_inside:
            raise self._refusal()

    def run(self, work: Callable[[], Result]) -> Result:
        """Do work in one turn, and return or raise what it does. Hold no connection and no lock meanwhile.

        Raises 503 where no more may wait, or where the turn does not come in time; the work is not done then, nor later.
        """
        with self._lock:
            has_room = self.inside < self._most_inside
            self.inside += has_room
        if not has_room:
            raise self._refusal()
        try:
            with self._lock:
                self._tell(self.inside)
            turn = self._executor.submit(self._take_turn, work, time.monotonic())
            wait([turn], self._wait_seconds)
            if turn.cancel():  # not begun: what has begun cannot be cancelled, and is waited for
                raise self._refusal()
            return turn.result()
        finally:
            with self._lock:
                self.inside -= 1
                self._tell(self.inside)

    def _take_turn(self, work: Callable[[], Result], asked_at: float) -> Result:
        self.turns_total += 1
        self.waited_seconds_total += time.monotonic() - asked_at
        return work()

    def _refusal(self) -> ServiceUnavailable:
        now = time.monotonic()
        with self._lock:
            self.refused_total += 1
            warns = now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS
            if warns:
                self._warned_at = now
        if warns:
            logger.warning("more passwords to hash than this process can", extra={"refused_total": self.refused_total})
        # Whoever waits now is served or refused by then.
        return ServiceUnavailable("Too many passwords are being checked at the moment.", retry_after=self._wait_seconds)


def _tell_nobody(_inside: int) -> None:
    """Stand in for whoever watches."""


def _give_way() -> None:
    """Lower the priority of this thread, which only Linux can: elsewhere it would be that of the process."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it, and a process may be nicer already
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
