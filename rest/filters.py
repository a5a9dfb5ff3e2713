"""Kinds of filters: from a query parameter to a condition or an order. What cannot be read filters nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

from rest.query import Parameters

Column = InstrumentedAttribute[Any]

_TRUE, _FALSE = ("1", "true"), ("0", "false")


def texts(value: "str | Parameters | None", fold: Callable[[str], str]) -> list[str]:
    """Return what a text parameter asks for, folded: one text, or several as `name[]=a&name[]=b`; empty ones ask for nothing."""
    given = [value]
    if isinstance(value, dict):
        given = [text for key, text in value.items() if key.isdecimal()]
    # No column holds a NUL, and PostgreSQL would refuse to look for one; the replacement is in no folded text either.
    folded = [fold(text).replace("\0", "\ufffd") for text in given if isinstance(text, str)]
    return [text for text in folded if text]


def contains_any(columns: Sequence[Column], wanted: Sequence[str]) -> ColumnElement[bool]:
    """Make the condition that one of the columns contains one of the texts, taken literally."""
    return or_(*(column.contains(text, autoescape=True) for text in wanted for column in columns))


def boolean(value: "str | Parameters | None") -> bool | None:
    """Read `true`, `1`, `false` and `0`; None for all else."""
    if value in _TRUE:
        return True
    return False if value in _FALSE else None


def order(value: "str | Parameters | None", columns: Mapping[str, Column]) -> dict[str, ColumnElement[Any]]:
    """Read `order[name]=asc|desc`, in the order of the query; other names and directions order nothing."""
    if not isinstance(value, dict):
        return {}
    directions = {name: direction.lower() for name, direction in value.items() if name in columns and isinstance(direction, str)}
    return {name: getattr(columns[name], direction)() for name, direction in directions.items() if direction in {"asc", "desc"}}
