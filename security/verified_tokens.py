"""Tokens that were found good: a token comes with every request, and checking its signature again says nothing new."""

import hashlib
from typing import Any, NamedTuple, Self

# Of so many tokens the oldest goes; an entry takes less than a kilobyte.
_MOST = 4096

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
    """What good tokens say, by the digest of their text. Whether one has expired is asked at every use."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tokens: dict[bytes, BearerToken] = {}
        self._kids: frozenset[str] = frozenset()

    def find(self, token: str, now: int, leeway: int) -> BearerToken | None:
        """Return what a token says that was found good, where its times are good now; `now` in seconds since the epoch."""
        found = self._tokens.get(hashlib.sha256(token.encode()).digest())
        if found is None or found.expires_at + leeway <= now or found.not_before - leeway > now:
            return None
        return found

    def add(self, token: str, said: BearerToken) -> None:
        """Remember what a good token says."""
        if len(self._tokens) >= _MOST:
            self._tokens.pop(next(iter(self._tokens)), None)
        self._tokens[hashlib.sha256(token.encode()).digest()] = said

    def keep_to(self, kids: frozenset[str]) -> None:
        """Forget all tokens where the keys, by their ids, are not those that there were at the last use."""
        if kids != self._kids:
            self._tokens.clear()
            self._kids = kids


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()
