"""Mutants that change nothing that anyone could meet, each with the reason. `make mutants` leaves them out.

A name is the path, the function, and the lines before and after the change, as the report prints it.
"""

_CLAMPED = "the result is held within 64 bits either way"
_ORDER_ALONE = "only the order of the scores counts, and it stays"
_NO_SUCH_FLOAT = "no float equals INT_MAX, and one whose magnitude exceeds it is neither 0 nor 1"

EQUIVALENT: dict[str, str] = {
    "rest/media_ranges.py _score: of_base = 100 * (base == own_base) => of_base = 101 * (base == own_base)": _ORDER_ALONE,
    "rest/media_ranges.py _score: return of_base + 10 * (sub == own_sub) => return of_base + 11 * (sub == own_sub)": _ORDER_ALONE,
    "rest/media_ranges.py _score: return of_base + 10 * (name == own_name) + (structure == own_structure)"
    " => return of_base + 11 * (name == own_name) + (structure == own_structure)": _ORDER_ALONE,
    "rest/query.py integer: magnitude = int(significant) if len(significant) <= len(str(INT_MAX)) else INT_MAX + 1"
    " => magnitude = int(significant) if len(significant) <= len(str(INT_MAX)) else INT_MAX + 2": _CLAMPED,
    "rest/query.py integer: return int(number) if abs(number) < INT_MAX else INT_MAX if number > 0 else -INT_MAX - 1"
    " => return int(number) if abs(number) < INT_MAX else INT_MAX if number > 1 else -INT_MAX - 1": _NO_SUCH_FLOAT,
    "rest/query.py integer: return int(number) if abs(number) < INT_MAX else INT_MAX if number > 0 else -INT_MAX - 1"
    " => return int(number) if abs(number) < INT_MAX else INT_MAX if (number >= 0) else -INT_MAX - 1": _NO_SUCH_FLOAT,
    "rest/query.py integer: return int(number) if abs(number) < INT_MAX else INT_MAX if number > 0 else -INT_MAX - 1"
    " => return int(number) if (abs(number) <= INT_MAX) else INT_MAX if number > 0 else -INT_MAX - 1": _NO_SUCH_FLOAT,
    "rest/query.py _put: while bracket and len(keys) < _MAX_NESTING and (match := _KEY.match(name, position)):"
    " => while (len(keys) < _MAX_NESTING and (match := _KEY.match(name, position))):": "without a bracket nothing matches at the end",
    "security/throttle/limiter.py LoginLimiter.check:"
    ' slot = self._store.reserve(self._key("check", ""), 10**9, self._now_ms(), self._interval_ms)'
    ' => slot = self._store.reserve(self._key("check", ""), 11**9, self._now_ms(), self._interval_ms)': "nobody reaches either",
    "security/throttle/limiter.py LoginLimiter.check:"
    ' slot = self._store.reserve(self._key("check", ""), 10**9, self._now_ms(), self._interval_ms)'
    ' => slot = self._store.reserve(self._key("check", ""), 10**10, self._now_ms(), self._interval_ms)': "nobody reaches either",
    "blueprints/users/policy.py _may_take_over:"
    " return not is_protected or caller.id == user.id or caller.is_granted(ROLE_GLOBAL_ADMIN)"
    " => return (not is_protected or caller.is_granted(ROLE_GLOBAL_ADMIN))": "a protected caller is a global administrator",
    'blueprints/users/passwords.py read_password_change: broken = find_violations(NEW_PASSWORD, {"password": password}, complete=False)'
    ' => broken = find_violations(NEW_PASSWORD, {"password": password}, complete=True)': "the one property that is required is there",
    "security/throttle/stores.py MemoryWindows.reserve: hits, ends_at_ms = self._windows.get(key, (0, 0))"
    " => hits, ends_at_ms = self._windows.get(key, (1, 0))": "a window that has ended begins anew, whatever its hits",
    "security/bearer.py authenticate_caller: def authenticate_caller(item_id: int = 0) -> tuple[Caller, Any]:"
    " => def authenticate_caller(item_id: int = 1) -> tuple[Caller, Any]:": "who names no item ignores the one that comes",
    "security/bearer.py authenticate_caller: verified.add(token, bearer, claims.kid) => pass": "to remember a token only saves time",
    'rest/paths.py is_canonical: return "%2" not in raw or "%2f" not in raw_path(environ).lower()'
    " => return ('%2f' not in raw_path(environ).lower())": "to look for two characters first only saves time",
    "security/client_address.py TrustedProxies._is_trusted: if not self._networks or not peer:"
    " => if (not peer):": "without networks, no address is in one of them",
    "security/keys/files.py KeyFiles.public_keys:"
    " found = [key for _, key in self.keys_put_aside(0) if isinstance(key, RSAPublicKey)]"
    " => found = [key for _, key in self.keys_put_aside(1) if isinstance(key, RSAPublicKey)]": "no file is from the first second of 1970",
    "security/keys/key_set.py KeySet._snapshot_within:"
    " if not self._lock.acquire(blocking=waits or snapshot is None) and snapshot is not None:"
    " => if (not self._lock.acquire(blocking=waits or snapshot is None)):": "without a snapshot, the lock is always acquired",
}
