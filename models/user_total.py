"""Tell how many users there are. In our own schema a row has the number. A campus's users, if many, are counted every 5 s.

Counting for each request would be simpler. But with 1,000,000 users on SQLite and some 25 inserts a second it doubled the mean
CPU time of a first page, and the slowest tenth of the pages took 20 times as long.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, func, inspect, null, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.compiled_reads import Read, Reader
from models.database import Base, count_met
from models.user import User

#: A count is used for this long, unless Poort itself inserts or deletes a user.
MAX_AGE_SECONDS = 5.0

#: Up to this many users of a campus are counted every time. To ask whether the count has changed would take as long.
FEW = 1000


class UserTotal(Base):
    """The number of users according to Poort's own writes: one row, which each insert and delete updates in its transaction.

    `changes` grows with each of them. Only our own schema uses `total` and `newest_id`, the largest id at that time (0 for
    none). If the `user` table has another largest id now, another program wrote to it.
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
    """A count, the row and the largest id that were read before the count, and when the count began."""

    number: int
    known: _Known | None
    began_at: float


class UserTotals:
    """Tells how many users there are, at a cost that does not grow with their number."""

    def __init__(self, reader: Reader, *, is_campus: bool, timer: Callable[[], float] = time.monotonic) -> None:
        """Take the sources; beside a campus another program writes to the table too. `timer` is monotonic."""
        self._reader, self._is_campus, self._timer = reader, is_campus, timer
        self._lock = Lock()
        self._counted: _Counted | None = None
        newest = select(func.coalesce(func.max(User.id), 0)).scalar_subquery()
        known = select(UserTotal.changes, UserTotal.total, UserTotal.newest_id, newest)
        self._known = Read(known, (len(_Known._fields), _Known._make))
        self._count = Read(select(func.count()).select_from(User), (1, itemgetter(0)))

    def changes(self) -> ColumnElement[Any]:
        """Return an SQL expression whose value changes with each user that Poort inserts or deletes; null without our table."""
        return select(UserTotal.changes).scalar_subquery() if self._has_own_table else null()

    def of_everyone(self) -> int:
        """Return the number of users. If there are many, and another program writes to the table, the number may be 5 s old."""
        if self._is_campus and self._counted is not None and self._counted.number <= FEW:
            number: int = self._reader.rows(self._count, {})[0]
            if number <= FEW:
                return number
        known: _Known | None = next(iter(self._reader.rows(self._known, {})), None) if self._has_own_table else None
        if known is not None and not self._is_campus and known.newest_id == known.newest_there:
            return known.total
        # One thread counts; the others use its result.
        with self._lock:
            counted = self._counted
            if counted is None or counted.known != known or self._timer() - counted.began_at >= MAX_AGE_SECONDS:
                began_at = self._timer()
                counted = self._counted = _Counted(self._reader.rows(self._count, {})[0], known, began_at)
            return counted.number

    @cached_property
    def _has_own_table(self) -> bool:
        with self._reader.session() as session:  # a read-only server may run beside a campus without our tables
            return inspect(session.connection()).has_table(UserTotal.__tablename__)


def count_change(session: Session, user_id: int, change: int, *, is_campus: bool) -> None:
    """Add an inserted (1) or deleted (-1) user to the total, in the transaction of that write.

    Call this after the write, so that no transaction that has locked the total waits for a user's row. If another program has
    changed the table, all users are counted again.
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
    """Count all users: as the last step after a bulk insert, or if the total may be wrong."""
    _hold(session, 0)
    if not is_campus:
        _count_again(session)


def _hold(session: Session, change: int) -> None:
    """Update the row, which locks it until commit."""
    count_met(session, update(UserTotal).values(changes=UserTotal.changes + 1, total=UserTotal.total + change))


def _count_again(session: Session) -> None:
    total, newest_id = session.execute(select(func.count(), func.coalesce(func.max(User.id), 0)).select_from(User)).one()
    count_met(session, update(UserTotal).values(total=total, newest_id=newest_id))
