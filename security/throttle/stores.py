"""Where the throttle keeps its windows: in the database, or in the memory of one worker; on Redis: redis_windows.py."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.throttled_login import Slot, give_back, latest_end, remove, remove_ended, reserve


class WindowStore(Protocol):
    """Where the windows are kept. A store that is down raises StoreUnavailable."""

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot of the window of a key, atomically, or be refused because it is full."""

    def give_back(self, slot: Slot) -> None:
        """Return a slot that was taken."""

    def clear(self, key: str) -> None:
        """Remove the window of a key, if there is one."""


class StoreUnavailable(Exception):
    """The store of the windows cannot be reached."""


class DatabaseWindows:
    """Windows in the database, in short transactions of their own, apart from those of the request."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """Take what gives the engine: it is known only inside an application context."""
        self._engine = engine

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot; one key in 256 clears the windows that are over on its way."""
        with self._session() as session:
            if key.startswith("00"):
                remove_ended(session, now_ms)
            return reserve(session, key, limit, now_ms, interval_ms)

    def give_back(self, slot: Slot) -> None:
        """Return a slot."""
        with self._session() as session:
            give_back(session, slot)

    def clear(self, key: str) -> None:
        """Remove a window."""
        with self._session() as session:
            remove(session, key)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._engine()) as session:
                yield session
        except SQLAlchemyError as reason:
            raise StoreUnavailable(type(reason).__name__) from reason


class MemoryWindows:
    """Windows in the memory of one worker, for a server that may not write to its database."""

    def __init__(self) -> None:
        """Begin without windows."""
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, int]] = {}

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot; a full memory forgets the windows that are over, and where that is not enough the oldest quarter."""
        with self._lock:
            if len(self._windows) > _MOST_WINDOWS:
                lasting = [(name, window) for name, window in self._windows.items() if window[1] > now_ms]
                self._windows = dict(lasting[-(_MOST_WINDOWS * 3 // 4) :])
            hits, ends_at_ms = self._windows.get(key, (0, 0))
            if not now_ms < ends_at_ms <= latest_end(now_ms, interval_ms):
                hits, ends_at_ms = 0, now_ms + interval_ms
            if hits >= limit:
                return Slot(key, ends_at_ms, taken=False)
            self._windows[key] = (hits + 1, ends_at_ms)
            return Slot(key, ends_at_ms, taken=True)

    def give_back(self, slot: Slot) -> None:
        """Return a slot; the last one takes the window with it."""
        with self._lock:
            hits, ends_at_ms = self._windows.get(slot.key, (0, 0))
            if ends_at_ms == slot.ends_at_ms and hits > 1:
                self._windows[slot.key] = (hits - 1, ends_at_ms)
            elif ends_at_ms == slot.ends_at_ms:
                self._windows.pop(slot.key, None)

    def clear(self, key: str) -> None:
        """Remove a window."""
        with self._lock:
            self._windows.pop(key, None)


_MOST_WINDOWS = 10_000
