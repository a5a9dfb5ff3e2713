"""Compare a row of a file with the stored user."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from commands.transfer.rows import FileRow
from models.roles import roles_to_store

# Columns that an import never changes. Passwords are compared only with `--set-passwords`.
_KEPT = {"id"}


class Difference(NamedTuple):
    """What a row would change: columns of `user`, and values of extra fields by id."""

    columns: dict[str, Any]
    extra: dict[int, str | None]

    def __bool__(self) -> bool:
        """Tell whether the row changes anything."""
        return bool(self.columns or self.extra)


def difference(row: FileRow, stored: Any, extra: Mapping[int, str], present: frozenset[str], *, passwords: bool) -> Difference:
    """Return the changes that a row makes to a stored user. `extra` holds the user's values of extra fields.

    `present` holds the columns that the table has. The password is compared only if `passwords` is set.
    """
    kept = _KEPT if passwords else _KEPT | {"password"}
    columns = {
        name: value
        for name, value in row.columns.items()
        if name not in kept and name in present and _differs(name, value, getattr(stored, name))
    }
    return Difference(columns, {field: text for field, text in row.extra.items() if extra.get(field) != text})


def _differs(name: str, value: Any, stored: Any) -> bool:
    if name == "roles":
        return bool(value != roles_to_store(stored))
    if isinstance(value, datetime):  # stored in whole seconds
        return bool(value.replace(microsecond=0) != stored)
    return bool(value != stored)
