"""Write users as JSON or CSV, with all columns. Password hashes are kept as they are."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from commands.transfer.column_values import to_cell, to_json
from commands.transfer.extra_columns import PREFIX, VALUE_COLUMN
from commands.transfer.rows import COLUMNS
from models.user_row import DEFAULTS


class _LineFeeds:
    """A file whose lines end with LF. The csv module is told CR LF, so that it also quotes cells with a CR."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix("\r\n") + "\n")


def write_file(rows: Iterable[tuple[Any, Mapping[str, str]]], file: IO[str], *, as_csv: bool, extra: Sequence[str]) -> None:
    """Write rows, which must have all COLUMNS, and their values of `extra` fields, so that `read_file` restores them exactly."""
    if as_csv:
        writer = csv.DictWriter(_LineFeeds(file), [*COLUMNS, *(PREFIX + name for name in extra)], lineterminator="\r\n")
        writer.writeheader()
        for row, more in rows:
            cells = {field: to_cell(column, getattr(row, column.key)) for field, column in COLUMNS.items()}
            writer.writerow(cells | {PREFIX + name: to_cell(VALUE_COLUMN, more.get(name)) for name in extra})
        return
    file.write("[")
    for position, (row, more) in enumerate(rows):
        values = {field: to_json(getattr(row, column.key)) for field, column in COLUMNS.items()}
        shown = {field: value for field, value in values.items() if value is not None or COLUMNS[field].key in DEFAULTS}
        shown |= {PREFIX + name: more[name] for name in extra if name in more}
        file.write(("," if position else "") + "\n " + json.dumps(shown, ensure_ascii=False))
    file.write("\n]\n")
