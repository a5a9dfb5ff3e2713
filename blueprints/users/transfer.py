"""Users as files: JSON or CSV to rows of `user` and back, all columns, ready-made hashes as they are."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Boolean, Integer, LargeBinary, SmallInteger, String, insert, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.campus import enrol
from models.folding import canonical_username
from models.passwords import MAX_PASSWORD_BYTES
from models.roles import roles_to_store
from models.user import User
from models.user_table import DEFAULTS, UserTable

Row = dict[str, Any]

# A field is named as its column, but for the password: `password` is one in the clear, to be hashed.
_FIELD_OF_COLUMN = {"password": "password_hash"}
_COLUMN_OF_FIELD = {field: column for column, field in _FIELD_OF_COLUMN.items()}
_DERIVED = ("username_canonical", "email_canonical")

#: In a CSV file an empty cell is what is usual; these say null and empty text where that is not usual.
NULL, EMPTY = r"\N", r"\E"

_LOOK_UP_CHUNK = 500


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with one row: where it is in the file, in which column, and why."""

    place: str
    column: str
    reason: str

    def __str__(self) -> str:
        """Write it as a line for a person."""
        return f"{self.place}: {self.column}: {self.reason}"


def _columns() -> dict[str, InstrumentedAttribute[Any]]:
    """Return the columns that a file has, by field name; folded and canonical copies follow from the others."""
    return {
        _FIELD_OF_COLUMN.get(column.name, column.name): getattr(User, column.name)
        for column in User.__table__.columns
        if column.name not in _DERIVED and not column.name.endswith("_folded")
    }


COLUMNS = _columns()


def read_file(path: Path) -> tuple[list[tuple[str, Row]], list[BadRow]]:
    """Read a `.json` or `.csv` file: each row with its place in the file, as values of the columns' types, and what is bad."""
    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read_rows(_csv_rows(file), _from_cell)
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, list):
        raise ValueError("the file holds no list of users")  # noqa: TRY004 - a fault of the file
    return _read_rows(((f"index {index}", row) for index, row in enumerate(document)), _from_json)


def write_file(rows: Iterable[Any], file: IO[str], *, as_csv: bool) -> None:
    """Write rows of `select_all` so that `read_file` reads them back identically."""
    if as_csv:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows({field: _to_cell(column, getattr(row, column.key)) for field, column in COLUMNS.items()} for row in rows)
        return
    file.write("[")
    for position, row in enumerate(rows):
        values = {field: _to_json(getattr(row, column.key)) for field, column in COLUMNS.items()}
        shown = {field: value for field, value in values.items() if value is not None or _default(COLUMNS[field]) is not None}
        file.write(("," if position else "") + "\n " + json.dumps(shown, ensure_ascii=False))
    file.write("\n]\n")


def insert_rows(session: Session, table: UserTable, rows: list[Row], access_url_id: int, now: datetime) -> None:
    """Insert many users at once, by columns, each with what lets them sign in to a portal. A row may bring its id."""
    complete = [table.complete_row(session, row, now) for row in rows]
    session.execute(insert(User), complete)
    ids = session.scalars(select(User.id).where(User.username.in_([row["username"] for row in complete]))).all()
    enrol(session, ids, access_url_id)


def find_conflicts(session: Session, rows: list[tuple[str, Row]]) -> list[BadRow]:
    """Find ids, names and other unique values that the file has twice or that the database has already."""
    bad: list[BadRow] = []
    for column in _UNIQUE:
        is_name = column is User.username_canonical
        field = "username" if is_name else column.key
        places: dict[Any, str] = {}
        for place, row in rows:
            if row.get(field) is None:
                continue
            key = canonical_username(row[field]) if is_name else row[field]
            if key in places:
                bad.append(BadRow(place, field, f"{_to_json(row[field])!r} stands at {places[key]} already"))
            places.setdefault(key, place)
        taken = _existing(session, column, list(places))
        bad += [BadRow(places[key], field, f"{_to_json(key)!r} exists already") for key in taken]
    return bad


_UNIQUE = (User.id, User.username_canonical, User.uuid, User.api_token, User.resource_node_id)


def _existing(session: Session, column: Any, keys: list[Any]) -> Iterator[Any]:
    for start in range(0, len(keys), _LOOK_UP_CHUNK):
        yield from session.scalars(select(column).where(column.in_(keys[start : start + _LOOK_UP_CHUNK])))


def _csv_rows(file: IO[str]) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(file)
    for row in reader:
        yield f"line {reader.line_num}", row


def _read_rows(
    rows: Iterable[tuple[str, Any]], convert: Callable[[InstrumentedAttribute[Any], Any], Any]
) -> tuple[list[tuple[str, Row]], list[BadRow]]:
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


def _read_row(
    raw: Mapping[Any, Any], convert: Callable[[InstrumentedAttribute[Any], Any], Any]
) -> tuple[Row, list[tuple[str, str]]]:
    row: Row = {}
    faults: list[tuple[str, str]] = []
    for field, given in raw.items():
        if field == "password":
            if given:
                row["password_in_clear"] = given
            continue
        if field not in COLUMNS:
            faults.append((str(field), "is no column"))
            continue
        column = COLUMNS[field]
        try:
            value = convert(column, given)
            _require_fit(column, value)
        except ValueError as reason:
            faults.append((field, str(reason)))
        else:
            if value is not _ABSENT:
                row[column.key] = value
    faults += _password_faults(row)
    faults += [
        (field, "must not be blank")
        for field in ("username", "email")
        if field in COLUMNS and not _shows(row.get(field)) and not any(field == bad for bad, _ in faults)
    ]
    return row, faults


def _password_faults(row: Row) -> list[tuple[str, str]]:
    clear = row.get("password_in_clear")
    if clear is None:
        return []
    if not isinstance(clear, str) or len(clear.encode(errors="replace")) > MAX_PASSWORD_BYTES:
        return [("password", f"must be text of at most {MAX_PASSWORD_BYTES} bytes")]
    return [("password", "stands beside a password_hash")] if row.get("password") else []


def _shows(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_ABSENT = object()


def _default(column: InstrumentedAttribute[Any]) -> Any:
    return DEFAULTS.get(column.key)


def _require_fit(column: InstrumentedAttribute[Any], value: Any) -> None:
    """Raise ValueError where a value does not fit its column."""
    table_column = column.property.columns[0]
    if value is None and not table_column.nullable:
        raise ValueError("must not be null")
    if isinstance(value, str):
        length = getattr(table_column.type, "length", None)
        if length is not None and len(value) > length:
            raise ValueError(f"has more than {length} characters")
        if "\0" in value:
            raise ValueError("contains a NUL character")
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31:
        raise ValueError("is too large a number")


def _from_json(column: InstrumentedAttribute[Any], value: Any) -> Any:
    kind = column.property.columns[0].type
    if value is None:
        return None
    if column.key == "roles":
        if isinstance(value, list) and all(isinstance(role, str) for role in value):
            return roles_to_store(value)
        raise ValueError("must be a list of texts")
    if isinstance(kind, Boolean):
        if isinstance(value, bool) or value in {0, 1}:
            return bool(value)
        raise ValueError("must be true or false")
    if isinstance(kind, Integer | SmallInteger):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError("must be a whole number")
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - a fault of the file
    return _from_text(kind, value)


def _from_text(kind: Any, value: str) -> Any:
    if isinstance(kind, String) or kind.python_type is str:
        return value
    if isinstance(kind, LargeBinary):
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise ValueError("must be hexadecimal") from None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date and time like 2026-09-22T10:00:00+00:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _from_cell(column: InstrumentedAttribute[Any], value: Any) -> Any:
    kind = column.property.columns[0].type
    if value in ("", None):
        return _ABSENT
    if not isinstance(value, str):
        raise ValueError("has more cells than the header")  # noqa: TRY004 - a fault of the file, as the others
    if value == NULL:
        return None
    if value == EMPTY:
        return ""
    if column.key == "roles":
        return roles_to_store(value.split())
    if isinstance(kind, Boolean | Integer | SmallInteger):
        if not value.lstrip("-").isdecimal():
            raise ValueError("must be 0 or 1" if isinstance(kind, Boolean) else "must be a whole number")
        return _from_json(column, int(value))
    return _from_text(kind, value)


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


def _to_cell(column: InstrumentedAttribute[Any], value: Any) -> str:
    if column.key == "roles":
        return " ".join(value)
    default = _default(column)
    if value is None:
        return "" if default is None else NULL
    if value == "":
        return "" if default == "" else EMPTY
    return str(int(value)) if isinstance(value, bool) else str(_to_json(value))
