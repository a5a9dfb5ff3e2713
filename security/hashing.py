"""Where requests hash passwords: one at a time, on a thread that gives way to all others, so that sign-ins slow no read."""

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

from werkzeug.exceptions import ServiceUnavailable

from security.fair_queue import FairQueue, Requester

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Work that no client asks for.
NOBODY = Requester()

# The kernel gives such a thread a thirtieth of what it gives one of a request, and all that is left where none is busy.
_NICENESS = 15

# A storm is worth a line now and then, not one a refusal.
_SECONDS_BETWEEN_WARNINGS = 10


@dataclass(eq=False, slots=True)
class _Turn:
    """Work that waits for its turn, and what becomes of it."""

    work: Callable[[], Any]
    requester: Requester
    asked_at: float
    result: Future[Any] = field(default_factory=Future)

    def take(self) -> None:
        """Do the work."""
        try:
            self.result.set_result(self.work())
        except BaseException as failure:
            self.result.set_exception(failure)


class HashingThread:
    """Does the hashing of one process in turns: one at a time, few wait, and the rest are refused.

    Turns are dealt round, first by network and then by user, so that no client takes them all. Where the queue is full, a
    client with many waiting turns loses the newest of them to one with few. Each waiting caller occupies a server thread:
    run more threads than the queue is long, or reads will wait too.
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
        #: How many wait or are being hashed for.
        self.inside = 0
        self._waiting: FairQueue[_Turn] = FairQueue()
        self._executor = ThreadPoolExecutor(1, "hashing", _give_way)

    def watch(self, tell: Callable[[int], object]) -> None:
        """Have somebody told how many are inside, whenever that changes; under a lock, so in no time."""
        self._tell = tell

    def require_room(self, requester: Requester = NOBODY) -> None:
        """Raise 503 where this requester would find no room: cheaper than finding out after other work."""
        with self._lock:
            has_room = self._is_open_to(requester)
        if not has_room:
            raise self._refusal()

    def run(self, work: Callable[[], Result], requester: Requester = NOBODY) -> Result:
        """Do work in one turn, and return or raise what it does. Hold no connection and no lock meanwhile.

        Raises 503 where there is no room, where the turn goes to a client that waits with less, or where it does not come in
        time; the work is not done then, nor later.
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
            return cast("Result", turn.result.result())  # what has begun is waited for
        finally:
            with self._lock:
                self.inside -= 1
                self._tell(self.inside)

    def _is_open_to(self, requester: Requester) -> bool:
        return self.inside < self._most_inside or self._waiting.displaceable(requester) is not None

    def _enter(self, turn: _Turn) -> None:
        """Queue a turn, in the place of another one if need be. Raises 503."""
        displaced = None
        with self._lock:
            has_room = self._is_open_to(turn.requester)
            if has_room:
                if self.inside >= self._most_inside:
                    displaced = self._waiting.displace_for(turn.requester)
                self._waiting.add(turn.requester, turn)
                self.inside += 1
                self._tell(self.inside)
        if not has_room:
            raise self._refusal()
        if displaced is not None:
            displaced.result.set_exception(self._refusal())

    def _take_next(self) -> None:
        """Take the turn that is next by now; there may be fewer than were queued."""
        with self._lock:
            turn = self._waiting.take()
        if turn is not None:
            self.turns_total += 1
            self.waited_seconds_total += time.monotonic() - turn.asked_at
            turn.take()

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
