"""Caches of rendered answers, bounded in bytes."""

from collections.abc import Callable, Hashable
from sys import getsizeof
from threading import Lock
from typing import Any

from cachetools import FIFOCache

# The overhead of an entry in bytes: its slots in the three dictionaries of a FIFOCache.
_BYTES_OF_ENTRY = 400


class Remembered:
    """A cache bounded in bytes. It evicts the oldest entry first, and does not keep entries that are too large.

    A look-up takes no lock.
    """

    def __init__(self, most_bytes_each: int, most_bytes: int = 8 * 1024 * 1024) -> None:
        """Take two limits in bytes: for one entry with its key, and for all entries together."""
        self._most_bytes_each = most_bytes_each
        self._entries: FIFOCache[Hashable | None, tuple[Any, int]] = FIFOCache(most_bytes, getsizeof=lambda entry: entry[1])
        self._lock = Lock()

    def get(self, key: Hashable | None, make: Callable[[], Any]) -> Any:
        """Return the cached value of a key, or make and cache it. A value with the key None is not cached."""
        try:
            return self._entries[key][0]
        except KeyError:
            value = make()
        if key is not None:
            self._keep(key, value)
        return value

    def _keep(self, key: Hashable, value: Any) -> None:
        size = _BYTES_OF_ENTRY + _size(key) + _size(value)
        if size <= self._most_bytes_each:
            with self._lock:
                self._entries[key] = value, size

    @property
    def bytes(self) -> int:
        """Return the size of all entries."""
        return int(self._entries.currsize)


def _size(value: Any) -> int:
    """Return the size of a value, including the contents of tuples; keys and values have no other containers."""
    return getsizeof(value) + (sum(map(_size, value)) if isinstance(value, tuple) else 0)


#: Rendered items and pages. Both kinds of keys contain the `number` of each item.
OF_ITEMS = Remembered(16 * 1024)
OF_PAGES = Remembered(64 * 1024)
