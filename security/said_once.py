"""Remembers what was written down a moment ago, so that no stranger can fill the log or the audit."""

import hashlib
import threading

# An entry takes about 200 bytes.
_MOST = 4096

# A search of a full memory for windows that are over takes half a millisecond. Strangers can fill it, so that each of their
# requests would take so long.
_SEARCH_PAUSE_MS = 1000


class SaidOnce:
    """Tells the first event of a key in a window from those after it, in one process.

    It holds digests, never the keys, and a bounded number of them. While it is full of windows that last, it calls no event
    of another key the first: nobody can make it forget, and what is not said is still counted and in the requests' log.
    """

    def __init__(self, most: int = _MOST) -> None:
        """Take how many keys it may hold."""
        self._most = most
        self._lock = threading.Lock()
        self._ends_at_ms: dict[bytes, int] = {}
        self._searched_at_ms = -_SEARCH_PAUSE_MS

    def is_first(self, key: str, now_ms: int, ends_at_ms: int) -> bool:
        """Tell whether an event is the first of its key, and count no other one as such until the window ends."""
        digest = _digest(key)
        with self._lock:
            # An end after the one at hand is of a clock that was wrong, and would last for long.
            if now_ms < self._ends_at_ms.get(digest, 0) <= ends_at_ms:
                return False
            if digest not in self._ends_at_ms and not self._make_room(now_ms):
                return False
            self._ends_at_ms[digest] = ends_at_ms
            return True

    def knows(self, key: str, now_ms: int) -> bool:
        """Tell whether a key has a window that lasts."""
        return now_ms < self._ends_at_ms.get(_digest(key), 0)

    def _make_room(self, now_ms: int) -> bool:
        # The clock may have been set back.
        is_time = not 0 <= now_ms - self._searched_at_ms < _SEARCH_PAUSE_MS
        if is_time and len(self._ends_at_ms) >= self._most:
            self._searched_at_ms = now_ms
            self._ends_at_ms = {digest: end for digest, end in self._ends_at_ms.items() if end > now_ms}
        return len(self._ends_at_ms) < self._most


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
