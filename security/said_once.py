"""Recognize repeated events, so that nobody can fill the log or the audit."""

import hashlib
import threading

# An entry takes about 200 bytes.
_MAX_KEYS = 4096

# Removing ended windows from a full memory takes 0.5 ms. Anyone can fill it, and without a pause every request would then take
# that much longer.
_CLEANUP_PAUSE_MS = 1000


class SaidOnce:
    """Tells whether an event is the first with its key in a time window, in one process.

    It holds a bounded number of digests, never the keys. While it is full of open windows, no event with a new key counts as
    first, so nobody can make it forget. Events that are not first still appear in the request log.
    """

    def __init__(self, max_keys: int = _MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._ends_at_ms: dict[bytes, int] = {}
        self._cleaned_at_ms = -_CLEANUP_PAUSE_MS

    def is_first(self, key: str, now_ms: int, ends_at_ms: int) -> bool:
        """Tell whether an event is the first with its key, and open a window for the key until `ends_at_ms`."""
        digest = _digest(key)
        with self._lock:
            # If the known window ends later than the new one, it was opened while the clock was ahead, and does not count.
            if now_ms < self._ends_at_ms.get(digest, 0) <= ends_at_ms:
                return False
            if digest not in self._ends_at_ms and not self._make_room(now_ms):
                return False
            self._ends_at_ms[digest] = ends_at_ms
            return True

    def knows(self, key: str, now_ms: int) -> bool:
        """Tell whether a key has an open window."""
        return now_ms < self._ends_at_ms.get(_digest(key), 0)

    def _make_room(self, now_ms: int) -> bool:
        # The difference is negative if the clock was set back.
        may_clean = not 0 <= now_ms - self._cleaned_at_ms < _CLEANUP_PAUSE_MS
        if may_clean and len(self._ends_at_ms) >= self._max_keys:
            self._cleaned_at_ms = now_ms
            self._ends_at_ms = {digest: end for digest, end in self._ends_at_ms.items() if end > now_ms}
        return len(self._ends_at_ms) < self._max_keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
