"""What was made for answers, remembered within a bound in bytes."""

from collections.abc import Callable, Hashable
from sys import getsizeof
from threading import Lock
from typing import Any

from cachetools import FIFOCache

# What an entry takes beside its key and its value: its places in the three dictionaries of a FIFOCache.
_BYTES_OF_ENTRY = 400


class Remembered:
    """Values by key, together at most so many bytes: the oldest is forgotten first, and a value that is too large at once.

    A look-up takes no lock, so that no thread waits for another one.
    """

    def __init__(self, most_bytes_each: int, most_bytes: int = 8 * 1024 * 1024) -> None:
        """Take how large one entry may be, its key included, and all of them."""
        self._most_bytes_each = most_bytes_each
        self._entries: FIFOCache[Hashable | None, tuple[Any, int]] = FIFOCache(most_bytes, getsizeof=lambda entry: entry[1])
        self._lock = Lock()

    def get(self, key: Hashable | None, make: Callable[[], Any]) -> Any:
        """Return the value of a key, and make it where it is not remembered; None is the key of what must not be."""
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
    """Return the size of a value with everything that its tuples hold, which is all that keys and values consist of."""
    return getsizeof(value) + (sum(map(_size, value)) if isinstance(value, tuple) else 0)


#: What was made of single items, and of pages; the keys of both name an item by its `number`.
OF_ITEMS = Remembered(16 * 1024)
OF_PAGES = Remembered(64 * 1024)
