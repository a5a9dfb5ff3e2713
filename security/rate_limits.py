"""The throttle of sign-ins: per user name and address, and per address, for all workers together (contract 1)."""

import hashlib
import hmac
import logging
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.throttled_login import Slot, give_back, remove_ended, reserve
from security.errors import BadCredentials, TooManyAttempts

logger = logging.getLogger(__name__)

#: An address may fail as often under all names together.
ADDRESS_FACTOR = 5

# So many characters of a name tell names apart; more would only cost.
_NAME_LENGTH = 100


class WindowStore(Protocol):
    """Where the windows are kept. A store that is down raises StoreUnavailable."""

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        """Take a slot of the window of a key, atomically, or be refused because it is full."""

    def give_back(self, slot: Slot) -> None:
        """Return a slot that was taken."""


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
        """Take a slot; a full memory forgets the windows that are over."""
        with self._lock:
            if len(self._windows) > _MOST_WINDOWS:
                self._windows = {name: window for name, window in self._windows.items() if window[1] > now_ms}
            hits, ends_at_ms = self._windows.get(key, (0, 0))
            if ends_at_ms <= now_ms:
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


_MOST_WINDOWS = 10_000


class LoginLimiter:
    """Lets so many sign-ins fail in a window, and no more: a slot is reserved before the hash, and given back on success."""

    def __init__(
        self, store: WindowStore, clock: Callable[[], datetime], max_attempts: int, interval_seconds: int, secret: str
    ) -> None:
        """Take the store, the clock, the limit of a name (0 switches all off), the window, and the key of the hashes."""
        self._store = store
        self._clock = clock
        self._max_attempts = max_attempts
        self._interval_ms = interval_seconds * 1000
        self._secret = secret.encode()

    @contextmanager
    def attempt(self, address: str, username: str) -> Iterator[None]:
        """Hold a slot of both windows around a sign-in; only BadCredentials keeps them taken.

        Raises TooManyAttempts where a window is full.
        """
        taken = self._take(address, username) if self._max_attempts else []
        try:
            yield
        except BadCredentials:
            raise
        except BaseException:
            self._give_back(taken)
            raise
        self._give_back(taken)

    def _take(self, address: str, username: str) -> list[Slot]:
        now_ms = int(self._clock().timestamp() * 1000)
        windows = (
            (self._key("name", f"{throttled_name(username)}-{address}"), self._max_attempts),
            (self._key("address", address), self._max_attempts * ADDRESS_FACTOR),
        )
        taken: list[Slot] = []
        for key, limit in windows:
            try:
                slot = self._store.reserve(key, limit, now_ms, self._interval_ms)
            except StoreUnavailable as reason:
                # A store that is down must not lock everybody out; that it is down must be seen.
                logger.error("the throttle's store cannot be reached: %s; the sign-in goes on", reason)
                continue
            if not slot.taken:
                self._give_back(taken)
                raise TooManyAttempts(max(1, -(-(slot.ends_at_ms - now_ms) // 1000)))
            taken.append(slot)
        return taken

    def _give_back(self, slots: list[Slot]) -> None:
        for slot in slots:
            try:
                self._store.give_back(slot)
            except StoreUnavailable as reason:
                logger.error("the throttle's store cannot be reached: %s; a slot stays taken", reason)

    def _key(self, kind: str, text: str) -> str:
        return hmac.new(self._secret, f"{kind}:{text}".encode(errors="replace"), hashlib.sha256).hexdigest()


def throttled_name(username: str) -> str:
    """Bring the ways to write a name that look alike to one, so that they share a window.

    Compatibility forms, case, spaces around it, and what does not show (soft hyphen, zero-width) make no difference.
    """
    shown = (char for char in unicodedata.normalize("NFKC", username[: 4 * _NAME_LENGTH]) if unicodedata.category(char) != "Cf")
    return "".join(shown).casefold().strip()[:_NAME_LENGTH]
