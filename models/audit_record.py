"""The audit: events about sign-ins, tokens, keys and users; who caused each of them, and from where."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import ADDRESS_LENGTH, MYSQL_TABLE, Base, epoch_ms, storable


class AuditRecord(Base):
    """One event. `username` and `user_id` are the user concerned; `actor` caused the event. Texts are cut to their columns."""

    __tablename__ = "poort_audit"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    event: Mapped[str] = mapped_column(String(40))
    username: Mapped[str | None] = mapped_column(String(100))
    user_id: Mapped[int | None]
    actor: Mapped[str | None] = mapped_column(String(100))
    address: Mapped[str | None] = mapped_column(String(ADDRESS_LENGTH))
    request_id: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(255))
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


def fitted(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an event in the form that a row can hold.

    Texts are cut to their columns. Lone surrogates and NUL, which some databases refuse, are escaped.
    """
    columns = AuditRecord.__table__.columns
    return {
        name: storable(value, getattr(columns[name].type, "length", None)) if isinstance(value, str) else value
        for name, value in values.items()
    }


def write_record(session: Session, now: datetime, values: dict[str, Any]) -> None:
    """Add an event to the transaction; `values` come from `fitted`."""
    session.add(AuditRecord(at_ms=epoch_ms(now), **values))


def last_records(session: Session, number: int) -> Sequence[AuditRecord]:
    """Return the newest events, oldest first."""
    newest = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(number)
    return session.scalars(newest).all()[::-1]


def ids_after(session: Session, record_id: int) -> Sequence[int]:
    """Return the ids of the events after `record_id`, smallest first."""
    return session.scalars(select(AuditRecord.id).where(AuditRecord.id > record_id).order_by(AuditRecord.id)).all()


def records_of(session: Session, ids: Sequence[int]) -> Sequence[AuditRecord]:
    """Return the events with these ids, oldest first."""
    return session.scalars(select(AuditRecord).where(AuditRecord.id.in_(ids)).order_by(AuditRecord.id)).all()


def remove_records_before(session: Session, moment: datetime, number: int) -> int:
    """Delete the oldest of the events before `moment`, at most `number`, and return how many; 0 if none is left."""
    # A separate SELECT, since PostgreSQL has no LIMIT in DELETE, and MariaDB none in a subquery there.
    oldest = select(AuditRecord.id).where(AuditRecord.at_ms < epoch_ms(moment)).order_by(AuditRecord.at_ms).limit(number)
    ids = session.scalars(oldest).all()
    session.execute(delete(AuditRecord).where(AuditRecord.id.in_(ids)))
    return len(ids)
