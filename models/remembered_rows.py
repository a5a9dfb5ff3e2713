"""Cache objects made of rows, within a bound in bytes."""

from collections.abc import Callable, Sequence
from sys import getsizeof
from threading import Lock
from typing import Any

from cachetools import FIFOCache

Values = tuple[Any, ...]

#: Bounds of one row with its object, and of all rows of a `RememberedRows`.
MOST_BYTES_OF_ROW = 16 * 1024
MOST_BYTES_OF_ROWS = 8 * 1024 * 1024

# Overhead of an entry: its places in the three dictionaries of a FIFOCache.
_BYTES_OF_ENTRY = 500


class Part:
    """Adjacent columns of a row, and the function that makes an object of their values."""

    def __init__(self, columns: slice, convert: Sequence[Callable[[Any], Any] | None], make: Callable[[Values], Any]) -> None:
        """Take a converter of the driver's value for each column; None if it needs no conversion."""
        self.columns = columns
        self._converted = [(position, conversion) for position, conversion in enumerate(convert) if conversion is not None]
        self._make = make

    def made_of(self, raw: Values) -> Any:
        """Make the object from the driver's values."""
        values = list(raw)
        for position, conversion in self._converted:
            values[position] = conversion(values[position])
        return self._make(tuple(values))


class RememberedRows:
    """A cache of objects made of rows. The values of a row are the key. The oldest entry is evicted first.

    A row with other values has another key, so no entry can be stale. A look-up takes no lock.
    """

    def __init__(self, most_bytes: int = MOST_BYTES_OF_ROWS) -> None:
        self._entries: FIFOCache[tuple[Part, Values], tuple[Any, int]] = FIFOCache(most_bytes, getsizeof=lambda entry: entry[1])
        self._lock = Lock()

    def get(self, part: Part, raw: Values) -> Any:
        """Return what `part` makes of the driver's values."""
        key = part, raw
        try:
            return self._entries[key][0]
        except KeyError:
            made = part.made_of(raw)
        size = _BYTES_OF_ENTRY + sum(map(getsizeof, raw)) + size_of(made)
        if size <= MOST_BYTES_OF_ROW:
            with self._lock:
                self._entries[key] = made, size
        return made

    @property
    def bytes(self) -> int:
        """Return the size of all entries."""
        return int(self._entries.currsize)


def size_of(made: Any) -> int:
    """Return the bytes of an object with its contents. Our own classes include their contents in `__sizeof__`."""
    inner = made if isinstance(made, tuple | list | frozenset) else ()
    return getsizeof(made) + sum(map(size_of, inner))
