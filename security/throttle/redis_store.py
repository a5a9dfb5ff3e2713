"""The throttle's windows on Redis, for all workers of all hosts: each step is one script, which nothing can come between."""

import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from models.throttled_login import Slot, latest_end
from security.throttle.stores import StoreUnavailable

_PREFIX = "poort:throttle:"

# A sign-in waits no longer than this for a connection, and then for an answer.
_TIMEOUT_SECONDS = 1

# A server that did not answer is asked again after so long, by one request; the others meanwhile go on without it.
_PAUSE_SECONDS = 1

# When a window ends is said by the clock of the caller. Redis's own only clears what nobody asks for any more, so
# much later that the clocks of the hosts may differ.
_KEPT_LONGER_MS = 60_000

# KEYS[1]: the window. ARGV: the limit, now, the length of a window, its latest end, how long Redis keeps it. Returns whether
# a slot was taken, and when the window ends.
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

# KEYS[1]: the window. ARGV: when it ended at the reservation; another one of the same key is left alone.
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
    """Windows on a Redis server, with one pool of connections a process, which are opened when they are first needed.

    A server that is down is not waited for by every sign-in: see `_ask`.
    """

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the URL (redis://, rediss:// or unix://), and what measures the pause after a failure."""
        # An optional package (requirements-redis.txt): loaded where it is asked for, as SQLAlchemy loads a driver.
        redis = import_module("redis")
        # What fails is not repeated: whether the server did it nobody knows, and a slot would be taken twice.
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
        self._close = client.close
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._asked_again_at: float | None = None

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot of a window."""
        latest_ms = latest_end(now_ms, interval_ms)
        taken, ends_at_ms = self._ask(self._reserve, key, limit, now_ms, interval_ms, latest_ms, interval_ms + _KEPT_LONGER_MS)
        return Slot(key, ends_at_ms, taken=bool(taken))

    def give_back(self, slot: Slot) -> None:
        """Return a slot; the last one takes the window with it."""
        self._ask(self._give_back, slot.key, slot.ends_at_ms)

    def clear(self, key: str) -> None:
        """Remove a window."""
        self._ask(self._clear, key)

    def close(self) -> None:
        """Close the connections of this process."""
        self._close()

    def _ask(self, script: Any, key: str, *arguments: int) -> Any:
        """Run a script; after a failure one caller tries again after a pause, and all others are refused at once."""
        with self._lock:
            if self._asked_again_at is not None:
                if self._monotonic() < self._asked_again_at:
                    raise StoreUnavailable("not asked again yet")
                self._asked_again_at = self._monotonic() + _PAUSE_SECONDS
        try:
            answer = script(keys=[_PREFIX + key], args=arguments)
        except self._failures as reason:
            with self._lock:
                self._asked_again_at = self._monotonic() + _PAUSE_SECONDS
            # Only the kind: the text may name the server, and its cause holds what was sent.
            raise StoreUnavailable(type(reason).__name__) from None
        self._asked_again_at = None
        return answer
