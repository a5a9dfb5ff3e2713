"""Chamilo's two tables of sign-ins: those that succeeded, and all attempts."""

from datetime import datetime

from sqlalchemy import String, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import ADDRESS_LENGTH, MYSQL_TABLE, Base, UtcDateTime, storable
from models.user import USERNAME_LENGTH, Account, User


class TrackELogin(Base):
    """A sign-in that succeeded. Chamilo also stores when the user signed out; Poort leaves `logout_date` empty."""

    __tablename__ = "track_e_login"
    __table_args__ = MYSQL_TABLE

    login_id: Mapped[int] = mapped_column(primary_key=True)
    login_user_id: Mapped[int] = mapped_column(index=True)
    login_date: Mapped[datetime] = mapped_column(UtcDateTime)
    user_ip: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    logout_date: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TrackELoginRecord(Base):
    """An attempt to sign in, successful or not."""

    __tablename__ = "track_e_login_record"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(USERNAME_LENGTH))
    login_date: Mapped[datetime] = mapped_column(UtcDateTime)
    user_ip: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    success: Mapped[bool]


def record_success(session: Session, account: Account, new_hash: str | None, address: str, now: datetime) -> None:
    """Record a sign-in: `last_login`, a row in both tables, and the renewed hash if there is one."""
    session.execute(update(User).where(User.id == account.id).values(last_login=now))
    if new_hash is not None:
        # A password that was changed in the meantime must not be overwritten.
        unchanged = (User.id == account.id, User.password == account.password)
        session.execute(update(User).where(*unchanged).values(password=new_hash))
    user_ip = storable(address, ADDRESS_LENGTH)
    session.add(TrackELogin(login_user_id=account.id, login_date=now, user_ip=user_ip))
    session.add(TrackELoginRecord(username=account.username, login_date=now, user_ip=user_ip, success=True))


def record_failure(session: Session, username: str, address: str, now: datetime) -> None:
    """Record a refused sign-in. The client chose the name, so NUL is removed and the rest cut to its column."""
    name = username.replace("\0", "")[:USERNAME_LENGTH]
    session.add(TrackELoginRecord(username=name, login_date=now, user_ip=storable(address, ADDRESS_LENGTH), success=False))
