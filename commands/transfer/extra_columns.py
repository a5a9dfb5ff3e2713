"""The columns `extra:NAME` of a file of users: one for each extra field, by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from models.extra_fields import ExtraFields, UnknownExtraField, values_of

#: What the name of such a column begins with.
PREFIX = "extra:"

# A row of a file keeps its values here, by field id, until the user has an id.
_VALUES = "extra values"

Resolve = Callable[[str], int]


def take_values(rows: Iterable[tuple[str, dict[str, Any]]], resolve: Resolve) -> Iterator[tuple[str, str, str]]:
    """Move the values of each row's columns to their field ids; yield the place, the column and what is wrong with it."""
    for place, row in rows:
        values = row[_VALUES] = {}
        for column in [name for name in row if name.startswith(PREFIX)]:
            try:
                field_id = resolve(column.removeprefix(PREFIX))
            except UnknownExtraField:
                yield place, column, "is no extra field"
                continue
            if field_id in values:
                yield place, column, "stands there twice"
            values[field_id] = row.pop(column)


def resolver(session: Session, fields: ExtraFields) -> Resolve:
    """Return what finds the id of a field, and asks for each name once. It raises UnknownExtraField."""
    return cache(lambda name: fields.resolve(session, [name])[name])


def insert_taken(
    session: Session, fields: ExtraFields, rows: Iterable[dict[str, Any]], ids: Mapping[str, int], now: datetime
) -> None:
    """Insert the values that were taken from the rows of new users; `ids` are these users' ids by name."""
    taken = [
        (ids[row["username"]], field_id, text)
        for row in rows
        for field_id, text in row.get(_VALUES, {}).items()
        if text is not None
    ]
    if taken:
        fields.insert_values(session, taken, now)


def with_values(session: Session, chunks: Iterable[Sequence[Row[Any]]]) -> Iterator[tuple[Row[Any], Mapping[str, str]]]:
    """Yield each user's row with the values of our own extra fields, by field name."""
    for rows in chunks:
        values = values_of(session, [row.id for row in rows])
        yield from ((row, values.get(row.id, {})) for row in rows)
