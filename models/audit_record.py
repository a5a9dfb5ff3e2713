"""The audit: what happened to sign-ins, tokens, keys and users, by whom and from where."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import MYSQL_TABLE, Base, epoch_ms, storable


class AuditRecord(Base):
    """One event. `username` and `user_id` are whom it is about, `actor` is who did it; texts are cut to their columns."""

    __tablename__ = "poort_audit"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    event: Mapped[str] = mapped_column(String(40))
    username: Mapped[str | None] = mapped_column(String(100))
    user_id: Mapped[int | None]
    actor: Mapped[str | None] = mapped_column(String(100))
    address: Mapped[str | None] = mapped_column(String(45))
    request_id: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(255))
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


def fitted(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an event as its row can hold them.

    Texts are cut to their columns. What some column does not take is written out: half a surrogate pair, and a NUL.
    """
    columns = AuditRecord.__table__.columns
    return {name: _fitted(value, columns[name].type) for name, value in values.items()}


def write_record(session: Session, now: datetime, values: dict[str, Any]) -> None:
    """Add an event with fitted values to a transaction."""
    session.add(AuditRecord(at_ms=epoch_ms(now), **values))


def last_records(session: Session, number: int) -> Sequence[AuditRecord]:
    """Return the last events, the oldest of them first."""
    newest = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(number)
    return session.scalars(newest).all()[::-1]


def ids_after(session: Session, record_id: int) -> Sequence[int]:
    """Return the ids of the events after one, the smallest first."""
    return session.scalars(select(AuditRecord.id).where(AuditRecord.id > record_id).order_by(AuditRecord.id)).all()


def records_of(session: Session, ids: Sequence[int]) -> Sequence[AuditRecord]:
    """Return the events with some ids, oldest first."""
    return session.scalars(select(AuditRecord).where(AuditRecord.id.in_(ids)).order_by(AuditRecord.id)).all()


def remove_records_before(session: Session, moment: datetime, number: int) -> int:
    """Remove at most so many of the events before a moment, and return how many there were; 0 where none is left."""
    # The limit is in a statement of its own: PostgreSQL has none in DELETE, and MariaDB none in its subquery.
    ids = session.scalars(select(AuditRecord.id).where(AuditRecord.at_ms < epoch_ms(moment)).limit(number)).all()
    session.execute(delete(AuditRecord).where(AuditRecord.id.in_(ids)))
    return len(ids)


def _fitted(value: Any, kind: Any) -> Any:
    if not isinstance(value, str):
        return value
    return storable(value, getattr(kind, "length", None))
