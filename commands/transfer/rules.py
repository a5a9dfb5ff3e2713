"""Check the rows of a file against the rules of the API, against each other, and against stored users."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from blueprints.parts import Parts
from blueprints.users import writing
from blueprints.users.resource import USER
from commands.transfer.column_values import to_json
from commands.transfer.rows import COLUMNS, BadRow, FileRow, field_of
from models.database import CHUNK
from models.folding import canonical_username
from models.user import User

_PASSWORD = "plainPassword"  # noqa: S105 - the name of a property

# The columns of the API, with the names of their properties.
_PROPERTIES = {writing.COLUMNS[prop.name]: prop.name for prop in USER.writable if prop.name in writing.COLUMNS}
_FIELDS = {prop: field_of(column) for column, prop in _PROPERTIES.items()} | {_PASSWORD: "password"}

# Columns in which no two users may have the same value, by field name. User names are compared in their canonical form.
_UNIQUE = {name: COLUMNS[name] for name in ("id", "username", "uuid", "api_token", "resource_node_id")}
_UNIQUE["username"] = User.username_canonical


def violations(ours: Parts, row: FileRow, stored: Any) -> Iterator[BadRow]:
    """Yield the faults for which the API would refuse a row. `stored` is the existing user, None for a new one."""
    values = {prop: row.columns[column] for column, prop in _PROPERTIES.items() if column in row.columns}
    if row.clear_password is not None:
        values[_PASSWORD] = row.clear_password
    for violation in writing.user_violations(ours, USER, values, stored):
        yield BadRow(row.place, _FIELDS[violation.property_path], violation.message)


def blanks(row: FileRow, stored: Any) -> Iterator[BadRow]:
    """Yield a fault for each required field that is blank. `--as-exported` does not skip this check."""
    for column in ("username", "email"):
        value = row.columns.get(column, "" if stored is None else "given")
        if not (value or "").strip():
            yield BadRow(row.place, column, "must not be blank")


def find_twice(rows: Iterable[FileRow]) -> Iterator[BadRow]:
    """Yield a fault for each repeated value of a column that must be unique, such as the id or the user name."""
    places: dict[tuple[str, Any], str] = {}
    for row in rows:
        for field in _UNIQUE:
            value = _unique_value(row, field)
            if value is not None and (first := places.setdefault((field, value), row.place)) != row.place:
                yield BadRow(row.place, field, f"{to_json(row.columns[field])!r} is already at {first}")


def find_taken(session: Session, rows: Sequence[tuple[FileRow, int]], present: frozenset[str]) -> Iterator[BadRow]:
    """Yield a fault for each value that must be unique and that another stored user has.

    Each row comes with the id of its user, 0 for a new one. `present` holds the columns that the table has.
    """
    for field, column in _UNIQUE.items():
        wanted = {value: pair for pair in rows if (value := _unique_value(pair[0], field)) is not None}
        values = list(wanted) if column.key in present else []
        for start in range(0, len(values), CHUNK):
            chosen = select(column, User.id).where(column.in_(values[start : start + CHUNK])).order_by(User.id)
            for value, user_id in session.execute(chosen):
                row, own_id = wanted.get(value, (None, user_id))
                if row is not None and user_id != own_id:
                    yield BadRow(row.place, field, f"{to_json(row.columns[field])!r} exists already")


def _unique_value(row: FileRow, field: str) -> Any:
    value = row.columns.get(field)
    return canonical_username(value) if field == "username" and value is not None else value
