"""The audit: what happened to sign-ins, tokens, keys and users, by whom and from where."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import MYSQL_TABLE, Base


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


def write_record(session: Session, now: datetime, values: dict[str, Any]) -> None:
    """Add an event to a transaction."""
    columns = AuditRecord.__table__.columns
    fitting = {name: _fitting(value, columns[name].type) for name, value in values.items()}
    session.add(AuditRecord(at_ms=int(now.timestamp() * 1000), **fitting))


def last_records(session: Session, number: int) -> Sequence[AuditRecord]:
    """Return the last events, the oldest of them first."""
    newest = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(number)
    return session.scalars(newest).all()[::-1]


def records_after(session: Session, record_id: int) -> Sequence[AuditRecord]:
    """Return the events after one, oldest first."""
    return session.scalars(select(AuditRecord).where(AuditRecord.id > record_id).order_by(AuditRecord.id)).all()


def remove_records_before(session: Session, moment: datetime) -> None:
    """Remove the events before a moment."""
    session.execute(delete(AuditRecord).where(AuditRecord.at_ms < int(moment.timestamp() * 1000)))


def _fitting(value: Any, kind: Any) -> Any:
    """Cut a text to its column; no database takes half a surrogate pair, and PostgreSQL no NUL."""
    if not isinstance(value, str):
        return value
    return value.encode(errors="replace").decode().replace("\0", "")[: getattr(kind, "length", None)]
