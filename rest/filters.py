"""Turn query parameters into conditions and orders of lists (docs/compatibility.md#filters). Unknown values are ignored."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

from rest.query import Parameters

Column = InstrumentedAttribute[Any]

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def texts(value: "str | Parameters | None", fold: Callable[[str], str]) -> list[str]:
    """Return the folded search texts of a parameter: two for `name[]=a&name[]=b`. Empty texts are dropped."""
    given = [value]
    if isinstance(value, dict):
        given = [text for key, text in value.items() if key.isdecimal()]
    # PostgreSQL refuses to search for NUL. Like NUL, the replacement occurs in no folded text.
    folded = [fold(text).replace("\0", "\ufffd") for text in given if isinstance(text, str)]
    return [text for text in folded if text]


def trimmed(value: "str | Parameters | None") -> str | None:
    """Return a text without the white space that PHP's `trim` removes from both ends; a list counts as absent."""
    return value.strip(" \t\n\r\0\v") if isinstance(value, str) else None


def contains_any(columns: Sequence[Column], wanted: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that at least one column contains at least one of the texts, without wildcards."""
    return or_(*(column.contains(text, autoescape=True) for text in wanted for column in columns))


def boolean(value: "str | Parameters | None") -> bool | None:
    """Read `true`, `1`, `false` or `0`; None for any other value."""
    return _BOOLEANS.get(value) if isinstance(value, str) else None


def order(value: "str | Parameters | None", columns: Mapping[str, Column]) -> dict[str, ColumnElement[Any]]:
    """Read `order[name]=asc|desc`, the first in the query first. Other names and directions are ignored."""
    if not isinstance(value, dict):
        return {}
    directions = {name: direction.lower() for name, direction in value.items() if name in columns and isinstance(direction, str)}
    return {name: getattr(columns[name], direction)() for name, direction in directions.items() if direction in {"asc", "desc"}}
