"""`bin/poort audit`: show and prune the audit log of sign-ins, tokens, keys and users."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from sqlalchemy import inspect

from blueprints.auditing import record_event
from blueprints.parts import parts
from commands.terminal import Commands, Refusal, counted, say
from config.logging import quoted
from models import AuditRecord, db
from models.audit_record import ids_after, last_records, records_of, remove_records_before
from models.database import CHUNK

cli = Commands("audit", help="Show and prune the audit log of sign-ins, tokens, keys and users.")

_POLL_SECONDS = 1

# An event gets its id before its transaction commits, so an event with a higher id may become visible first. `--follow` looks
# this many ids back.
_LATE = 1000

_FIELDS = ("username", "user_id", "actor", "address", "reason", "details", "request_id")


@cli.command("tail")
@click.option("-n", "number", type=click.IntRange(0, 100_000), default=20, show_default=True, help="How many events to show.")
@click.option("-f", "--follow", is_flag=True, help="Keep showing new events until you press Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line.")
def tail(number: int, follow: bool, as_json: bool) -> None:
    """Show the last events, one per line, the newest last.

    Text that a client sent is quoted, and its unprintable characters are escaped.

    Example: bin/poort audit tail -n 50 --follow
    """
    form = _json_line if as_json else _line
    _require_events()
    with suppress(KeyboardInterrupt):
        known = _recent_ids(_newest_id()) if follow else set()  # read first, so that no event is missed
        shown = _show(last_records(db.session(), number), form)
        if follow:
            _follow(known | shown, form)


@cli.command("prune")
@click.option(
    "--older-than",
    "days",
    metavar="DAYS",
    type=click.IntRange(1, 36_500),
    required=True,
    help="Remove events older than this many days.",
)
def prune(days: int) -> None:
    """Remove old events.

    Example: bin/poort audit prune --older-than 365
    """
    _require_events()
    before, removed = parts().clock() - timedelta(days=days), 0
    # First, so that no removal goes unrecorded.
    record_event("audit_pruned", details={"before": before.isoformat(timespec="seconds")})
    # One transaction per chunk: a single statement could exceed its time limit.
    while number := remove_records_before(db.session(), before, CHUNK):
        db.session.commit()
        removed += number
    db.session.commit()
    say(f"{counted(removed, 'event')} removed.")


def _require_events() -> None:
    """Raise Refusal if the table of events is missing."""
    if parts().settings.read_only:
        raise Refusal("READ_ONLY is on, so events are log lines and not rows.")
    if not inspect(db.engine).has_table(AuditRecord.__tablename__):
        raise Refusal(f"There is no table {AuditRecord.__tablename__}; `bin/poort db upgrade` makes it.")


def _show(records: Sequence[AuditRecord], form: Callable[[AuditRecord], str]) -> set[int]:
    for record in records:
        say(form(record))
    return {record.id for record in records}


def _follow(shown: set[int], form: Callable[[AuditRecord], str]) -> None:
    while True:
        db.session.rollback()  # so that the poll sees new rows, and the sleep holds no connection
        parts().sleep(_POLL_SECONDS)
        recent = _recent_ids(max(shown, default=0))
        new = sorted(recent - shown)
        for start in range(0, len(new), CHUNK):
            _show(records_of(db.session(), new[start : start + CHUNK]), form)
        shown = recent


def _newest_id() -> int:
    return max((record.id for record in last_records(db.session(), 1)), default=0)


def _recent_ids(last: int) -> set[int]:
    return set(ids_after(db.session(), max(last - _LATE, 0)))


def _line(record: AuditRecord) -> str:
    said = [f"{name}={quoted(value) if isinstance(value, str) else json.dumps(value)}" for name, value in _said(record).items()]
    return " ".join((_time(record), quoted(record.event)[1:-1], *said))


def _json_line(record: AuditRecord) -> str:
    return json.dumps({"id": record.id, "time": _time(record), "event": record.event} | _said(record))


def _said(record: AuditRecord) -> dict[str, Any]:
    return {name: value for name in _FIELDS if (value := getattr(record, name))}


def _time(record: AuditRecord) -> str:
    return datetime.fromtimestamp(record.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
