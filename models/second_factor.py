"""Second factors: the secret of a user's authenticator app, encrypted, and the hashes of their backup codes."""

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from models.database import Base, UtcDateTime


class SecondFactor(Base):
    """A user's authenticator app. It counts from `confirmed_at` on; `last_step` is the last code that was used (RFC 6238)."""

    __tablename__ = "poort_second_factor"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret: Mapped[str] = mapped_column(String(255))
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_step: Mapped[int | None] = mapped_column(BigInteger)


class BackupCode(Base):
    """A code for once, in the place of the app's; as a hash."""

    __tablename__ = "poort_backup_code"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
