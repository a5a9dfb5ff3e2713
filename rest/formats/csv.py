"""text/csv: a header row, a row an item, as Symfony's encoder writes them; and lists spread over `name.0`, `name.1` and so on."""

import csv
import io
from typing import Any

from rest.format import Format
from rest.representation import Collection, Item
from rest.resource import texts

Row = dict[str, Any]


def item(item: Item) -> list[Row]:
    """Render one item: one row."""
    return [_flat(item.fields)]


def collection(collection: Collection) -> list[Row]:
    """Render one page of a collection."""
    return [_flat(member.fields) for member in collection.members]


def encode(rows: list[Row]) -> bytes:
    """Write rows; a value that a row does not have is empty."""
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
    """Merge the columns of all rows: one that earlier rows do not have comes right after its predecessor."""
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


FORMAT = Format("csv", ("text/csv",), item, collection, encode)
