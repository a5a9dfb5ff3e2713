"""text/csv as Symfony's encoder writes it: a header row and one row per item; a list fills `name.0`, `name.1` and so on."""

import csv
import io
from typing import Any

from rest.format import Format
from rest.resource import texts

Row = dict[str, Any]


def encode(rows: list[Row]) -> bytes:
    """Encode rows; a missing value becomes an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _flat(fields: dict[str, Any]) -> Row:
    row: Row = {}
    for name, value in texts(fields).items():
        if isinstance(value, list):
            row |= {f"{name}.{position}": element for position, element in enumerate(value)}
        else:
            row[name] = int(value) if isinstance(value, bool) else value
    return row


def _columns(rows: list[Row]) -> list[str]:
    """Merge the columns of all rows. A column that only later rows have goes right after the one that precedes it there."""
    columns: list[str] = []
    for row in rows:
        place = len(columns)
        for name in row:
            if name in columns:
                place = columns.index(name) + 1
            else:
                columns.insert(place, name)
                place += 1
    return columns


FORMAT = Format(
    name="csv",
    media_types=("text/csv",),
    item=lambda item: [_flat(item.fields)],
    collection=lambda collection: [_flat(member.fields) for member in collection.members],
    encode=encode,
)
