"""Ends tokens early: all of a user's issued before a moment, a single one, or a session's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, String, delete, exists, false, inspect, null, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Base, exact_string, upsert
from models.folding import canonical_username
from models.refresh_token import end_sessions_of


class TokenValidity:
    """Reads which tokens were ended. On a read-only server beside a campus the tables may be missing."""

    def __init__(self, *, tables_may_be_missing: bool) -> None:
        """Take whether the tables may be missing. If so, the first use checks."""
        self._is_there = None if tables_may_be_missing else True

    def find_valid_after(self, session: Session, username: str) -> int:
        """Return the second since the epoch from which a user name's tokens are valid; 0 if all are."""
        return (session.scalar(_valid_after(canonical_username(username))) or 0) if self._has_tables(session) else 0

    def judge(self, session: Session, username: str, keys: Sequence[str]) -> tuple[int | None, bool]:
        """Return `valid_after` and `is_revoked` of a token with these keys, as `columns` selects them."""
        row = session.execute(select(*self.columns(session, canonical_username(username), keys))).one()
        return row.valid_after, bool(row.is_revoked)

    def columns(self, session: Session, canonical: Any, keys: Sequence[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return the columns that judge a token: `valid_after`, null for none, and `is_revoked`.

        `canonical` is a canonical user name; `keys` are the keys under which the token may be revoked. Both may be parameters.
        """
        if not self._has_tables(session):
            return null().label("valid_after"), false().label("is_revoked")
        return (
            _valid_after(canonical).scalar_subquery().label("valid_after"),
            exists(select(RevokedToken.key).where(RevokedToken.key.in_(keys))).label("is_revoked"),
        )

    def _has_tables(self, session: Session) -> bool:
        if self._is_there is None:
            self._is_there = inspect(session.connection()).has_table(RevokedToken.__tablename__)
        return self._is_there


class TokensValidAfter(Base):
    """The second from which a user name's tokens are valid. The row outlives the user, since a new user may get the same name."""

    __tablename__ = "poort_tokens_valid_after"

    username_canonical: Mapped[str] = mapped_column(exact_string(180), primary_key=True)
    valid_after: Mapped[int] = mapped_column(BigInteger)


class RevokedToken(Base):
    """A token, or all tokens of a session, refused until the last of them has expired. The key is a hash."""

    __tablename__ = "poort_revoked_token"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


def end_all_tokens(session: Session, user_id: int, username: str, now: datetime) -> None:
    """End every token of a user: access tokens by name, refresh tokens by id.

    This stores the next whole second. `iat` has no fractions, so it is earlier in every token issued until now.
    """
    end_tokens_of_name(session, username, now)
    end_sessions_of(session, user_id)


def end_tokens_of_name(session: Session, username: str, now: datetime) -> None:
    """End every access token issued to a user name until now."""
    row = {"username_canonical": canonical_username(username), "valid_after": int(now.timestamp()) + 1}
    upsert(session, TokensValidAfter, row)


def revoke(session: Session, key: str, expires_at: int, now: datetime) -> None:
    """Refuse the tokens with a key until `expires_at`, in seconds since the epoch. Delete expired rows."""
    session.execute(delete(RevokedToken).where(RevokedToken.expires_at < int(now.timestamp())))
    upsert(session, RevokedToken, {"key": key, "expires_at": expires_at})


def remove_outlived(session: Session, now: datetime, longest_ttl_seconds: int) -> None:
    """Delete rows that no longer refuse anything, because all tokens that they could apply to have expired."""
    second = int(now.timestamp())
    session.execute(delete(RevokedToken).where(RevokedToken.expires_at < second))
    session.execute(delete(TokensValidAfter).where(TokensValidAfter.valid_after < second - longest_ttl_seconds))


def _valid_after(canonical: Any) -> Any:
    return select(TokensValidAfter.valid_after).where(TokensValidAfter.username_canonical == canonical)
