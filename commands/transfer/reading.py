"""Read users from JSON or CSV, and check that every value fits its column. Password hashes are kept as they are."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sqlalchemy.orm import InstrumentedAttribute

from commands.transfer.column_values import ABSENT, from_cell, from_json, require_fit, require_storable
from commands.transfer.export_file import descriptor_of
from commands.transfer.extra_columns import PREFIX, VALUE_COLUMN
from commands.transfer.rows import COLUMNS, BadRow, FileRow
from models.passwords import MAX_PASSWORD_BYTES

#: Reads a value of a file as the value of a column. Raises ValueError with the reason.
Convert = Callable[[InstrumentedAttribute[Any], Any], Any]

_LONGEST_CELL = 2**31 - 1

#: Shown in place of the column if a cell is beyond the last column, or if a row is not an object.
_NO_COLUMN = "-"

# Separators that some programs write instead of commas.
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_file(path: Path, *, as_csv: bool) -> tuple[list[FileRow], list[BadRow]]:
    """Read a JSON or CSV file. Returns the rows and their faults. Raises ValueError and OSError."""
    if as_csv:
        with _open(path, "utf-8-sig") as file:
            return _read_rows(_csv_rows(file), from_cell)
    try:
        with _open(path, "utf-8") as file:
            document = json.load(file)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(document, list):
        raise ValueError("the file does not hold a list of users")  # noqa: TRY004 - a fault of the file
    return _read_rows(((f"index {index}", row) for index, row in enumerate(document)), from_json)


def _open(path: Path, encoding: str) -> IO[str]:
    """Open a file. A descriptor is duplicated: a file that another user has opened (`sudo`) cannot be reopened by its path."""
    descriptor = descriptor_of(path)
    if descriptor is None:
        return path.open(newline="", encoding=encoding)
    return os.fdopen(os.dup(descriptor), newline="", encoding=encoding)


def _csv_rows(file: IO[str]) -> Iterator[tuple[str, Any]]:
    """Yield the line on which each row begins, and its cells by column. Cells beyond the last column have the name "".

    Raises ValueError for an unmatched quotation mark, which would turn all rows behind it into one cell.
    """
    # A biography may be longer than the library's limit of 131,072 characters.
    csv.field_size_limit(_LONGEST_CELL)
    lines, line = csv.reader(file, strict=True), 1
    try:
        header = next(lines, [])
        _refuse_header(header)
        line = lines.line_num + 1
        for cells in lines:
            if cells:
                # Cells that are missing at the end of a row count as empty.
                yield f"line {line}", dict(zip(header, cells, strict=False)) | ({"": cells} if len(cells) > len(header) else {})
            line = lines.line_num + 1
    except csv.Error:
        raise ValueError(f"the quotation marks of the row on line {line} do not match") from None


def _refuse_header(header: list[str]) -> None:
    if len(header) == 1:
        for delimiter, name in _DELIMITERS.items():
            if delimiter in header[0]:
                raise ValueError(f"{name} separate its columns; they must be commas")
    for twice in (name for number, name in enumerate(header) if name in header[:number]):
        raise ValueError(f"the column {twice!r} appears twice")


def _read_rows(rows: Iterable[tuple[str, Any]], convert: Convert) -> tuple[list[FileRow], list[BadRow]]:
    read: list[FileRow] = []
    bad: list[BadRow] = []
    for place, raw in rows:
        if not isinstance(raw, Mapping):
            bad.append(BadRow(place, _NO_COLUMN, "is not a user"))
            continue
        row = FileRow(place)
        for name, given in raw.items():
            try:
                _read_field(row, name, given, convert)
            except ValueError as reason:
                bad.append(BadRow(place, name or _NO_COLUMN, str(reason)))
        if row.clear_password and row.columns.get("password"):
            bad.append(BadRow(place, "password", "cannot be given together with a password_hash"))
        read.append(row)
    return read, bad


def _read_field(row: FileRow, name: str, given: Any, convert: Convert) -> None:
    """Store the value of a field in a row. An empty cell has no value. Raises ValueError with the reason."""
    if name == "password":
        row.clear_password = _clear_password(given) if given else None
    elif name.startswith(PREFIX):
        # Kept even if the cell is empty, so that a field that does not exist is reported.
        value = convert(VALUE_COLUMN, given)
        row.extra[name.removeprefix(PREFIX)] = value
        require_storable("" if value is ABSENT or value is None else value)
    elif name not in COLUMNS:
        raise ValueError("has more cells than the header" if (name, type(given)) == ("", list) else "is not a column")
    elif (value := convert(column := COLUMNS[name], given)) is not ABSENT:
        require_fit(column, value)
        row.columns[column.key] = value


def _clear_password(given: Any) -> str:
    if not isinstance(given, str) or len(given.encode(errors="replace")) > MAX_PASSWORD_BYTES:
        raise ValueError(f"must be text of at most {MAX_PASSWORD_BYTES} bytes")
    require_storable(given)
    return given
