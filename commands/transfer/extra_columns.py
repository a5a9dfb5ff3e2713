"""The columns `extra:NAME` of a file of users: one for each extra field, by name."""

from collections.abc import Callable, Iterable
from functools import cache

from commands.transfer.column_values import ABSENT
from commands.transfer.rows import BadRow, FileRow
from models.extra_fields import ExtraFieldValue, UnknownExtraField

#: The prefix of the names of such columns.
PREFIX = "extra:"

#: The column that stores the values of extra fields, all of which are texts.
VALUE_COLUMN = ExtraFieldValue.value


def resolve_fields(rows: Iterable[FileRow], resolve: Callable[[str], int]) -> tuple[dict[int, str], list[BadRow]]:
    """Change the keys of each row's values from names of fields to their ids, and drop empty cells.

    Returns the names of the fields by id, and the faults. `resolve` raises UnknownExtraField.
    """
    names: dict[int, str] = {}
    bad: list[BadRow] = []
    resolve = cache(resolve)
    for row in rows:
        given, row.extra, seen = row.extra, {}, set[int]()
        for name, value in given.items():
            try:
                field_id = resolve(name)
            except UnknownExtraField:
                bad.append(BadRow(row.place, PREFIX + name, "is not an extra field"))
                continue
            if field_id in seen:
                bad.append(BadRow(row.place, PREFIX + name, "appears twice"))
            seen.add(field_id)
            names[field_id] = name
            if value is not ABSENT:
                row.extra[field_id] = value
    return names, bad
