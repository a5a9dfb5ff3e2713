"""The windows of the throttle, shared by all workers: one row for each key (such as a name or network) while its window lasts."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, String, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Base, count_met

# How often to retry a reservation while other transactions start and end the same window.
_ATTEMPTS = 8


class ThrottledLogin(Base):
    """A window: the number of its slots that are taken, and when it ends. The key is a hash, never a name."""

    __tablename__ = "poort_throttled_login"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    hits: Mapped[int]
    ends_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


# Statements about the class would take a third longer: SQLAlchemy looks for objects that they concern.
_WINDOWS: Any = ThrottledLogin.__table__


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of a window: taken, or refused because the window is full. Times are milliseconds since the epoch."""

    key: str
    ends_at_ms: int
    taken: bool


def latest_end(now_ms: int, interval_ms: int) -> int:
    """Return the latest plausible end of a window. A later one comes from a wrong clock and must not count."""
    return now_ms + 2 * interval_ms


def reserve(session: Session, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
    """Take one slot atomically, and start a window if none is open. Each attempt is a transaction of its own."""
    row, ends_at_ms, latest_ms = _WINDOWS.c, now_ms + interval_ms, latest_end(now_ms, interval_ms)
    of_key, is_open = row.key == key, and_(row.ends_at_ms > now_ms, row.ends_at_ms <= latest_ms)
    for _ in range(_ATTEMPTS):
        if count_met(session, update(_WINDOWS).where(of_key, is_open, row.hits < limit).values(hits=row.hits + 1)):
            ends_at_ms = session.scalar(select(row.ends_at_ms).where(of_key)) or ends_at_ms
            session.commit()
            return Slot(key, ends_at_ms, taken=True)
        found = session.execute(select(row.hits, row.ends_at_ms).where(of_key)).one_or_none()
        if found is not None and now_ms < found.ends_at_ms <= latest_ms:
            session.rollback()
            if found.hits >= limit:
                return Slot(key, found.ends_at_ms, taken=False)
        elif _start(session, key, ends_at_ms) if found is None else _restart(session, key, found.ends_at_ms, ends_at_ms):
            return Slot(key, ends_at_ms, taken=True)
    raise RuntimeError("the throttle could not settle")


def give_back(session: Session, slot: Slot) -> None:
    """Return a slot, unless its window is over. The last slot removes the window."""
    row = _WINDOWS.c
    same_window = (row.key == slot.key, row.ends_at_ms == slot.ends_at_ms)
    is_last = count_met(session, delete(_WINDOWS).where(*same_window, row.hits <= 1))
    if not is_last and count_met(session, update(_WINDOWS).where(*same_window).values(hits=row.hits - 1)):
        # Two that are returned at once both find that they are not the last.
        session.execute(delete(_WINDOWS).where(*same_window, row.hits <= 0))
    session.commit()


def remove(session: Session, key: str) -> None:
    """Remove the window of a key."""
    session.execute(delete(_WINDOWS).where(_WINDOWS.c.key == key))
    session.commit()


def remove_ended(session: Session, now_ms: int) -> None:
    """Remove the windows that are over."""
    session.execute(delete(_WINDOWS).where(_WINDOWS.c.ends_at_ms <= now_ms))
    session.commit()


def _start(session: Session, key: str, ends_at_ms: int) -> bool:
    try:
        session.execute(insert(_WINDOWS), {"key": key, "hits": 1, "ends_at_ms": ends_at_ms})
        session.commit()
    except IntegrityError:
        session.rollback()
        return False
    return True


def _restart(session: Session, key: str, ended_at_ms: int, ends_at_ms: int) -> bool:
    row = _WINDOWS.c
    ended_one = update(_WINDOWS).where(row.key == key, row.ends_at_ms == ended_at_ms)
    is_met = bool(count_met(session, ended_one.values(hits=1, ends_at_ms=ends_at_ms)))
    session.commit()
    return is_met
