"""Audit events of the current request or command, with its actor and address."""

import os
import pwd
from typing import Any

from flask import g, has_request_context, request

from blueprints.parts import parts
from config.logging import request_id
from models import db
from security.audit import Event


def record_event(event: str, **about: Any) -> None:
    """Record an event in the current transaction. `about` gives more fields of security.audit.Event."""
    parts().audit.record_with(db.session(), _event(event, about))


def record_now(event: str, *, has_row: bool = True, once_for: str | None = None, **about: Any) -> None:
    """Record an event in a transaction of its own; for `has_row` and `once_for` see AuditTrail.record_now."""
    parts().audit.record_now(_event(event, about), has_row=has_row, once_for=once_for)


def _event(event: str, about: dict[str, Any]) -> Event:
    if not has_request_context():
        return Event(event=event, actor=f"console:{_operator()}", **about)
    caller = g.get("caller")
    known: dict[str, Any] = {
        "actor": caller.username if caller else None,
        "address": request.remote_addr or "",
        "request_id": request_id.get(),
    }
    return Event(event=event, **known | about)


def _operator() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name  # USER and LOGNAME could be forged
    except KeyError:
        return str(os.getuid())
