"""What was made of rows, remembered within a bound in bytes."""

from collections.abc import Callable, Sequence
from sys import getsizeof
from threading import Lock
from typing import Any

from cachetools import FIFOCache

Values = tuple[Any, ...]

#: The most that one row may take with what was made of it, and all rows of a `RememberedRows`.
MOST_BYTES_OF_ROW = 16 * 1024
MOST_BYTES_OF_ROWS = 8 * 1024 * 1024

# What an entry takes beside the row's values and what was made of them: its places in the three dictionaries of a FIFOCache.
_BYTES_OF_ENTRY = 500


class Part:
    """Some neighboring columns of a row, and what is made of their values."""

    def __init__(self, columns: slice, convert: Sequence[Callable[[Any], Any] | None], make: Callable[[Values], Any]) -> None:
        """Take what converts a driver's value, column by column; None where it is ours already."""
        self.columns = columns
        self._converted = [(position, conversion) for position, conversion in enumerate(convert) if conversion is not None]
        self._make = make

    def made_of(self, raw: Values) -> Any:
        """Make it of values as the driver gives them."""
        values = list(raw)
        for position, conversion in self._converted:
            values[position] = conversion(values[position])
        return self._make(tuple(values))


class RememberedRows:
    """What was made of rows by their values, together at most so many bytes: the oldest is forgotten first.

    Other values make another thing, so nothing here can be out of date. A look-up takes no lock.
    """

    def __init__(self, most_bytes: int = MOST_BYTES_OF_ROWS) -> None:
        """Take the bound."""
        self._entries: FIFOCache[tuple[Part, Values], tuple[Any, int]] = FIFOCache(most_bytes, getsizeof=lambda entry: entry[1])
        self._lock = Lock()

    def get(self, part: Part, raw: Values) -> Any:
        """Return what a part makes of values."""
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
    """Return the bytes of a thing with all that it holds; a class of its own says them in `__sizeof__`."""
    inner = made if isinstance(made, tuple | list | frozenset) else ()
    return getsizeof(made) + sum(map(size_of, inner))
