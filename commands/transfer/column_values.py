"""Convert a column of a user to a JSON value or CSV cell, and back."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, Integer, LargeBinary, SmallInteger, String
from sqlalchemy.orm import InstrumentedAttribute

from models.roles import are_role_names, roles_to_store
from models.user_row import DEFAULTS

#: In a CSV file, an empty cell means the default of its column. Where null or empty text is not the default, it is written as one
#: of these. A text that begins with a backslash gets a second one in front.
NULL, EMPTY = r"\N", r"\E"
_ESCAPE = "\\"

# More digits than any column holds, but fewer than the limit of `int`.
_MOST_DIGITS = 20

#: The value of an empty cell.
ABSENT = object()


def require_fit(column: InstrumentedAttribute[Any], value: Any) -> None:
    """Raise ValueError with the reason if a value does not fit its column."""
    table_column = column.property.columns[0]
    if value is None and not table_column.nullable:
        raise ValueError("must not be null")
    length = getattr(table_column.type, "length", None)
    if isinstance(value, str):
        if length is not None and len(value) > length:
            raise ValueError(f"has more than {length} characters")
        require_storable(value)
    if isinstance(value, bytes) and len(value) != length:
        raise ValueError(f"must have {length} bytes")
    if isinstance(value, int):
        largest = 2 ** (15 if isinstance(table_column.type, SmallInteger) else 31)
        if not -largest <= value < largest:
            raise ValueError("is too large a number")
        if table_column.primary_key and value < 1:
            raise ValueError("must be at least 1")


def require_storable(text: str) -> None:
    """Raise ValueError if a text has a NUL or half a surrogate pair, which some databases refuse."""
    if "\0" in text:
        raise ValueError("contains a NUL character")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("contains half a surrogate pair")


def from_json(column: InstrumentedAttribute[Any], value: Any) -> Any:
    """Convert a JSON value to the value of a column. Raises ValueError with the reason."""
    kind = column.property.columns[0].type
    if value is None:
        return None
    if column.key == "roles":
        if isinstance(value, list) and all(isinstance(role, str) for role in value):
            return _roles(value)
        raise ValueError("must be a list of texts")
    if isinstance(kind, Boolean):
        if value in (0, 1):  # a tuple, because a list cannot be looked up in a set
            return bool(value)
        raise ValueError("must be true or false")
    if isinstance(kind, Integer):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError("must be a whole number")
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - a fault of the file
    return _from_text(kind, value)


def _roles(given: list[str]) -> list[str]:
    for role in given:
        if not are_role_names([role]):
            raise ValueError(f"{role!r} is not the name of a role")
    return roles_to_store(given)


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
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: in UTC, the year is below 1 or above 9999
        raise ValueError("must be a date and time like 2026-09-22T10:00:00+00:00") from None


def from_cell(column: InstrumentedAttribute[Any], value: Any) -> Any:
    """Convert a CSV cell to the value of a column, or to ABSENT. Raises ValueError with the reason."""
    kind = column.property.columns[0].type
    if value in ("", None):
        return ABSENT
    if not isinstance(value, str):
        raise ValueError("has more cells than the header")  # noqa: TRY004 - a fault of the file
    if value == NULL:
        return None
    if value == EMPTY:
        return ""
    value = value[1:] if value.startswith(_ESCAPE * 2) else value
    if column.key == "roles":
        return _roles(value.split())
    if isinstance(kind, Boolean | Integer):
        if not value.removeprefix("-").isdecimal():
            raise ValueError("must be 0 or 1" if isinstance(kind, Boolean) else "must be a whole number")
        if len(value) > _MOST_DIGITS:
            raise ValueError("is too large a number")
        return from_json(column, int(value))
    return _from_text(kind, value)


def to_json(value: Any) -> Any:
    """Convert the value of a column so that `from_json` restores it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


def to_cell(column: InstrumentedAttribute[Any], value: Any) -> str:
    """Convert the value of a column so that `from_cell` restores it."""
    if column.key == "roles":
        return " ".join(value)
    default = DEFAULTS.get(column.key)
    if value is None:
        return "" if default is None else NULL
    if value == "":
        return "" if default == "" else EMPTY
    text = str(int(value)) if isinstance(value, bool) else str(to_json(value))
    return _ESCAPE + text if text.startswith(_ESCAPE) else text
