"""The audit trail: each event is a log line, and usually a database row, too, with a reason that clients never see."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.event import listens_for
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.audit_record import fitted, write_record
from models.database import epoch_ms
from security.said_once import SaidOnce

logger = logging.getLogger(__name__)
audit_log = logging.getLogger("poort.audit")
# The audit is complete whatever LOG_LEVEL says.
audit_log.setLevel(logging.INFO)

# Repeated refusals of one network or session are written once in this time.
_WINDOW_MS = 60_000

# In `Session.info`: the events to log when the session commits.
_PENDING = "poort.audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An audited event. `username` and `user_id` are the user concerned; `actor` is who did it: a user name or `console:…`.

    `details` has field names, ids and counts, never a password, a token or a code.
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
    """Writes events to the log and to the database."""

    def __init__(self, engine: Callable[[], Engine], clock: Callable[[], datetime], *, writes_rows: bool) -> None:
        self._engine = engine
        self._clock = clock
        self._writes_rows = writes_rows
        self._logged, self._recorded = SaidOnce(), SaidOnce()

    def record_with(self, session: Session, event: Event) -> None:
        """Write an event in the transaction of the change itself. The row and the log line appear only if that commits."""
        values = fitted(asdict(event))
        if self._writes_rows:
            write_record(session, self._clock(), values)
        session.info.setdefault(_PENDING, []).append(values)

    def record_now(self, event: Event, *, has_row: bool = True, once_for: str | None = None) -> None:
        """Write an event in a separate transaction, since a refusal rolls back the view's. A failed write is only logged.

        Pass `has_row=False` for events that anyone could cause without limit. `once_for` names a network or a session: this
        process writes the event once a minute for each.
        """
        if once_for is not None:
            # Two memories, since anyone can fill the one for events without a row: events with a row must still be written.
            seen, now_ms = self._recorded if has_row else self._logged, epoch_ms(self._clock())
            if not seen.is_first(f"{event.event}:{once_for}", now_ms, now_ms + _WINDOW_MS):
                return
        values = fitted(asdict(event))
        _log(values)
        if not self._writes_rows or not has_row:
            return
        try:
            with Session(self._engine()) as session:
                write_record(session, self._clock(), values)
                session.commit()
        except SQLAlchemyError as reason:
            logger.error("an audit event has no row: %s", type(reason).__name__, extra={"event": event.event})


@listens_for(Session, "after_commit")
def _log_pending(session: Session) -> None:
    for values in session.info.pop(_PENDING, ()):
        _log(values)


@listens_for(Session, "after_rollback")
def _forget_pending(session: Session) -> None:
    session.info.pop(_PENDING, None)


def _log(values: dict[str, Any]) -> None:
    audit_log.info(values["event"], extra={name: value for name, value in values.items() if value})
