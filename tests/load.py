"""Context managers for load: clients that send one request after the other, and a busy hashing thread."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

from security.hashing import HashingThread

WAIT_SECONDS = 60

#: How long clients wait between two requests. Five of them then send more than a hundred requests a second, so that each event
#: meets some, and leave most of the processor to what they wait for.
PAUSE_SECONDS = 0.03


class Load:
    """Threads that run until the context ends and `done` is set."""

    def __init__(self, *works: Callable[[], None]) -> None:
        self.done = threading.Event()
        self.threads = [threading.Thread(target=work) for work in works]

    def goes_on(self) -> bool:
        """Pause, and tell whether to send another request."""
        return not self.done.wait(PAUSE_SECONDS)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(WAIT_SECONDS)


@contextmanager
def occupied(hashing: HashingThread) -> Iterator[None]:
    """Keep the hashing thread busy until the context ends."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait(WAIT_SECONDS)

    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(hashing.run, work)
        assert begun.wait(WAIT_SECONDS)
        try:
            yield
        finally:
            end.set()
            busy.result(WAIT_SECONDS)


def wait_until_inside(hashing: HashingThread, count: int) -> None:
    """Wait until so many requests hash or wait to do so, and until what observes the number knows that."""
    deadline = time.monotonic() + WAIT_SECONDS
    while hashing.inside != count:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    with hashing._lock:  # it is held from the change to the end of the call
        pass
