"""The cache of verified tokens: a client sends the same token many times, and one check of its signature is enough."""

import hashlib
from collections.abc import Collection
from threading import Lock
from typing import Any, NamedTuple, Self

# An entry takes 0.6 to 1.2 KB, depending on the length of the user name, so a full cache takes less than 8 MB.
_MAX_TOKENS = 4096
_MAX_CHARACTERS = 1536

# A token signed elsewhere may have an `exp` that is too large for a database column.
_LAST_SECOND = 2**53


class BearerToken(NamedTuple):
    """The content of a verified token, and the keys under which it may be revoked: its own, then its session's, if any.

    Times are seconds since the epoch.
    """

    username: Any
    issued_at: float
    not_before: float
    expires_at: int
    keys: tuple[str, ...]
    session_id: str | None

    @classmethod
    def of(cls, token: str, claims: dict[str, Any]) -> Self:
        """Read the claims of a token. Its key is a hash of its `jti`, or else of its payload.

        A hash of the whole text would not do: ending a token would not end another with the same claims and another header.
        """
        jti, session_id = claims.get("jti"), claims.get("sid")
        key = _hash(f"jti:{jti}" if isinstance(jti, str) and jti else f"payload:{token.split('.')[1]}")
        session_id = session_id if isinstance(session_id, str) and session_id else None
        keys = (key,) if session_id is None else (key, session_key(session_id))
        issued_at, expires_at = claims["iat"], min(int(claims["exp"]), _LAST_SECOND)
        not_before = max(issued_at, claims.get("nbf", issued_at))
        return cls(claims.get("username"), issued_at, not_before, expires_at, keys, session_id)

    @property
    def key(self) -> str:
        """Return the key of this token alone."""
        return self.keys[0]


def session_key(session_id: str) -> str:
    """Return the key under which all tokens of a session are revoked."""
    return _hash(f"sid:{session_id}")


class VerifiedTokens:
    """Caches verified tokens under their SHA-256, with the id of the key that verified each. All threads share it."""

    def __init__(self) -> None:
        self._tokens: dict[bytes, tuple[str, BearerToken]] = {}
        self._lock = Lock()

    def find(self, token: str, kids: Collection[str], now: int, leeway: int) -> BearerToken | None:
        """Return the content of a cached token, unless its key has left the set, it has expired, or it is not valid yet.

        `kids` are the ids of the keys that verify now, `now` is in seconds since the epoch, `leeway` in seconds.
        """
        kid, bearer = self._tokens.get(hashlib.sha256(token.encode()).digest(), _MISS)
        if bearer is None or kid not in kids or bearer.expires_at + leeway <= now or bearer.not_before - leeway > now:
            return None
        return bearer

    def add(self, token: str, bearer: BearerToken, kid: str) -> None:
        """Cache a verified token, unless it is longer than 1,536 characters. A full cache drops its oldest entry."""
        if len(token) > _MAX_CHARACTERS:
            return
        with self._lock:
            if len(self._tokens) >= _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[hashlib.sha256(token.encode()).digest()] = kid, bearer


_MISS = ("", None)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
