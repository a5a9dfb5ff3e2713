"""The throttle: limits on failed sign-ins and codes, by user name and network, and on other actions.

All workers share the windows, except those in memory (stores.py). What clients see: docs/compatibility.md#throttle.
"""

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

from models.database import epoch_ms
from models.throttled_login import Slot
from models.user import USERNAME_LENGTH
from security.client_address import network_of
from security.errors import BadCredentials, TooManyAttempts
from security.said_once import SaidOnce
from security.throttle.stores import StoreUnavailable, WindowStore

logger = logging.getLogger(__name__)

#: How many hashes of their own password a user may cause in a minute, not counting sign-ins.
OWN_PASSWORD_HASHES = 10

#: The limit of an address, under all names together, is this many times the limit of one name.
ADDRESS_FACTOR = 5

#: The prefix lengths of IPv6 networks (a site, a subscriber), each with the factor by which its limits exceed those for IPv4.
#: An IPv4 address is its own network for every length, so the last factor, 1, must remain.
NETWORKS = ((48, 10), (64, 1))

#: This many failed sign-ins with one name in an hour, from any address, cause an extra audit event. Nobody is refused for them.
FAILURES_TO_REPORT = 100

#: This many wrong codes or passwords in a row end the session of an access token, or the token alone if it has no session.
MOST_FAILURES_OF_A_TOKEN = 20

#: After this many refused API keys of an address in a minute, refusals have another text (docs/compatibility.md#api-key-limit).
REFUSED_KEYS = 120

_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Window:
    """A window of `limit` slots. `key` is the hash that it is stored under."""

    key: str
    limit: int
    interval_ms: int


class LoginLimiter:
    """Limits failed sign-ins in a window. An attempt takes a slot before the hash, and returns it unless it fails."""

    def __init__(
        self, store: WindowStore, clock: Callable[[], datetime], max_attempts: int, interval_seconds: int, secret: str
    ) -> None:
        """Take the store, the clock, the limit of a name (0: no throttle), the window, and the secret of the HMAC keys."""
        self._store = store
        self._clock = clock
        self._max_attempts = max_attempts
        self._interval_ms = interval_seconds * 1000
        self._secret = secret.encode()
        self._lock = threading.Lock()
        self._refusals = SaidOnce()
        self._reports = SaidOnce()
        #: Attempts not counted, and slots not returned, because the store was down, since the start of this process.
        self.unavailable_total = 0
        #: Names that this process reported for too many failures in an hour.
        self.reported_names_total = 0

    def attempt(self, address: str, username: str) -> AbstractContextManager[None]:
        """Hold a slot of each window of a sign-in: the name's window in this network, and the network's own.

        IPv6 has two windows of each kind: for the /64 and, with ten times the limit, for the /48. Slots are returned unless
        BadCredentials is raised. Raises TooManyAttempts if a window is full. Other networks can still sign in with the name.
        """
        name = throttled_name(username)
        factors = {network_of(address, length): factor for length, factor in NETWORKS}
        by_name = (self._window("name", f"{name}-{network}", factor) for network, factor in factors.items())
        by_address = (self._window("address", network, factor * ADDRESS_FACTOR) for network, factor in factors.items())
        return self._hold(*by_name, *by_address)

    def attempt_code(self, username: str, wrong_in_a_row: int = 0, series: str = "") -> AbstractContextManager[None]:
        """Hold a slot of the name's window for codes, as `attempt` does, while a code is checked after the right password.

        The window is the same for all addresses: only a client with the right password can fill it, so nobody else can lock the
        user out. Each window that is full of wrong codes in a row makes the next one twice as long, up to an hour. A new
        `series`, as after a reset, begins a new window.
        """
        doublings = wrong_in_a_row // max(1, self._max_attempts)
        interval_ms = min(self._interval_ms << doublings, max(_HOUR_MS, self._interval_ms))
        key = self._key("code", f"{throttled_name(username)}-{series}")
        return self._hold(Window(key, self._max_attempts, interval_ms))

    def attempt_by_token(self, key: str) -> AbstractContextManager[None]:
        """Hold a slot of the window of an access token or its session, as `attempt` does, while a code or password is checked.

        `key` is the key under which the token or session is revoked. The thief of a token can fill only the window of that token.
        """
        return self._hold(self._window("token", key))

    def is_flooding(self, address: str) -> bool:
        """Count a refused API key of an address. Tell whether there were too many before. Works even if the throttle is off."""
        limits = {self._key("api-key", network_of(address, length)): REFUSED_KEYS * factor for length, factor in NETWORKS}
        now_ms = self._now_ms()
        # Once a window is known to be full, a flood costs the store nothing.
        if any(self._refusals.knows(key, now_ms) for key in limits):
            return True
        try:
            self._take(tuple(Window(key, limit, _MINUTE_MS) for key, limit in limits.items()))
        except TooManyAttempts:
            return True
        return False

    def is_last_failure(self, key: str, lasts_seconds: int) -> bool:
        """Count a wrong code or password that was sent with a token. Tell whether there were too many in a row.

        The count is kept for `lasts_seconds`, the life of the token or session. Works even if the throttle is off.
        """
        slot = self._reserve("token failures", key, MOST_FAILURES_OF_A_TOKEN - 1, lasts_seconds * 1000)
        return slot is not None and not slot.taken

    def forget_failures(self, key: str) -> None:
        """Reset the count of `is_last_failure`, after a right code or password."""
        # If the store is down, the surrounding attempt has logged that.
        with suppress(StoreUnavailable):
            self._store.clear(self._key("token failures", key))

    def is_to_report(self, username: str) -> bool:
        """Count a failed sign-in of a name from any address. Return True if there were too many, once an hour in each process."""
        slot = self._reserve("failures", throttled_name(username), FAILURES_TO_REPORT - 1, _HOUR_MS)
        if slot is None or slot.taken or not self._reports.is_first(slot.key, self._now_ms(), slot.ends_at_ms):
            return False
        with self._lock:
            self.reported_names_total += 1
        return True

    def count(self, kind: str, name: str, limit: int) -> None:
        """Count an action of some kind; a name may do `limit` of them a minute. A refused action is not counted.

        Raises TooManyRequests with `Retry-After`. Works even if the throttle is off. If the store is down, the action is allowed.
        """
        now_ms = self._now_ms()
        try:
            slot = self._store.reserve(self._key(kind, name), limit, now_ms, _MINUTE_MS)
        except StoreUnavailable as reason:
            self._count_unavailable("the request goes on", reason)
            return
        if not slot.taken:
            raise TooManyRequests("Too Many Requests", retry_after=_seconds_until(slot.ends_at_ms, now_ms))

    def count_own_password(self, user_id: int) -> None:
        """Count a hash of a user's own password. Raises TooManyRequests as `count` does."""
        self.count("own-password", str(user_id), OWN_PASSWORD_HASHES)

    def check(self) -> None:
        """Check the store: take a slot and return it. Without a throttle there is no check. Raises StoreUnavailable."""
        if self._max_attempts:
            slot = self._store.reserve(self._key("check", ""), 10**9, self._now_ms(), self._interval_ms)
            self._store.give_back(slot)

    @contextmanager
    def _hold(self, *windows: Window) -> Iterator[None]:
        taken = self._take(windows) if self._max_attempts else []
        try:
            yield
        except BadCredentials:
            taken = []  # the slots of a failed attempt stay taken
            raise
        finally:
            self._give_back(taken)

    def _take(self, windows: tuple[Window, ...]) -> list[Slot]:
        now_ms = self._now_ms()
        taken: list[Slot] = []
        is_reported = False
        # A window that is known to be full comes first. If it refuses again, nothing is written to the others.
        for window in sorted(windows, key=lambda window: not self._refusals.knows(window.key, now_ms)):
            try:
                slot = self._store.reserve(window.key, window.limit, now_ms, window.interval_ms)
            except StoreUnavailable as reason:
                # A store that is down must not lock everybody out, but the log must show it, once an attempt.
                if not is_reported:
                    self._count_unavailable("the sign-in goes on", reason)
                is_reported = True
                continue
            if not slot.taken:
                self._give_back(taken)
                is_first = self._refusals.is_first(slot.key, now_ms, slot.ends_at_ms)
                raise TooManyAttempts(_seconds_until(slot.ends_at_ms, now_ms), is_first=is_first)
            taken.append(slot)
        return taken

    def _give_back(self, slots: list[Slot]) -> None:
        try:
            for slot in slots:
                self._store.give_back(slot)
        except StoreUnavailable as reason:
            self._count_unavailable("a slot stays taken", reason)

    def _reserve(self, kind: str, text: str, limit: int, interval_ms: int) -> Slot | None:
        """Take a slot that is not given back. Return None if the store is down; the surrounding attempt has then logged that."""
        try:
            return self._store.reserve(self._key(kind, text), limit, self._now_ms(), interval_ms)
        except StoreUnavailable:
            return None

    def _window(self, kind: str, text: str, factor: int = 1) -> Window:
        return Window(self._key(kind, text), self._max_attempts * factor, self._interval_ms)

    def _now_ms(self) -> int:
        return epoch_ms(self._clock())

    def _count_unavailable(self, consequence: str, reason: StoreUnavailable) -> None:
        with self._lock:
            self.unavailable_total += 1
        extra = {"unavailable_total": self.unavailable_total}
        logger.error("the throttle's store cannot be reached: %s; %s", reason, consequence, extra=extra)

    def _key(self, kind: str, text: str) -> str:
        return hmac.new(self._secret, f"{kind}:{text}".encode(errors="replace"), hashlib.sha256).hexdigest()


def _seconds_until(end_ms: int, now_ms: int) -> int:
    """Return the whole seconds until a window ends, rounded up, at least 1."""
    return max(1, -(-(end_ms - now_ms) // 1000))


def throttled_name(username: str) -> str:
    """Return a form of a user name that is equal for names that look alike, so that they share a window.

    Compatibility forms, case, surrounding spaces and invisible characters (soft hyphen, zero-width) make no difference.
    """
    composed = unicodedata.normalize("NFKC", username[: 4 * USERNAME_LENGTH])
    visible = "".join(char for char in composed if unicodedata.category(char) != "Cf")
    return visible.casefold().strip()[:USERNAME_LENGTH]
