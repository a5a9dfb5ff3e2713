"""How many users there are: kept beside them in our own schema, and counted every few seconds beside a campus."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from sqlalchemy import BigInteger, func, inspect, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.compiled_reads import Read, Reader
from models.database import Base, count_met
from models.user import User

#: A count that had to be made is good for so long, unless we ourselves insert or delete a user.
MAX_AGE_SECONDS = 5.0


class UserTotal(Base):
    """What our own writes know of the number of users: one row, which they change in their transaction.

    `changes` grows with each of them. The others are kept in our own schema alone: `total`, and the largest id that there was
    when it was right, 0 for none. Another one there now means that somebody else wrote to the table.
    """

    __tablename__ = "poort_user_total"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    changes: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int]
    newest_id: Mapped[int]


class _Known(NamedTuple):
    changes: int
    total: int
    newest_id: int
    newest_there: int


@dataclass(frozen=True, slots=True)
class _Counted:
    """A count, the row and the newest id that were there before it, and when it began."""

    number: int
    known: _Known | None
    began_at: float


class UserTotals:
    """Tells how many users there are, at the same price however many."""

    def __init__(
        self, reader: Reader, session: Callable[[], Session], *, is_campus: bool, timer: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what reads, whether somebody else writes to the table, and what tells the age of a count."""
        self._reader = reader
        self._session = session
        self._is_campus = is_campus
        self._timer = timer
        self._lock = Lock()
        self._counted: _Counted | None = None
        self._has_table: bool | None = None
        newest = select(func.coalesce(func.max(User.id), 0)).scalar_subquery()
        known = select(UserTotal.changes, UserTotal.total, UserTotal.newest_id, newest)
        self._known = Read(known, (len(_Known._fields), _Known._make))
        self._count = Read(select(func.count()).select_from(User), (1, lambda values: values[0]))

    def of_everyone(self) -> int:
        """Return how many users there are, or, where others write to the table, were at most five seconds ago."""
        known = self._find_known()
        if known is not None and not self._is_campus and known.newest_id == known.newest_there:
            return known.total
        # One thread counts, the others take what it found.
        with self._lock:
            counted = self._counted
            if counted is None or counted.known != known or self._timer() - counted.began_at >= MAX_AGE_SECONDS:
                began_at = self._timer()
                counted = self._counted = _Counted(self._reader.rows(self._count, {})[0], known, began_at)
            return counted.number

    def _find_known(self) -> _Known | None:
        if self._has_table is None:  # a server that only reads may stand beside a campus that has no table of ours
            session = self._session()
            self._has_table = inspect(session.connection()).has_table(UserTotal.__tablename__)
            session.rollback()
        rows: list[_Known] = self._reader.rows(self._known, {}) if self._has_table else []
        return rows[0] if rows else None


def count_change(session: Session, user_id: int, change: int, *, is_campus: bool) -> None:
    """Count a user who was inserted, 1, or deleted, -1, in this transaction.

    It comes after the change: who holds the total waits for no other user. What somebody else did to the table is found
    out, and all are counted anew.
    """
    _hold(session, change)
    if is_campus:
        return
    others = select(User.id).where(User.id != user_id).order_by(User.id.desc()).limit(1)
    row = session.execute(select(UserTotal.newest_id, func.coalesce(others.scalar_subquery(), 0))).one_or_none()
    if row is None:
        return
    known, newest_other = row
    before, after = (newest_other, max(newest_other, user_id)) if change > 0 else (max(newest_other, user_id), newest_other)
    if known != before:
        _count_again(session)
    elif known != after:
        count_met(session, update(UserTotal).values(newest_id=after))


def recount(session: Session, *, is_campus: bool) -> None:
    """Count all users: after many were inserted, as the last step of the transaction, or where the total may be wrong."""
    _hold(session, 0)
    if not is_campus:
        _count_again(session)


def _hold(session: Session, change: int) -> None:
    """Change the row, so that nobody else does until the transaction ends."""
    count_met(session, update(UserTotal).values(changes=UserTotal.changes + 1, total=UserTotal.total + change))


def _count_again(session: Session) -> None:
    total, newest_id = session.execute(select(func.count(), func.coalesce(func.max(User.id), 0)).select_from(User)).one()
    count_met(session, update(UserTotal).values(total=total, newest_id=newest_id))
