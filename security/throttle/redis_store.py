"""The throttle's windows on Redis, shared by all hosts. Each step is one script, and so atomic."""

import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from models.throttled_login import Slot, latest_end
from security.throttle.stores import StoreUnavailable

_PREFIX = "poort:throttle:"

# The longest wait for a connection, and again for an answer. A sign-in may wait for both.
_TIMEOUT_SECONDS = 1

# After a failure, one request tries again after each pause of this length; the others go on without the store.
_RETRY_PAUSE_SECONDS = 1

# The caller's clock ends a window. Redis's expiry only removes abandoned ones; the margin allows for clocks that differ.
_EXPIRY_MARGIN_MS = 60_000

# KEYS[1]: the window. ARGV: limit, now, length of a window, latest possible end, expiry. Returns whether a slot was taken, and
# when the window ends.
_RESERVE = """
local window = redis.call('HMGET', KEYS[1], 'hits', 'ends_at_ms')
local hits, ends_at_ms = tonumber(window[1] or 0), tonumber(window[2] or 0)
local limit, now_ms, interval_ms, latest_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if ends_at_ms <= now_ms or ends_at_ms > latest_ms then
  hits, ends_at_ms = 0, now_ms + interval_ms
end
if hits >= limit then
  return {0, ends_at_ms}
end
redis.call('HSET', KEYS[1], 'hits', string.format('%d', hits + 1), 'ends_at_ms', string.format('%.0f', ends_at_ms))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {1, ends_at_ms}
"""

# KEYS[1]: the window. ARGV: its end at the reservation. A later window with the same key is left alone.
_GIVE_BACK = """
local window = redis.call('HMGET', KEYS[1], 'hits', 'ends_at_ms')
if window[2] ~= ARGV[1] then
  return 0
end
if tonumber(window[1]) > 1 then
  return redis.call('HINCRBY', KEYS[1], 'hits', -1)
end
return redis.call('DEL', KEYS[1])
"""

# KEYS[1]: the window.
_CLEAR = "return redis.call('DEL', KEYS[1])"


class RedisWindows:
    """Windows on a Redis server. Connections are opened when they are first needed.

    While the server is down, one call a second waits for it; the others raise StoreUnavailable at once.
    """

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the URL (redis://, rediss:// or unix://), and a timer in seconds."""
        # An optional package (requirements-redis.txt).
        redis = import_module("redis")
        # No retries: the server may have run the script before the failure, and a slot would be taken twice.
        client = redis.Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            socket_timeout=_TIMEOUT_SECONDS,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        )
        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError, UnicodeError)
        self._reserve, self._give_back = client.register_script(_RESERVE), client.register_script(_GIVE_BACK)
        self._clear = client.register_script(_CLEAR)
        #: Closes the connections of this process.
        self.close: Callable[[], None] = client.close
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._retry_at: float | None = None

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot of a window."""
        latest_ms = latest_end(now_ms, interval_ms)
        taken, ends_at_ms = self._run(self._reserve, key, limit, now_ms, interval_ms, latest_ms, interval_ms + _EXPIRY_MARGIN_MS)
        return Slot(key, ends_at_ms, taken=bool(taken))

    def give_back(self, slot: Slot) -> None:
        """Return a slot. If it was the last, remove the window."""
        self._run(self._give_back, slot.key, slot.ends_at_ms)

    def clear(self, key: str) -> None:
        """Remove a window."""
        self._run(self._clear, key)

    def _run(self, script: Any, key: str, *arguments: int) -> Any:
        """Run a script. After a failure, one caller tries again after each pause; the others get StoreUnavailable at once."""
        with self._lock:
            if self._retry_at is not None:
                if self._monotonic() < self._retry_at:
                    raise StoreUnavailable("not asked again yet")
                self._retry_at = self._monotonic() + _RETRY_PAUSE_SECONDS
        try:
            answer = script(keys=[_PREFIX + key], args=arguments)
        except self._failures as reason:
            with self._lock:
                self._retry_at = self._monotonic() + _RETRY_PAUSE_SECONDS
            # Only the type: the text may name the server, and a cause would hold the arguments.
            raise StoreUnavailable(type(reason).__name__) from None
        self._retry_at = None
        return answer
