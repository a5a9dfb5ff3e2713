"""Chamilo's two tables about sign-ins: who was in when, and every attempt."""

from datetime import datetime

from sqlalchemy import String, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import MYSQL_TABLE, Base, UtcDateTime, storable
from models.user import USERNAME_LENGTH, Account, User

# A proxy that is trusted may still forward a text of any length.
_IP_LENGTH = 45


class TrackELogin(Base):
    """A stay: from a good sign-in to the sign-out, which a token does not have."""

    __tablename__ = "track_e_login"
    __table_args__ = MYSQL_TABLE

    login_id: Mapped[int] = mapped_column(primary_key=True)
    login_user_id: Mapped[int] = mapped_column(index=True)
    login_date: Mapped[datetime] = mapped_column(UtcDateTime)
    user_ip: Mapped[str] = mapped_column(String(_IP_LENGTH))
    logout_date: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TrackELoginRecord(Base):
    """An attempt to sign in, good or not."""

    __tablename__ = "track_e_login_record"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(USERNAME_LENGTH))
    login_date: Mapped[datetime] = mapped_column(UtcDateTime)
    user_ip: Mapped[str] = mapped_column(String(_IP_LENGTH))
    success: Mapped[bool]


def record_success(session: Session, account: Account, new_hash: str | None, address: str, now: datetime) -> None:
    """Note a good sign-in: `last_login`, a row in both tables, and the renewed hash where there is one."""
    session.execute(update(User).where(User.id == account.id).values(last_login=now))
    if new_hash is not None:
        # Not where the password was changed meanwhile.
        unchanged = (User.id == account.id, User.password == account.password)
        session.execute(update(User).where(*unchanged).values(password=new_hash))
    user_ip = storable(address, _IP_LENGTH)
    session.add(TrackELogin(login_user_id=account.id, login_date=now, user_ip=user_ip))
    session.add(TrackELoginRecord(username=account.username, login_date=now, user_ip=user_ip, success=True))


def record_failure(session: Session, username: str, address: str, now: datetime) -> None:
    """Note a refused sign-in. The name is what a stranger typed: cut to the column, without NUL."""
    name = username.replace("\0", "")[:USERNAME_LENGTH]
    session.add(TrackELoginRecord(username=name, login_date=now, user_ip=storable(address, _IP_LENGTH), success=False))
