"""Connections that wait for their clients in the loop of a worker, and so without a thread."""

import math
import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Any

Step = Callable[[Any], None]


class Waits:
    """What waits, each until it can be read or its time is over. Only the thread of the loop may use it."""

    def __init__(self, poller: selectors.BaseSelector) -> None:
        """Wait with the poller of the loop."""
        self._poller = poller
        self._waiting: dict[Any, tuple[float, Step]] = {}
        self._next_end = math.inf

    def add(self, conn: Any, until: float, readable: Step, over: Step) -> None:
        """Have `readable` called when the client has sent something, or `over` at a time of the monotonic clock."""
        conn.sock.setblocking(False)
        self._poller.register(conn.sock, selectors.EVENT_READ, partial(self._wake, conn, readable))
        self.bound(conn, until, over)

    def bound(self, conn: Any, until: float, over: Step) -> None:
        """Set the end of a wait anew."""
        self._waiting[conn] = until, over
        self._next_end = min(self._next_end, until)

    def hasten(self, over: Step, until: float) -> None:
        """Let no wait that ends with `over` last longer."""
        for conn, (given, step) in list(self._waiting.items()):
            if step == over:
                self.bound(conn, min(given, until), over)

    def seconds_left(self, most: float) -> float:
        """Return how long the loop may sleep."""
        return min(most, max(0.0, self._next_end - time.monotonic()))

    def end_those_over(self) -> None:
        """Call `over` of those whose time is."""
        now = time.monotonic()
        if now < self._next_end:
            return
        ended = [(conn, over) for conn, (until, over) in self._waiting.items() if until <= now]
        for conn, over in ended:
            self.remove(conn)
            over(conn)
        self._next_end = min((until for until, _ in self._waiting.values()), default=math.inf)

    def remove(self, conn: Any) -> None:
        """Wait no longer."""
        del self._waiting[conn]
        self._poller.unregister(conn.sock)

    def _wake(self, conn: Any, readable: Step, _sock: object) -> None:
        self.remove(conn)
        readable(conn)
