"""The audit trail: one JSON line of the log and, for most events, one row; it has the reasons that the wire does not have."""

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
from security.said_once import SaidOnce

logger = logging.getLogger(__name__)
audit_log = logging.getLogger("poort.audit")
# LOG_LEVEL says how talkative the server is; it takes nothing from the audit.
audit_log.setLevel(logging.INFO)

# How long the same refusals of one network, or of one session, are not written again.
_WINDOW_MS = 60_000

# Under this name a session keeps the events whose lines wait for its commit.
_RECORDED = "poort.audit"


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
        self._said, self._recorded = SaidOnce(), SaidOnce()

    def record_with(self, session: Session, event: Event) -> None:
        """Write an event in the transaction of what happened: row and line are there when, and only when, that is there."""
        values = fitted(asdict(event))
        if self._writes_rows:
            write_record(session, self._clock(), values)
        session.info.setdefault(_RECORDED, []).append(values)

    def record_now(self, event: Event, *, has_row: bool = True, once_for: str | None = None) -> None:
        """Write an event in a transaction of its own: a refusal rolls the view's back. A failure of this one stops nothing.

        An event without a row is one that strangers could send without end. `once_for` names a network or a session, for
        which this process writes the event once a minute.
        """
        if once_for is not None and not self._is_first(event, once_for, has_row=has_row):
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
            logger.error("an event of the audit has no row: %s", type(reason).__name__, extra={"event": event.event})

    def _is_first(self, event: Event, once_for: str, *, has_row: bool) -> bool:
        # Apart, since strangers can fill one memory and not the other.
        memory, now_ms = self._recorded if has_row else self._said, int(self._clock().timestamp() * 1000)
        return memory.is_first(f"{event.event}:{once_for}", now_ms, now_ms + _WINDOW_MS)


@listens_for(Session, "after_commit")
def _log_recorded(session: Session) -> None:
    for values in session.info.pop(_RECORDED, ()):
        _log(values)


@listens_for(Session, "after_rollback")
def _forget_recorded(session: Session) -> None:
    session.info.pop(_RECORDED, None)


def _log(values: dict[str, Any]) -> None:
    # The request's id is in every line of the log.
    said = {name: value for name, value in values.items() if value and name != "request_id"}
    audit_log.info(values["event"], extra=said)
