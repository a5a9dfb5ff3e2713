"""The throttle of sign-ins: per user name and address, and per address, for all workers together (contract 1)."""

import hashlib
import hmac
import logging
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from werkzeug.exceptions import TooManyRequests

from models.throttled_login import Slot
from security.errors import BadCredentials, TooManyAttempts
from security.window_stores import StoreUnavailable, WindowStore

logger = logging.getLogger(__name__)

#: How often a user may have their own password hashed in a minute, sign-ins apart.
OWN_PASSWORD_HASHES = 10

#: An address may fail as often under all names together.
ADDRESS_FACTOR = 5

_MINUTE_MS = 60_000

# A limit that nobody reaches.
_PLENTY = 10**9

# So many characters of a name tell names apart; more would only cost.
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Window:
    """A window to hold a slot of: the hash that it is kept under, and how many slots it has."""

    key: str
    limit: int


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
        self._lock = threading.Lock()
        #: How often an attempt went on uncounted since the start of this process, because the store was down.
        self.unavailable_total = 0

    def attempt(self, address: str, username: str) -> AbstractContextManager[None]:
        """Hold a slot of two windows around a sign-in: the name's at this address, and the address's.

        Only BadCredentials keeps them taken. Raises TooManyAttempts where a window is full. Nobody elsewhere is kept from
        the same name.
        """
        return self._hold(
            Window(self._key("name", f"{throttled_name(username)}-{address}"), self._max_attempts),
            Window(self._key("address", address), self._max_attempts * ADDRESS_FACTOR),
        )

    def attempt_code(self, username: str) -> AbstractContextManager[None]:
        """Hold a slot of the name's window, whatever the address, around a code that follows the right password.

        As in `attempt`. Whoever can use it up knows the password, so that it is nobody's means to lock a user out.
        """
        return self._hold(Window(self._key("code", throttled_name(username)), self._max_attempts))

    def count(self, kind: str, name: str, limit: int) -> None:
        """Count one of the `limit` actions of a kind that a name may do in a minute; a refused action is not counted.

        Raises TooManyRequests with `Retry-After`. It holds where the throttle of sign-ins is off, too, and where the store
        cannot be reached the action goes on.
        """
        now_ms = int(self._clock().timestamp() * 1000)
        try:
            slot = self._store.reserve(self._key(kind, name), limit, now_ms, _MINUTE_MS)
        except StoreUnavailable as reason:
            self._note_unavailable("the throttle's store cannot be reached: %s; the request goes on", reason)
            return
        if not slot.taken:
            raise TooManyRequests("Too Many Requests", retry_after=_seconds_until(slot.ends_at_ms, now_ms))

    def count_own_password(self, user_id: int) -> None:
        """Count a hash of a user's own password. Raises TooManyRequests, as `count` does."""
        self.count("own-password", str(user_id), OWN_PASSWORD_HASHES)

    def check(self) -> None:
        """Take a slot that nobody needs, and give it back. Raises StoreUnavailable; a limiter that is off needs no store."""
        if self._max_attempts:
            now_ms = int(self._clock().timestamp() * 1000)
            self._store.give_back(self._store.reserve(self._key("check", ""), _PLENTY, now_ms, self._interval_ms))

    @contextmanager
    def _hold(self, *windows: Window) -> Iterator[None]:
        taken = self._take(windows) if self._max_attempts else []
        try:
            yield
        except BadCredentials:
            raise
        except BaseException:
            self._give_back(taken)
            raise
        self._give_back(taken)

    def _take(self, windows: tuple[Window, ...]) -> list[Slot]:
        now_ms = int(self._clock().timestamp() * 1000)
        taken: list[Slot] = []
        missed = 0
        for window in windows:
            try:
                slot = self._store.reserve(window.key, window.limit, now_ms, self._interval_ms)
            except StoreUnavailable as reason:
                # A store that is down must not lock everybody out; that it is down must be seen, once an attempt.
                missed += 1
                if missed == 1:
                    self._note_unavailable("the throttle's store cannot be reached: %s; the sign-in goes on", reason)
                continue
            if not slot.taken:
                self._give_back(taken)
                raise TooManyAttempts(_seconds_until(slot.ends_at_ms, now_ms))
            taken.append(slot)
        return taken

    def _give_back(self, slots: list[Slot]) -> None:
        for slot in slots:
            try:
                self._store.give_back(slot)
            except StoreUnavailable as reason:
                self._note_unavailable("the throttle's store cannot be reached: %s; a slot stays taken", reason)
                break

    def _note_unavailable(self, text: str, reason: StoreUnavailable) -> None:
        with self._lock:
            self.unavailable_total += 1
        logger.error(text, reason, extra={"unavailable_total": self.unavailable_total})

    def _key(self, kind: str, text: str) -> str:
        return hmac.new(self._secret, f"{kind}:{text}".encode(errors="replace"), hashlib.sha256).hexdigest()


def _seconds_until(end_ms: int, now_ms: int) -> int:
    """Return whole seconds, rounded up, and at least one."""
    return max(1, -(-(end_ms - now_ms) // 1000))


def throttled_name(username: str) -> str:
    """Bring the ways to write a name that look alike to one, so that they share a window.

    Compatibility forms, case, spaces around it, and what does not show (soft hyphen, zero-width) make no difference.
    """
    shown = (char for char in unicodedata.normalize("NFKC", username[: 4 * _NAME_LENGTH]) if unicodedata.category(char) != "Cf")
    return "".join(shown).casefold().strip()[:_NAME_LENGTH]
