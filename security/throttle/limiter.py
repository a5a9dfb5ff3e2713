"""The throttle of sign-ins and codes, by user name and network, for all workers together; and other counts in windows."""

import hashlib
import hmac
import logging
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from werkzeug.exceptions import TooManyRequests

from models.throttled_login import Slot
from security.client_address import network_of
from security.errors import BadCredentials, TooManyAttempts
from security.said_once import SaidOnce
from security.throttle.stores import StoreUnavailable, WindowStore

logger = logging.getLogger(__name__)

#: How often a user may have their own password hashed in a minute, sign-ins apart.
OWN_PASSWORD_HASHES = 10

#: An address may fail as often under all names together.
ADDRESS_FACTOR = 5

#: Networks by the length of an IPv6 prefix, and how much more they may fail than one address: a subscriber, a site.
NETWORKS = ((64, 1), (48, 10))

#: So many failures at one name in an hour, from wherever, are written down and counted; nobody is refused for them.
FAILURES_TO_REPORT = 100

#: So many wrong codes or passwords in a row may be sent with one access token, or those of one session.
MOST_FAILURES_OF_A_TOKEN = 20

_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000

# A limit that nobody reaches.
_PLENTY = 10**9

# So many characters of a name tell names apart; more would only cost.
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Window:
    """A window to hold a slot of: the hash that it is kept under, how many slots it has, and how long it lasts."""

    key: str
    limit: int
    interval_ms: int


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
        self._refusals = SaidOnce()
        self._reports = SaidOnce()
        #: How often an attempt went on uncounted since the start of this process, because the store was down.
        self.unavailable_total = 0
        #: How many names failed too often in an hour, as this process saw them.
        self.reported_names_total = 0

    def attempt(self, address: str, username: str) -> AbstractContextManager[None]:
        """Hold a slot around a sign-in in each of its windows: the name's in this network, and the network's.

        IPv6 has both twice, for the /64 and, ten times as large, for the /48. Only BadCredentials keeps the slots taken.
        Raises TooManyAttempts where a window is full. Nobody elsewhere is kept from the same name.
        """
        name = throttled_name(username)
        # Networks of IPv4 are the address itself, whatever the length: one entry, with the factor of an address.
        factors = {network_of(address, length): factor for length, factor in reversed(NETWORKS)}
        by_name = (self._window("name", f"{name}-{network}", factor) for network, factor in factors.items())
        by_address = (self._window("address", network, factor * ADDRESS_FACTOR) for network, factor in factors.items())
        return self._hold(*by_name, *by_address)

    def attempt_code(self, username: str, wrong_in_a_row: int = 0, series: str = "") -> AbstractContextManager[None]:
        """Hold a slot of the name's window, whatever the address, around a code that follows the right password.

        As in `attempt`. Each time that as many codes in a row were wrong as a window has slots, it lasts twice as long, up to an
        hour. Another `series` is another window: since the last reset. Only a client that knows the password can use a window
        up, so that it is nobody's means to lock a user out.
        """
        doublings = wrong_in_a_row // max(1, self._max_attempts)
        interval_ms = min(self._interval_ms << doublings, max(_HOUR_MS, self._interval_ms))
        key = self._key("code", f"{throttled_name(username)}-{series}")
        return self._hold(Window(key, self._max_attempts, interval_ms))

    def attempt_by_token(self, key: str) -> AbstractContextManager[None]:
        """Hold a slot of an access token's window, or its session's, around a code or a password that is sent with it.

        As in `attempt`. `key` is the hash that the token is revoked under. A stolen token uses up its own window alone.
        """
        return self._hold(self._window("token", key))

    def is_last_failure(self, key: str, lasts_seconds: int) -> bool:
        """Count a wrong code or password that was sent with a token, and tell whether there were too many in a row.

        They are kept for so long as the token or its session may live. It holds where the throttle is off, too.
        """
        slot = self._reserve("token failures", key, MOST_FAILURES_OF_A_TOKEN - 1, lasts_seconds * 1000)
        return slot is not None and not slot.taken

    def forget_failures(self, key: str) -> None:
        """Begin to count anew what was sent with a token, since something of it was right."""
        # A store that is down has lost count already, and said so.
        with suppress(StoreUnavailable):
            self._store.clear(self._key("token failures", key))

    def is_to_report(self, username: str) -> bool:
        """Count a failed sign-in at a name, from wherever; tell once a name, hour and process that there were too many."""
        slot = self._reserve("failures", throttled_name(username), FAILURES_TO_REPORT - 1, _HOUR_MS)
        if slot is None or slot.taken or not self._reports.is_first(slot.key, self._now_ms(), slot.ends_at_ms):
            return False
        with self._lock:
            self.reported_names_total += 1
        return True

    def count(self, kind: str, name: str, limit: int) -> None:
        """Count one of the `limit` actions of a kind that a name may do in a minute; a refused action is not counted.

        Raises TooManyRequests with `Retry-After`. It holds where the throttle of sign-ins is off, too, and where the store
        cannot be reached the action goes on.
        """
        now_ms = self._now_ms()
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
            now_ms = self._now_ms()
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
        now_ms = self._now_ms()
        taken: list[Slot] = []
        missed = 0
        # A window that has refused is asked first: while it goes on doing so, the others are not written.
        for window in sorted(windows, key=lambda window: not self._refusals.knows(window.key, now_ms)):
            try:
                slot = self._store.reserve(window.key, window.limit, now_ms, window.interval_ms)
            except StoreUnavailable as reason:
                # A store that is down must not lock everybody out; that it is down must be seen, once an attempt.
                missed += 1
                if missed == 1:
                    self._note_unavailable("the throttle's store cannot be reached: %s; the sign-in goes on", reason)
                continue
            if not slot.taken:
                self._give_back(taken)
                is_first = self._refusals.is_first(slot.key, now_ms, slot.ends_at_ms)
                raise TooManyAttempts(_seconds_until(slot.ends_at_ms, now_ms), is_first=is_first)
            taken.append(slot)
        return taken

    def _give_back(self, slots: list[Slot]) -> None:
        for slot in slots:
            try:
                self._store.give_back(slot)
            except StoreUnavailable as reason:
                self._note_unavailable("the throttle's store cannot be reached: %s; a slot stays taken", reason)
                break

    def _reserve(self, kind: str, text: str, limit: int, interval_ms: int) -> Slot | None:
        """Take a slot that is not given back; None where the store is down, which the attempt around it has said."""
        try:
            return self._store.reserve(self._key(kind, text), limit, self._now_ms(), interval_ms)
        except StoreUnavailable:
            return None

    def _window(self, kind: str, text: str, factor: int = 1) -> Window:
        return Window(self._key(kind, text), self._max_attempts * factor, self._interval_ms)

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

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
