"""Sessions that are kept alive by refreshing, and their refresh tokens, of which only hashes and salts are stored."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Row, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import ADDRESS_LENGTH, CHUNK, MYSQL_TABLE, Base, UtcDateTime, count_met

USER_AGENT_LENGTH = 255


class SignInSession(Base):
    """A session: the refresh tokens that follow from one sign-in. It ends when its row is deleted, or at `expires_at`.

    `password_digest` identifies the password at the sign-in, since a campus may change a password without telling us.
    """

    __tablename__ = "poort_session"
    __table_args__ = MYSQL_TABLE

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    password_digest: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    user_agent: Mapped[str] = mapped_column(String(USER_AGENT_LENGTH))


class RefreshToken(Base):
    """The SHA-256 of a refresh token. The token is used once; its successor is derived from the token and `salt`.

    The salt is deleted when the successor is used. The row is kept as long as the session, so that reuse is detected.
    """

    __tablename__ = "poort_refresh_token"
    __table_args__ = MYSQL_TABLE

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), index=True)
    salt: Mapped[str | None] = mapped_column(String(64))
    used_at_ms: Mapped[int | None] = mapped_column(BigInteger)


def find_owner(session: Session, token_hash: str) -> Row[str, int] | None:
    """Return `session_id` and `user_id` of a refresh token; None if the token or its session does not exist."""
    owner = select(RefreshToken.session_id, SignInSession.user_id).where(RefreshToken.session_id == SignInSession.id)
    return session.execute(owner.where(RefreshToken.hash == token_hash)).one_or_none()


def hold_session(session: Session, session_id: str, now: datetime) -> SignInSession | None:
    """Lock a live session until commit, so that ending it runs either before or after this transaction."""
    alive = select(SignInSession).where(SignInSession.id == session_id, SignInSession.expires_at > now)
    return session.scalar(alive.with_for_update())


def use_token(session: Session, token_hash: str, now_ms: int) -> bool:
    """Mark a refresh token as used. Of all concurrent callers, only the first gets True."""
    unused = (RefreshToken.hash == token_hash, RefreshToken.used_at_ms.is_(None))
    return count_met(session, update(RefreshToken).where(*unused).values(used_at_ms=now_ms)) > 0


def forget_salts(session: Session, session_id: str, but_of: str) -> None:
    """Delete older salts, so that an old token plus a stolen table cannot derive a valid one."""
    older = (RefreshToken.session_id == session_id, RefreshToken.hash != but_of, RefreshToken.salt.is_not(None))
    count_met(session, update(RefreshToken).where(*older).values(salt=None))


def live_sessions_of(session: Session, user_id: int, now: datetime) -> Sequence[SignInSession]:
    """Return a user's live sessions, newest first."""
    alive = select(SignInSession).where(SignInSession.user_id == user_id, SignInSession.expires_at > now)
    return session.scalars(alive.order_by(SignInSession.created_at.desc(), SignInSession.id)).all()


def end_session(session: Session, session_id: str, user_id: int) -> bool:
    """End a session of a user. Return whether there was one."""
    ended = count_met(session, delete(SignInSession).where(SignInSession.id == session_id, SignInSession.user_id == user_id)) > 0
    if ended:
        count_met(session, delete(RefreshToken).where(RefreshToken.session_id == session_id))
    return ended


def end_sessions_of(session: Session, user_id: int) -> None:
    """End every session of a user. Sessions are deleted first, since a refresh locks its session while it adds a token."""
    ids = list(session.scalars(select(SignInSession.id).where(SignInSession.user_id == user_id)))
    session.execute(delete(SignInSession).where(SignInSession.user_id == user_id))
    session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(ids)))


def remove_expired_sessions(session: Session, now: datetime, user_id: int | None = None) -> int:
    """Delete expired sessions, of one user or of all. Return their number."""
    over = select(SignInSession.id).where(SignInSession.expires_at <= now).limit(CHUNK)
    if user_id is not None:
        over = over.where(SignInSession.user_id == user_id)
    removed = 0
    # Skip locked sessions, since another transaction is already ending them.
    while ids := session.scalars(over.with_for_update(skip_locked=True)).all():
        removed += count_met(session, delete(SignInSession).where(SignInSession.id.in_(ids)))
        count_met(session, delete(RefreshToken).where(RefreshToken.session_id.in_(ids)))
    return removed
