"""Stores of the throttle's windows: the database, or the memory of one worker. Redis is in redis_store.py."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.outages import reason_of
from models.throttled_login import Slot, give_back, latest_end, remove, remove_ended, reserve

_MAX_WINDOWS = 10_000


class WindowStore(Protocol):
    """A store of windows. A window counts the attempts for one key until it ends; each attempt takes a slot.

    Every method raises StoreUnavailable if the store is down. Times are in milliseconds since the epoch.
    """

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot of the window, atomically, unless it is full. If the key has no window, one of `interval_ms` begins."""

    def give_back(self, slot: Slot) -> None:
        """Return a taken slot. If it was the last, remove the window."""

    def clear(self, key: str) -> None:
        """Remove a window, if it is there."""


class StoreUnavailable(Exception):
    """The store cannot be reached."""


class DatabaseWindows:
    """Windows in the database. Each step is a short transaction, separate from that of the request."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot. For one key in 256, also remove all windows that have ended."""
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
            raise StoreUnavailable(reason_of(reason)) from reason


class MemoryWindows:
    """Windows in the memory of one worker, for a read-only server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, int]] = {}

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot. A full memory drops the windows that have ended, and then, if need be, the oldest quarter."""
        with self._lock:
            if len(self._windows) > _MAX_WINDOWS:
                open_windows = [(name, window) for name, window in self._windows.items() if window[1] > now_ms]
                self._windows = dict(open_windows[-(_MAX_WINDOWS * 3 // 4) :])
            hits, ends_at_ms = self._windows.get(key, (0, 0))
            if not now_ms < ends_at_ms <= latest_end(now_ms, interval_ms):
                hits, ends_at_ms = 0, now_ms + interval_ms
            if hits >= limit:
                return Slot(key, ends_at_ms, taken=False)
            self._windows[key] = (hits + 1, ends_at_ms)
            return Slot(key, ends_at_ms, taken=True)

    def give_back(self, slot: Slot) -> None:
        """Return a slot. If it was the last, remove the window."""
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
