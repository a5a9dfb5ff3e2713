"""Second factors: the secret of a user's authenticator app, encrypted, and the hashes of their backup codes."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, String, delete, func, insert, inspect, or_, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Base, UtcDateTime, count_met, upsert

#: After so many wrong codes in a row at sign-ins no code is accepted, until the password or the second factor is reset.
MOST_WRONG_CODES = 100


class SecondFactor(Base):
    """A user's authenticator app. It counts from `confirmed_at` on; `last_step` is the last code that was used (RFC 6238).

    `wrong_codes` are those in a row at sign-ins.
    """

    __tablename__ = "poort_second_factor"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret: Mapped[str] = mapped_column(String(255))
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    wrong_codes: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class BackupCode(Base):
    """A code for once, in the place of the app's; as a hash."""

    __tablename__ = "poort_backup_code"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)


class Enrolment(NamedTuple):
    """What is known of a user's app: the encrypted secret, and whether the user has shown a code of it."""

    secret: str
    is_confirmed: bool


class SecondFactorTable:
    """Reads who has a second factor: nobody beside a campus, nor where a server that only reads is ahead of its tables."""

    def __init__(self, *, is_campus: bool, tables_may_be_missing: bool) -> None:
        """Take where this is, and whether to look for the tables first; that is done once."""
        self._is_there: bool | None = False if is_campus else None if tables_may_be_missing else True

    def find(self, session: Session, user_id: int) -> Enrolment | None:
        """Return what there is of a user, confirmed or only begun."""
        if self._is_there is None:
            self._is_there = inspect(session.connection()).has_table(SecondFactor.__tablename__)
        if not self._is_there:
            return None
        chosen = select(SecondFactor.secret, SecondFactor.confirmed_at).where(SecondFactor.user_id == user_id)
        row = session.execute(chosen).one_or_none()
        return Enrolment(row.secret, row.confirmed_at is not None) if row else None


def begin(session: Session, user_id: int, secret: str) -> None:
    """Keep a secret that counts for nothing yet, in the place of an earlier one. Hold the user's row, and look, before."""
    row = {"user_id": user_id, "secret": secret, "confirmed_at": None, "last_step": None, "wrong_codes": 0}
    upsert(session, SecondFactor, row)


def confirm(session: Session, user_id: int, secret: str, step: int, now: datetime) -> bool:
    """Let a begun secret count; its code of a step is used with that. Tell whether it was there, and only begun."""
    begun = (SecondFactor.user_id == user_id, SecondFactor.secret == secret, SecondFactor.confirmed_at.is_(None))
    return count_met(session, update(SecondFactor).where(*begun).values(confirmed_at=now, last_step=step)) == 1


def use_step(session: Session, user_id: int, secret: str, step: int) -> bool:
    """Use the code of a step. Tell whether neither it nor a later one was used before: of several at once one wins."""
    is_new = or_(SecondFactor.last_step.is_(None), SecondFactor.last_step < step)
    confirmed = (SecondFactor.user_id == user_id, SecondFactor.secret == secret, SecondFactor.confirmed_at.is_not(None))
    return count_met(session, update(SecondFactor).where(*confirmed, is_new).values(last_step=step)) == 1


def count_wrong_codes(session: Session, user_id: int) -> int:
    """Return how many codes of a user were wrong in a row at sign-ins."""
    return session.scalar(select(SecondFactor.wrong_codes).where(SecondFactor.user_id == user_id)) or 0


def begin_guess(session: Session, user_id: int, secret: str) -> int | None:
    """Count a code as wrong before it is looked at, and return which in a row it is; None where no more are accepted.

    The row is held until the transaction ends, so that no two guesses get the same number.
    """
    may_guess = (SecondFactor.user_id == user_id, SecondFactor.secret == secret, SecondFactor.wrong_codes < MOST_WRONG_CODES)
    counted = update(SecondFactor).where(*may_guess).values(wrong_codes=SecondFactor.wrong_codes + 1)
    return count_wrong_codes(session, user_id) if count_met(session, counted) else None


def take_guess_back(session: Session, user_id: int) -> None:
    """Count one wrong code less: one that could not be looked at is none."""
    some = (SecondFactor.user_id == user_id, SecondFactor.wrong_codes > 0)
    count_met(session, update(SecondFactor).where(*some).values(wrong_codes=SecondFactor.wrong_codes - 1))


def forget_wrong_codes(session: Session, user_id: int) -> None:
    """Begin to count wrong codes anew: after a good one, and after a new password."""
    some = (SecondFactor.user_id == user_id, SecondFactor.wrong_codes > 0)
    count_met(session, update(SecondFactor).where(*some).values(wrong_codes=0))


def replace_backup_codes(session: Session, user_id: int, hashes: Iterable[str]) -> None:
    """Give a user new backup codes; what is left of the old ones is gone."""
    session.execute(delete(BackupCode).where(BackupCode.user_id == user_id))
    session.execute(insert(BackupCode), [{"user_id": user_id, "hash": hashed} for hashed in hashes])


def use_backup_code(session: Session, user_id: int, hashed: str) -> bool:
    """Use a backup code. Tell whether it was there: of several at once one wins."""
    return count_met(session, delete(BackupCode).where(BackupCode.user_id == user_id, BackupCode.hash == hashed)) == 1


def count_backup_codes(session: Session, user_id: int) -> int:
    """Return how many backup codes a user has left."""
    return session.scalar(select(func.count()).select_from(BackupCode).where(BackupCode.user_id == user_id)) or 0


def remove_second_factor(session: Session, user_id: int) -> bool:
    """Remove the app and the backup codes of a user. Tell whether there was an app, confirmed or only begun."""
    # In this order, which is that of a sign-in with a backup code: the other one may end in a deadlock.
    was_there = count_met(session, delete(SecondFactor).where(SecondFactor.user_id == user_id)) == 1
    session.execute(delete(BackupCode).where(BackupCode.user_id == user_id))
    return was_there
