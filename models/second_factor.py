"""Second factors: the encrypted secret of a user's authenticator app, and the hashes of their backup codes."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, String, delete, func, insert, inspect, or_, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Base, UtcDateTime, count_met, upsert

#: After this many consecutive wrong codes at sign-ins no code is accepted (docs/compatibility.md#totp-limits).
MOST_WRONG_CODES = 100


class SecondFactor(Base):
    """A user's authenticator app, in use since `confirmed_at`. `last_step` is the time step of the last used code (RFC 6238).

    `wrong_codes` counts consecutive wrong codes at sign-ins.
    """

    __tablename__ = "poort_second_factor"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret: Mapped[str] = mapped_column(String(255))
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    wrong_codes: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class BackupCode(Base):
    """The hash of a backup code, which works once in place of a code from the app."""

    __tablename__ = "poort_backup_code"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)


class Enrolment(NamedTuple):
    """A user's app: its encrypted secret, and whether the user has confirmed it with a code."""

    secret: str
    is_confirmed: bool


class SecondFactorTable:
    """Finds second factors. There are none beside a campus, nor in a database that lacks the tables."""

    def __init__(self, *, is_campus: bool, tables_may_be_missing: bool) -> None:
        """Take whether the tables may be missing, as on a read-only server. If so, the first use checks."""
        self._is_there: bool | None = False if is_campus else None if tables_may_be_missing else True

    def find(self, session: Session, user_id: int) -> Enrolment | None:
        """Return a user's app, confirmed or not, or None."""
        if self._is_there is None:
            self._is_there = inspect(session.connection()).has_table(SecondFactor.__tablename__)
        if not self._is_there:
            return None
        chosen = select(SecondFactor.secret, SecondFactor.confirmed_at).where(SecondFactor.user_id == user_id)
        row = session.execute(chosen).one_or_none()
        return Enrolment(row.secret, row.confirmed_at is not None) if row else None


def begin(session: Session, user_id: int, secret: str) -> None:
    """Store an unconfirmed secret, in place of an earlier one. The caller must have locked and checked the user's row."""
    row = {"user_id": user_id, "secret": secret, "confirmed_at": None, "last_step": None, "wrong_codes": 0}
    upsert(session, SecondFactor, row)


def confirm(session: Session, user_id: int, secret: str, step: int, now: datetime) -> bool:
    """Confirm a stored secret, and mark its code of `step` as used. False if it was replaced, removed or confirmed before."""
    begun = (SecondFactor.user_id == user_id, SecondFactor.secret == secret, SecondFactor.confirmed_at.is_(None))
    return count_met(session, update(SecondFactor).where(*begun).values(confirmed_at=now, last_step=step)) == 1


def use_step(session: Session, user_id: int, secret: str, step: int) -> bool:
    """Mark the code of `step` as used. False if this code or a later one was used before, perhaps by a concurrent request."""
    is_new = or_(SecondFactor.last_step.is_(None), SecondFactor.last_step < step)
    confirmed = (SecondFactor.user_id == user_id, SecondFactor.secret == secret, SecondFactor.confirmed_at.is_not(None))
    return count_met(session, update(SecondFactor).where(*confirmed, is_new).values(last_step=step)) == 1


def count_wrong_codes(session: Session, user_id: int) -> int:
    """Return the number of a user's consecutive wrong codes at sign-ins."""
    return session.scalar(select(SecondFactor.wrong_codes).where(SecondFactor.user_id == user_id)) or 0


def begin_guess(session: Session, user_id: int, secret: str) -> int | None:
    """Count a code as wrong before checking it. Return the new count; None if no more are accepted, or the secret is gone.

    Locks the row until commit, so that no two guesses get the same number.
    """
    may_guess = (SecondFactor.user_id == user_id, SecondFactor.secret == secret, SecondFactor.wrong_codes < MOST_WRONG_CODES)
    counted = update(SecondFactor).where(*may_guess).values(wrong_codes=SecondFactor.wrong_codes + 1)
    return count_wrong_codes(session, user_id) if count_met(session, counted) else None


def take_guess_back(session: Session, user_id: int) -> None:
    """Undo `begin_guess` for a code that could not be checked."""
    some = (SecondFactor.user_id == user_id, SecondFactor.wrong_codes > 0)
    count_met(session, update(SecondFactor).where(*some).values(wrong_codes=SecondFactor.wrong_codes - 1))


def forget_wrong_codes(session: Session, user_id: int) -> None:
    """Reset the count of wrong codes, after a valid one or a new password."""
    some = (SecondFactor.user_id == user_id, SecondFactor.wrong_codes > 0)
    count_met(session, update(SecondFactor).where(*some).values(wrong_codes=0))


def replace_backup_codes(session: Session, user_id: int, hashes: Iterable[str]) -> None:
    """Replace the backup codes of a user, used or not."""
    session.execute(delete(BackupCode).where(BackupCode.user_id == user_id))
    session.execute(insert(BackupCode), [{"user_id": user_id, "hash": hashed} for hashed in hashes])


def use_backup_code(session: Session, user_id: int, hashed: str) -> bool:
    """Use up a backup code. False if it does not exist, or a concurrent request has used it."""
    return count_met(session, delete(BackupCode).where(BackupCode.user_id == user_id, BackupCode.hash == hashed)) == 1


def count_backup_codes(session: Session, user_id: int) -> int:
    """Return how many backup codes a user has left."""
    return session.scalar(select(func.count()).select_from(BackupCode).where(BackupCode.user_id == user_id)) or 0


def remove_second_factor(session: Session, user_id: int) -> bool:
    """Delete a user's app and backup codes. Return whether there was an app, confirmed or not."""
    # The same order as in a sign-in with a backup code. The other order can deadlock with it.
    was_there = count_met(session, delete(SecondFactor).where(SecondFactor.user_id == user_id)) == 1
    session.execute(delete(BackupCode).where(BackupCode.user_id == user_id))
    return was_there
