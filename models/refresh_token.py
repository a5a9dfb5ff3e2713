"""Sessions that go on by refreshing, and their refresh tokens: hashes and salts, never a token."""

from datetime import datetime

from sqlalchemy import BigInteger, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import MYSQL_TABLE, Base, UtcDateTime


class SignInSession(Base):
    """A family of refresh tokens: what began with one sign-in. It ends when its row is gone."""

    __tablename__ = "poort_session"
    __table_args__ = MYSQL_TABLE

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    address: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(255))


class RefreshToken(Base):
    """A refresh token of a session, as its SHA-256; used once, and then the predecessor of the next."""

    __tablename__ = "poort_refresh_token"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), index=True)
    salt: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at_ms: Mapped[int | None] = mapped_column(BigInteger)


def end_sessions_of(session: Session, user_id: int) -> None:
    """End every session of a user. The sessions go first: a refresh holds its session while it makes the next token."""
    ids = list(session.scalars(select(SignInSession.id).where(SignInSession.user_id == user_id)))
    session.execute(delete(SignInSession).where(SignInSession.user_id == user_id))
    session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(ids)))
