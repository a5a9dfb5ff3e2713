"""Read and write users as JSON or CSV, with all columns. Password hashes are kept as they are."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from commands.transfer.column_values import (
    ABSENT,
    default_of,
    from_cell,
    from_json,
    require_fit,
    require_storable,
    to_cell,
    to_json,
)
from commands.transfer.extra_columns import PREFIX
from models.campus import enrol
from models.extra_fields import ExtraFieldValue
from models.folding import canonical_username
from models.passwords import MAX_PASSWORD_BYTES
from models.user import User
from models.user_table import UserTable

Row = dict[str, Any]

#: Reads a value of a file as the value of a column. Raises ValueError with the reason.
Convert = Callable[[InstrumentedAttribute[Any], Any], Any]

# A field has the name of its column, except the hash: the field `password` is a clear one, to be hashed.
_FIELD_OF_COLUMN = {"password": "password_hash"}
_DERIVED = ("username_canonical", "email_canonical")

_LOOK_UP_CHUNK = 500

_LONGEST_CELL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class BadRow:
    """A fault in a row: its place in the file, the column, and the reason."""

    place: str
    column: str
    reason: str

    def __str__(self) -> str:
        """Return a line for the terminal."""
        return f"{self.place}: {self.column}: {self.reason}"


def _columns() -> dict[str, InstrumentedAttribute[Any]]:
    """Return the columns of a file by field name. Folded and canonical copies are derived from them."""
    return {
        _FIELD_OF_COLUMN.get(column.name, column.name): getattr(User, column.name)
        for column in User.__table__.columns
        if column.name not in _DERIVED and not column.name.endswith("_folded")
    }


COLUMNS = _columns()

# The values of extra fields are texts of this column.
_EXTRA = ExtraFieldValue.value


def read_file(path: Path, *, as_csv: bool) -> tuple[list[tuple[str, Row]], list[BadRow]]:
    """Read a JSON or CSV file. Returns the rows, each with its place in the file, and the faults.

    Raises ValueError and OSError.
    """
    if as_csv:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read_rows(_csv_rows(file), from_cell)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(document, list):
        raise ValueError("the file holds no list of users")  # noqa: TRY004 - a fault of the file
    return _read_rows(((f"index {index}", row) for index, row in enumerate(document)), from_json)


class _LineFeeds:
    """A file whose lines end with LF. The csv module is told CR LF, so that it also quotes cells with a CR."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix("\r\n") + "\n")


def write_file(rows: Iterable[tuple[Any, Mapping[str, str]]], file: IO[str], *, as_csv: bool, extra: Sequence[str]) -> None:
    """Write rows, which must have all COLUMNS, and their values of `extra` fields, so that `read_file` restores them exactly."""
    if as_csv:
        writer = csv.DictWriter(_LineFeeds(file), [*COLUMNS, *(PREFIX + name for name in extra)], lineterminator="\r\n")
        writer.writeheader()
        for row, more in rows:
            cells = {field: to_cell(column, getattr(row, column.key)) for field, column in COLUMNS.items()}
            writer.writerow(cells | {PREFIX + name: to_cell(_EXTRA, more.get(name)) for name in extra})
        return
    file.write("[")
    for position, (row, more) in enumerate(rows):
        values = {field: to_json(getattr(row, column.key)) for field, column in COLUMNS.items()}
        shown = {field: value for field, value in values.items() if value is not None or default_of(COLUMNS[field]) is not None}
        shown |= {PREFIX + name: more[name] for name in extra if name in more}
        file.write(("," if position else "") + "\n " + json.dumps(shown, ensure_ascii=False))
    file.write("\n]\n")


def insert_rows(session: Session, table: UserTable, rows: list[Row], access_url_id: int, now: datetime) -> dict[str, int]:
    """Insert users from columns, and enroll them in a portal. A row may contain its id. Returns all ids by user name."""
    table.insert_many(session, rows, now)
    named = select(User.username, User.id).where(User.username.in_([row["username"] for row in rows]))
    ids = {username: user_id for username, user_id in session.execute(named)}  # noqa: C416 - rows are no pairs to the types
    enrol(session, ids.values(), access_url_id)
    return ids


def find_conflicts(session: Session, table: UserTable, rows: list[tuple[str, Row]]) -> list[BadRow]:
    """Find unique values, such as ids and names, that occur twice in the file or exist in the database."""
    bad: list[BadRow] = []
    for column in (column for column in _UNIQUE if column.key in table.columns(session).names):
        is_name = column is User.username_canonical
        field = "username" if is_name else column.key
        places: dict[Any, str] = {}
        for place, row in rows:
            if row.get(field) is None:
                continue
            key = canonical_username(row[field]) if is_name else row[field]
            if key in places:
                bad.append(BadRow(place, field, f"{to_json(row[field])!r} stands at {places[key]} already"))
            places.setdefault(key, place)
        taken = _existing(session, column, list(places))
        bad += [BadRow(places[key], field, f"{to_json(key)!r} exists already") for key in taken]
    return bad


_UNIQUE = (User.id, User.username_canonical, User.uuid, User.api_token, User.resource_node_id)


def _existing(session: Session, column: Any, keys: list[Any]) -> Iterator[Any]:
    for start in range(0, len(keys), _LOOK_UP_CHUNK):
        yield from session.scalars(select(column).where(column.in_(keys[start : start + _LOOK_UP_CHUNK])))


def _csv_rows(file: IO[str]) -> Iterator[tuple[str, Any]]:
    # A biography may be longer than the library's limit of 131,072 characters.
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(file)
    for row in reader:
        yield f"line {reader.line_num}", row


def _read_rows(rows: Iterable[tuple[str, Any]], convert: Convert) -> tuple[list[tuple[str, Row]], list[BadRow]]:
    read: list[tuple[str, Row]] = []
    bad: list[BadRow] = []
    for place, raw in rows:
        if not isinstance(raw, Mapping):
            bad.append(BadRow(place, "-", "is no user"))
            continue
        row, faults = _read_row(raw, convert)
        bad += [BadRow(place, field, reason) for field, reason in faults]
        read.append((place, row))
    return read, bad


def _read_row(raw: Mapping[Any, Any], convert: Convert) -> tuple[Row, list[tuple[str, str]]]:
    row: Row = {}
    faults: list[tuple[str, str]] = []
    for field, given in raw.items():
        try:
            row |= _read_field(field, given, convert)
        except ValueError as reason:
            faults.append((str(field), str(reason)))
    faults += _password_faults(row)
    faults += [
        (field, "must not be blank")
        for field in ("username", "email")
        if field in COLUMNS and not _shows(row.get(field)) and not any(field == bad for bad, _ in faults)
    ]
    return row, faults


def _read_field(field: Any, given: Any, convert: Convert) -> Row:
    """Return the column and its value, or nothing for an empty cell. Raises ValueError with the reason."""
    if field == "password":
        return {"password_in_clear": given} if given else {}
    if isinstance(field, str) and field.startswith(PREFIX):
        value = convert(_EXTRA, given)
        value = None if value is ABSENT else value
        require_storable(value or "")
        return {field: value}
    if field not in COLUMNS:
        raise ValueError("is no column")
    column = COLUMNS[field]
    value = convert(column, given)
    require_fit(column, value)
    return {} if value is ABSENT else {column.key: value}


def _password_faults(row: Row) -> list[tuple[str, str]]:
    clear = row.get("password_in_clear")
    if clear is None:
        return []
    if not isinstance(clear, str) or len(clear.encode(errors="replace")) > MAX_PASSWORD_BYTES:
        return [("password", f"must be text of at most {MAX_PASSWORD_BYTES} bytes")]
    try:
        require_storable(clear)
    except ValueError as reason:
        return [("password", str(reason))]
    return [("password", "stands beside a password_hash")] if row.get("password") else []


def _shows(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
