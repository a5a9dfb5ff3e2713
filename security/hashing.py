"""The hashing thread: one password at a time, at low priority, so that sign-ins do not slow other requests."""

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from security.errors import TooManyPasswords
from security.fair_queue import FairQueue, Requester

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: The requester of work that no client asked for.
NOBODY = Requester()

# The kernel then gives the thread a thirtieth of the time of a busy request thread, and all the time that is left over.
_NICENESS = 15

# Refusals are logged at most once in this many seconds.
_SECONDS_BETWEEN_WARNINGS = 10


@dataclass(eq=False, slots=True)
class _Turn:
    """Work that waits for its turn, and its result. `queued_at` is monotonic time, in seconds."""

    work: Callable[[], Any]
    requester: Requester
    queued_at: float
    result: Future[Any] = field(default_factory=Future)


class HashingThread:
    """Runs the hashing of one process, one turn at a time. A few callers may wait, the others are refused with 503.

    Networks take turns, and so do the user names in a network, so that no client gets all the turns. If the queue is full, a
    client with many waiting turns loses the newest to a client with few. Each waiting caller occupies a server thread: run
    more threads than the queue is long, or reads will wait too.
    """

    def __init__(self, most_waiting: int, wait_seconds: int) -> None:
        self._most_inside = most_waiting + 1
        self._wait_seconds = wait_seconds
        #: Since the start of this process: refusals, turns, and the total wait of those turns.
        self.refused_total = 0
        self.turns_total = 0
        self.waited_seconds_total = 0.0
        self._warned_at = float("-inf")
        self._observe: Callable[[int], object] = lambda _inside: None
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    def _reset(self) -> None:
        """Empty the queue. The thread starts at the first turn, since a fork does not copy threads."""
        self._lock = threading.Lock()
        #: The number of callers that wait, or whose turn it is.
        self.inside = 0
        self._waiting: FairQueue[_Turn] = FairQueue()
        self._executor = ThreadPoolExecutor(1, "hashing", lower_priority)

    def watch(self, observe: Callable[[int], object]) -> None:
        """Call `observe` with `inside` whenever that changes. The call holds a lock, so `observe` must not block."""
        self._observe = observe

    def require_room(self, requester: Requester = NOBODY) -> None:
        """Raise 503 now if the queue has no room for this requester, before the caller does other work."""
        with self._lock:
            has_room = self.inside < self._most_inside or self._waiting.displaceable(requester) is not None
        if not has_room:
            raise self._refusal()

    def run(self, work: Callable[[], Result], requester: Requester = NOBODY) -> Result:
        """Do work in one turn, and return its result or raise its exception. Call it without holding a connection or a lock.

        Raises 503 if the queue is full, if another client displaces this turn, or if the turn does not come in time. Then the
        work is never done.
        """
        turn = _Turn(work, requester, time.monotonic())
        self._enter(turn)
        try:
            self._executor.submit(self._take_next)
            wait([turn.result], self._wait_seconds)
            with self._lock:
                still_waits = self._waiting.discard(requester, turn)
            if still_waits:
                raise self._refusal()
            return cast("Result", turn.result.result())  # a turn that has begun is never cut off
        finally:
            with self._lock:
                self.inside -= 1
                self._observe(self.inside)

    def _enter(self, turn: _Turn) -> None:
        """Queue a turn; if the queue is full, displace another one. Raises 503."""
        with self._lock:
            is_full = self.inside >= self._most_inside
            displaced = self._waiting.displace_for(turn.requester) if is_full else None
            has_room = displaced is not None or not is_full
            if has_room:
                self._waiting.add(turn.requester, turn)
                self.inside += 1
                self._observe(self.inside)
        if not has_room:
            raise self._refusal()
        if displaced is not None:
            displaced.result.set_exception(self._refusal())

    def _take_next(self) -> None:
        """Run the next turn, if there still is one."""
        with self._lock:
            turn = self._waiting.take()
        if turn is None:
            return
        self.turns_total += 1
        self.waited_seconds_total += time.monotonic() - turn.queued_at
        try:
            turn.result.set_result(turn.work())
        except BaseException as failure:
            turn.result.set_exception(failure)

    def _refusal(self) -> TooManyPasswords:
        now = time.monotonic()
        with self._lock:
            self.refused_total += 1
            is_due = now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS
            if is_due:
                self._warned_at = now
        if is_due:
            logger.warning("more passwords to hash than this process can", extra={"refused_total": self.refused_total})
        # After that time every caller that waits now has been served or refused.
        return TooManyPasswords(retry_after=self._wait_seconds)


def lower_priority() -> None:
    """Lower the priority of this thread, on Linux only: other systems would lower that of the whole process."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it, or the process has a lower priority already
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
