"""Tokens that were found good: a token comes with every request, and checking its signature again says nothing new."""

import hashlib
from collections.abc import Collection
from threading import Lock
from typing import Any, NamedTuple, Self

# The oldest token goes when there are more. What is kept of a token is shorter than its text, plus some 700 bytes: all
# entries together take less than 8 MB.
_MOST = 4096
_LONGEST = 1536

# A token of another hand may claim to last longer than a column can say.
_END_OF_TIME = 2**53


class BearerToken(NamedTuple):
    """What a good token says, and the hashes under which it may have been revoked: its own, and its session's, if any."""

    username: Any
    issued_at: float
    not_before: float
    expires_at: int
    keys: tuple[str, ...]
    session_id: str | None

    @classmethod
    def of(cls, token: str, claims: dict[str, Any]) -> Self:
        """Name a token by its `jti`, else by its payload: never by its whole text, which may have several forms."""
        jti, session_id = claims.get("jti"), claims.get("sid")
        key = _hash(f"jti:{jti}" if isinstance(jti, str) and jti else f"payload:{token.split('.')[1]}")
        session_id = session_id if isinstance(session_id, str) and session_id else None
        keys = (key,) if session_id is None else (key, session_key(session_id))
        issued_at, expires_at = claims["iat"], min(int(claims["exp"]), _END_OF_TIME)
        not_before = max(issued_at, claims.get("nbf", issued_at))
        return cls(claims.get("username"), issued_at, not_before, expires_at, keys, session_id)

    @property
    def key(self) -> str:
        """Return the hash that names this token alone."""
        return self.keys[0]


def session_key(session_id: str) -> str:
    """Return the key under which all tokens of a session are revoked."""
    return _hash(f"sid:{session_id}")


class VerifiedTokens:
    """What good tokens say, by the digest of their text, and the key that verified each; for all threads of a worker."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tokens: dict[bytes, tuple[str, BearerToken]] = {}
        self._lock = Lock()

    def find(self, token: str, kids: Collection[str], now: int, leeway: int) -> BearerToken | None:
        """Return what a verified token says, if its key is one of `kids` and its times are good now.

        `kids` are the keys that verify at this moment: a token is good only while its key is. `now` is in seconds since
        the epoch, `leeway` in seconds.
        """
        kid, said = self._tokens.get(hashlib.sha256(token.encode()).digest(), _UNKNOWN)
        if said is None or kid not in kids or said.expires_at + leeway <= now or said.not_before - leeway > now:
            return None
        return said

    def add(self, token: str, said: BearerToken, kid: str) -> None:
        """Remember what a good token says and which key verified it; a token over 1,536 characters is not remembered."""
        if len(token) > _LONGEST:
            return
        with self._lock:
            if len(self._tokens) >= _MOST:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[hashlib.sha256(token.encode()).digest()] = kid, said


_UNKNOWN = ("", None)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()
