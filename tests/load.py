"""Clients who never rest: each is a thread, from the beginning of a context to its end."""

import threading
from collections.abc import Callable
from typing import Self

WAIT_SECONDS = 60


class Load:
    """Threads that work until `done` is set."""

    def __init__(self, *works: Callable[[], None]) -> None:
        self.done = threading.Event()
        self.threads = [threading.Thread(target=work) for work in works]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(WAIT_SECONDS)
