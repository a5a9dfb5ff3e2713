"""Import a file of users: read, check, plan, report and write."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from sqlalchemy.exc import DBAPIError

from blueprints.auditing import record_event
from blueprints.parts import parts
from commands.terminal import Refusal, counted, is_log_screen, say
from commands.transfer.extra_columns import resolve_fields
from commands.transfer.keys import Key, key_of
from commands.transfer.planning import Choices, Missing, Plan, Planner, find_missing
from commands.transfer.reading import read_file
from commands.transfer.rows import BadRow, in_order
from commands.transfer.storing import Storing
from models import db
from models.administrators import LastAdministrator
from models.extra_fields import UnknownExtraField
from security.audit import audit_log

# At most this many names of missing users are shown.
_MOST_NAMES = 20

# At most this share of the portal's active users is deactivated without `--force`: the file may be cut off.
_LARGEST_SHARE = 0.1


def import_file(file: Path, choices: Choices, *, as_csv: bool) -> None:
    """Import a JSON or CSV file. Raises Refusal for bad rows, before anything is written, and if it is stopped."""
    try:
        rows, bad = read_file(file, as_csv=as_csv)
    except OSError as reason:
        raise Refusal(f"{file} cannot be read: {reason.strerror}.") from None
    except ValueError as reason:
        raise Refusal(f"{file} cannot be read: {reason}") from None
    fields, unknown = resolve_fields(rows, lambda name: parts().extra_fields.resolve(db.session(), [name])[name])
    planner = Planner(parts(), _key(choices.key), choices, rows, fields)
    plan = planner.plan()
    _refuse_bad([*bad, *unknown, *plan.bad])
    missing = find_missing(parts(), plan) if choices.deactivate_missing else Missing({}, [], 0)
    _tell_missing(missing, choices)
    if choices.dry_run:
        say(f"{_summary(len(rows), len(plan.new), len(plan.changed))} Nothing was written: this was a dry run.")
        return
    storing = _write(planner, plan, list(missing.names) if choices.yes else [], passwords=choices.set_passwords)
    say(_summary(len(rows), storing.created, storing.changed))
    if storing.deactivated:
        say(f"{counted(storing.deactivated, 'user')} deactivated.")


def _write(planner: Planner, plan: Plan, missing: list[int], *, passwords: bool) -> Storing:
    number = len(plan.new) + len(plan.changed) + len(missing)
    with click.progressbar(length=number, label="Importing", file=sys.stderr) as bar:
        storing = Storing(parts(), planner, bar.update)
        with _counting(storing, number), _summed_up_on_terminal():
            storing.create(plan.new)
            storing.change(plan.changed, passwords=passwords)
            storing.deactivate(missing)
    return storing


def _key(name: str) -> Key:
    try:
        return key_of(db.session(), name, parts().users, parts().extra_fields)
    except UnknownExtraField as variable:
        raise Refusal(f"--key: there is no extra field {str(variable)!r}.") from None


def _refuse_bad(bad: list[BadRow]) -> None:
    faults = in_order(bad)
    for fault in faults:
        say(str(fault), err=True)
    if faults:
        raise Refusal(f"{counted(len(faults), 'fault')}; nothing was written.")


def _tell_missing(missing: Missing, choices: Choices) -> None:
    """Name the missing users. Raises Refusal if they are too many to deactivate."""
    for name in missing.kept:
        say(f"{name} is missing and stays active: no administrator would be left.")
    if not missing.names:
        return
    names = ", ".join([*list(missing.names.values())[:_MOST_NAMES], *(["…"] if len(missing.names) > _MOST_NAMES else [])])
    say(f"Not in the file: {counted(len(missing.names), 'user')} of {missing.of_all:,}: {names}")
    if choices.yes and len(missing.names) > _LARGEST_SHARE * missing.of_all and not choices.force:
        raise Refusal(
            "That is more than a tenth of all users: the file may be cut off. Nothing was written.",
            "Add --force to do it anyway.",
        )
    if not choices.yes:
        say("Add --yes to deactivate them.")


@contextmanager
def _counting(storing: Storing, planned: int) -> Iterator[None]:
    """Recount the users and write the audit event at the end. An import that is stopped does so too, and raises Refusal."""
    try:
        yield
    except (KeyboardInterrupt, DBAPIError, LastAdministrator) as reason:
        db.session.rollback()
        with suppress(DBAPIError):  # the database may be gone
            _finish(storing)
        why = "" if isinstance(reason, KeyboardInterrupt) else f" by {type(getattr(reason, 'orig', reason)).__name__}"
        done = storing.created + storing.changed + storing.deactivated
        raise Refusal(f"Stopped{why} after {done:,} of {planned:,}. Run the same command again: it goes on from there.") from None
    _finish(storing)


@contextmanager
def _summed_up_on_terminal() -> Iterator[None]:
    """Keep log lines about single users off a terminal, where the command prints a summary. Audit rows are still written."""
    if not is_log_screen():
        yield
        return
    audit_log.addFilter(_is_no_change)
    try:
        yield
    finally:
        audit_log.removeFilter(_is_no_change)


def _is_no_change(line: logging.LogRecord) -> bool:
    return line.getMessage() != "user_changed"


def _finish(storing: Storing) -> None:
    numbers = {"number": storing.created, "changed": storing.changed, "deactivated": storing.deactivated}
    parts().users.recount(db.session())
    record_event("users_imported", details={name: number for name, number in numbers.items() if number or name == "number"})
    db.session.commit()


def _summary(rows: int, new: int, changed: int) -> str:
    return f"{counted(rows, 'user')} imported: {new:,} new, {changed:,} changed, {rows - new - changed:,} as they were."
