"""Sessions that go on by refreshing, and their refresh tokens: hashes and salts, never a token."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Row, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import CHUNK, MYSQL_TABLE, Base, UtcDateTime, count_met

ADDRESS_LENGTH, USER_AGENT_LENGTH = 45, 255


class SignInSession(Base):
    """A family of refresh tokens: what began with one sign-in. It ends when its row is gone, or at `expires_at`.

    `password_digest` names the password that it began with: beside a campus, one is changed without our being told.
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
    """A refresh token of a session, as its SHA-256; used once, and then the predecessor of the next.

    The next one follows from it and the salt, which is there until the next one is used. The row stays as long as the
    session, so that a token which comes back is known.
    """

    __tablename__ = "poort_refresh_token"
    __table_args__ = MYSQL_TABLE

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), index=True)
    salt: Mapped[str | None] = mapped_column(String(64))
    used_at_ms: Mapped[int | None] = mapped_column(BigInteger)


def find_owner(session: Session, token_hash: str) -> Row[str, int] | None:
    """Find whose a refresh token is: `session_id` and `user_id`; None where it, or its session, is not there."""
    owner = select(RefreshToken.session_id, SignInSession.user_id).where(RefreshToken.session_id == SignInSession.id)
    return session.execute(owner.where(RefreshToken.hash == token_hash)).one_or_none()


def hold_session(session: Session, session_id: str, now: datetime) -> SignInSession | None:
    """Hold a session that is alive until the transaction ends: whoever ends it does so before, or after."""
    alive = select(SignInSession).where(SignInSession.id == session_id, SignInSession.expires_at > now)
    return session.scalar(alive.with_for_update())


def use_token(session: Session, token_hash: str, now_ms: int) -> bool:
    """Use a refresh token, and tell whether that was the first time: of all who race, one is told so."""
    unused = (RefreshToken.hash == token_hash, RefreshToken.used_at_ms.is_(None))
    return count_met(session, update(RefreshToken).where(*unused).values(used_at_ms=now_ms)) > 0


def forget_salts(session: Session, session_id: str, but_of: str) -> None:
    """Forget from what the older tokens' successors were made, so that no old token and a copy of the table yield a new one."""
    older = (RefreshToken.session_id == session_id, RefreshToken.hash != but_of, RefreshToken.salt.is_not(None))
    count_met(session, update(RefreshToken).where(*older).values(salt=None))


def live_sessions_of(session: Session, user_id: int, now: datetime) -> Sequence[SignInSession]:
    """Return the sessions of a user that are alive, the newest first."""
    alive = select(SignInSession).where(SignInSession.user_id == user_id, SignInSession.expires_at > now)
    return session.scalars(alive.order_by(SignInSession.created_at.desc(), SignInSession.id)).all()


def end_session(session: Session, session_id: str, user_id: int) -> bool:
    """End a session of a user, and tell whether there was one."""
    ended = count_met(session, delete(SignInSession).where(SignInSession.id == session_id, SignInSession.user_id == user_id)) > 0
    if ended:
        count_met(session, delete(RefreshToken).where(RefreshToken.session_id == session_id))
    return ended


def end_sessions_of(session: Session, user_id: int) -> None:
    """End every session of a user. The sessions go first: a refresh holds its session while it makes the next token."""
    ids = list(session.scalars(select(SignInSession.id).where(SignInSession.user_id == user_id)))
    session.execute(delete(SignInSession).where(SignInSession.user_id == user_id))
    session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(ids)))


def remove_expired_sessions(session: Session, now: datetime, user_id: int | None = None) -> int:
    """Remove the sessions that are over, of one user or of all, and return their number."""
    over = select(SignInSession.id).where(SignInSession.expires_at <= now).limit(CHUNK)
    if user_id is not None:
        over = over.where(SignInSession.user_id == user_id)
    removed = 0
    # What someone holds is being ended by them.
    while ids := session.scalars(over.with_for_update(skip_locked=True)).all():
        removed += count_met(session, delete(SignInSession).where(SignInSession.id.in_(ids)))
        count_met(session, delete(RefreshToken).where(RefreshToken.session_id.in_(ids)))
    return removed
