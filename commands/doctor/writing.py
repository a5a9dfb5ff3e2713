"""Check that the database can be written and that disks have room, for `bin/poort doctor`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import column, false, table, update
from sqlalchemy.exc import SQLAlchemyError

from blueprints.parts import Parts
from commands.doctor.findings import ERROR, OK, WARNING, Finding, why
from models import db
from models.outages import READ_ONLY_CODES, code_of
from security.keys.pair import is_pem

_MEBIBYTE = 1024 * 1024

# With less than the first left, SQLite may soon refuse a write. With less than the second, an operator has about a day to act.
_ERROR_BYTES, _WARNING_BYTES = 16 * _MEBIBYTE, 256 * _MEBIBYTE

# Remedies, by the beginnings of the database's error codes.
_CURES = {
    READ_ONLY_CODES: (
        "It is a standby, or was set read-only. Promote it, or name the primary in DATABASE_URL and reload. "
        "For a trial beside a campus, set READ_ONLY=1."
    ),
    ("SQLITE_READONLY", "SQLITE_PERM"): (
        "Give this user the file and its folder: `chown` both, then `chmod u+w`. "
        "If the disk was mounted read-only, look for its errors with `dmesg`."
    ),
    ("SQLITE_FULL", "SQLITE_IOERR", "53100", "1021", "1114"): (
        "Free some space on the database's disk: `df -h` shows it. Poort needs no restart."
    ),
    ("SQLITE_ERROR", "42P01", "1146"): "It lacks a table: the finding on the schema says what to do.",
}
_GRANT = "Grant this user the right to write, or set READ_ONLY=1 for a trial."

_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03", "57014", "1205", "1969", "3024")
_FIND_LOCK = (
    "If this lasts, end the process or session that holds it: `fuser FILE` for SQLite, `pg_stat_activity`, `SHOW PROCESSLIST`."
)


def examine_writing(ours: Parts, what: str) -> Iterator[Finding]:
    """Check that the database takes writes, without changing a row."""
    if ours.settings.read_only:
        yield Finding("database", OK, f"{what}; READ_ONLY is on, so nothing is written")
        return
    try:
        for name, key in (("user", "id"), ("poort_throttled_login", "key")):
            db.session.execute(update(table(name, column(key))).where(false()).values({key: column(key)}))  # changes no row
        db.session.rollback()
        code = said = ours.write_probe.try_now()
    except SQLAlchemyError as reason:
        code, said = code_of(reason), why(ours, reason)
    finally:
        db.session.rollback()
    if not said:
        yield Finding("database", OK, f"{what}; can be written")
    elif code.startswith(_BUSY):
        yield Finding("database", WARNING, f"{what} is locked by someone else at the moment: {said}", _FIND_LOCK)
    else:
        cure = next((cure for codes, cure in _CURES.items() if code.startswith(codes)), _GRANT)
        yield Finding("database", ERROR, f"{what} cannot be written: {said}", cure)


def examine_disk(ours: Parts) -> Iterator[Finding]:
    """Check the room on the disks of SQLite's file and of the keys."""
    url, key = ours.settings.database_url, ours.settings.jwt_secret_key
    holds = {"the key pair": "" if is_pem(key) else key}
    if url.get_backend_name() == "sqlite":
        holds = {"the database": url.database or ""} | holds
    seen: set[int] = set()
    for thing, path in holds.items():
        folder = Path(path).resolve().parent
        if path and folder.is_dir() and (device := folder.stat().st_dev) not in seen:
            seen.add(device)
            yield _examine_room(thing, folder)


def _examine_room(thing: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    says = f"{free // _MEBIBYTE} MiB are free at {folder}, where {thing} is"
    if free >= _WARNING_BYTES:
        return Finding("disk", OK, says)
    consequence = "sign-ins and other writes get 503" if thing == "the database" else "keys cannot be replaced"
    cure = (
        f"Free some space: `du -xh {folder} | sort -h | tail`, `journalctl --vacuum-size=500M`. When it is full, {consequence}."
    )
    return Finding("disk", ERROR if free < _ERROR_BYTES else WARNING, says, cure)
