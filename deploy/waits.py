"""Have the loop of a worker wait for clients, so that waiting connections occupy no thread."""

import math
import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Any

Step = Callable[[Any], None]


class Waits:
    """Connections that wait until they are readable or writable, or time out. Only the thread of the loop may use this."""

    def __init__(self, poller: selectors.BaseSelector) -> None:
        self._poller = poller
        self._waiting: dict[Any, tuple[float, Step]] = {}
        self._next_end = math.inf

    def add(self, conn: Any, until: float, ready: Step, over: Step, event: int = selectors.EVENT_READ) -> None:
        """Call `ready` once the client has sent something, or, with EVENT_WRITE, has read something.

        Call `over` instead at `until`, a time of the monotonic clock.
        """
        conn.sock.setblocking(False)
        self._poller.register(conn.sock, event, partial(self._wake, conn, ready))
        self._waiting[conn] = until, over
        self._next_end = min(self._next_end, until)

    def hasten(self, over: Step, until: float) -> None:
        """Shorten all waits that have the step `over`, so that they end by `until`."""
        for conn, (given, step) in self._waiting.items():
            if step == over:
                self._waiting[conn] = min(given, until), over
        self._next_end = min(self._next_end, until)

    def seconds_left(self, most: float) -> float:
        """Return how long the loop may sleep, at most `most`."""
        return min(most, max(0.0, self._next_end - time.monotonic()))

    def end_those_over(self) -> None:
        """Call `over` for every wait that has timed out."""
        now = time.monotonic()
        if now < self._next_end:
            return
        ended = [(conn, over) for conn, (until, over) in self._waiting.items() if until <= now]
        for conn, over in ended:
            self.remove(conn)
            over(conn)
        self._next_end = min((until for until, _ in self._waiting.values()), default=math.inf)

    def remove(self, conn: Any) -> None:
        """Stop waiting for a connection."""
        del self._waiting[conn]
        self._poller.unregister(conn.sock)

    def _wake(self, conn: Any, ready: Step, _sock: object) -> None:
        self.remove(conn)
        ready(conn)
