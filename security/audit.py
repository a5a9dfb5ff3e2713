"""The audit trail: one JSON line of the log and one row an event; the reason that the wire does not have stands here."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.audit_record import write_record

logger = logging.getLogger(__name__)
audit_log = logging.getLogger("poort.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened: to whom (`username`, `user_id`), by whom (`actor`), from where, in which request, and why.

    `details` hold names of fields, ids and counts: never a password, a token or a code.
    """

    event: str
    username: str | None = None
    user_id: int | None = None
    actor: str | None = None
    address: str | None = None
    request_id: str | None = None
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class AuditTrail:
    """Writes events."""

    def __init__(self, engine: Callable[[], Engine], clock: Callable[[], datetime], *, writes_rows: bool) -> None:
        """Take what gives the engine (known only inside an application context), the clock, and whether rows are written."""
        self._engine = engine
        self._clock = clock
        self._writes_rows = writes_rows

    def note(self, session: Session, event: Event) -> None:
        """Write an event in the transaction of what happened: it is there when, and only when, that is there."""
        if self._writes_rows:
            write_record(session, self._clock(), asdict(event))
        self._log(event)

    def record(self, event: Event) -> None:
        """Write an event in a transaction of its own: a refusal rolls the view's back. A failure of this one stops nothing."""
        self._log(event)
        if not self._writes_rows:
            return
        try:
            with Session(self._engine()) as session:
                write_record(session, self._clock(), asdict(event))
                session.commit()
        except SQLAlchemyError as reason:
            logger.error("an event of the audit has no row: %s", type(reason).__name__, extra={"event": event.event})

    def _log(self, event: Event) -> None:
        # The request's id is in every line of the log.
        said = {name: value for name, value in asdict(event).items() if value and name != "request_id"}
        audit_log.info(event.event, extra=said)
