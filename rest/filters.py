"""Kinds of filters: from a query parameter to a condition or an order. What cannot be read filters nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

from rest.query import Parameters

Column = InstrumentedAttribute[Any]

_TRUE, _FALSE = ("1", "true"), ("0", "false")


def texts(value: "str | Parameters | None") -> list[str]:
    """Return what a text parameter asks for: one text, or several as `name[]=a&name[]=b`; empty ones ask for nothing."""
    if isinstance(value, dict):
        return [text for key, text in value.items() if key.isdecimal() and isinstance(text, str) and text]
    return [value] if value else []


def contains_any(columns: Sequence[Column], wanted: Sequence[str], fold: Callable[[str], str]) -> ColumnElement[bool] | None:
    """Make the condition that one of the columns contains one of the texts, folded as the columns are, taken literally."""
    # No column holds a NUL, and PostgreSQL would refuse to look for one; the replacement is in no folded text either.
    folded = [fold(text).replace("\0", "\ufffd") for text in wanted]
    conditions = [column.contains(text, autoescape=True) for text in folded if text for column in columns]
    return or_(*conditions) if conditions else None


def boolean(value: "str | Parameters | None") -> bool | None:
    """Read `true`, `1`, `false` and `0`; None for all else."""
    if value in _TRUE:
        return True
    return False if value in _FALSE else None


def order(value: "str | Parameters | None", columns: Mapping[str, Column]) -> list[ColumnElement[Any]]:
    """Read `order[name]=asc|desc`, in the order of the query; other names and directions order nothing."""
    if not isinstance(value, dict):
        return []
    directions = {name: direction.lower() for name, direction in value.items() if name in columns and isinstance(direction, str)}
    chosen = {name: direction for name, direction in directions.items() if direction in {"asc", "desc"}}
    return [getattr(columns[name], direction)() for name, direction in chosen.items()]
