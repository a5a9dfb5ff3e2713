"""The columns of a file of users, its rows, and their faults."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from models.user import User


def field_of(column: str) -> str:
    """Return the name that a column of `user` has in a file. There, `password` is a clear password, to be hashed."""
    return "password_hash" if column == "password" else column


#: The columns of a file by field name. Folded and canonical copies are left out: they are computed.
COLUMNS: dict[str, InstrumentedAttribute[Any]] = {
    field_of(column.name): getattr(User, column.name)
    for column in User.__table__.columns
    if not column.name.endswith(("_canonical", "_folded"))
}


@dataclass(slots=True)
class FileRow:
    """A row of a file: its place and its values. `columns` holds the values of columns of `user` that the row gives.

    `extra` holds the values of extra fields, None for no value. Its keys are names at first, and ids after `resolve_fields`.
    """

    place: str
    columns: dict[str, Any] = field(default_factory=dict)
    extra: dict[Any, str | None] = field(default_factory=dict)
    clear_password: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A fault in a row: its place in the file, the column, and the reason."""

    place: str
    column: str
    reason: str

    def __str__(self) -> str:
        """Return a line for the terminal."""
        return f"{self.place}: {self.column}: {self.reason}"


def in_order(faults: Iterable[BadRow]) -> list[BadRow]:
    """Return faults in the order of the file, at most one for each row and column."""
    first: dict[tuple[str, str], BadRow] = {}
    for fault in faults:
        first.setdefault((fault.place, fault.column), fault)
    return sorted(first.values(), key=lambda fault: int(fault.place.rpartition(" ")[2]))
