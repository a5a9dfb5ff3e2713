"""The columns of a file of users, a row of it, and what is wrong with one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from models.user import User

# A field has the name of its column, except the hash: the field `password` is a clear one, to be hashed.
_FIELD_OF_COLUMN = {"password": "password_hash"}
_DERIVED = ("username_canonical", "email_canonical")


def _columns() -> dict[str, InstrumentedAttribute[Any]]:
    """Return the columns of a file by field name. Folded and canonical copies are derived from them."""
    return {
        _FIELD_OF_COLUMN.get(column.name, column.name): getattr(User, column.name)
        for column in User.__table__.columns
        if column.name not in _DERIVED and not column.name.endswith("_folded")
    }


COLUMNS = _columns()


def field_of(column: str) -> str:
    """Return the name that a column of `user` has in a file."""
    return _FIELD_OF_COLUMN.get(column, column)


@dataclass(slots=True)
class FileRow:
    """A row of a file: where it stands, and what it gives. `columns` are those of `user`; a missing one is not given.

    `extra` has the values of extra fields, None for none: by name as they are read, by id after `resolve_fields`.
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
    """Return faults in the order of the file, and of two in one column only the first."""
    first: dict[tuple[str, str], BadRow] = {}
    for fault in faults:
        first.setdefault((fault.place, fault.column), fault)
    return sorted(first.values(), key=lambda fault: int(fault.place.rpartition(" ")[2]))
