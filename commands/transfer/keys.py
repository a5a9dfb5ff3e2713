"""The key that identifies the user of a row in a file: the user name, the e-mail address, or an extra field."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from commands.transfer.extra_columns import PREFIX
from commands.transfer.rows import FileRow
from models.extra_fields import ExtraFields, comparable
from models.folding import canonical_username, fold, lower_case
from models.user import User
from models.user_table import UserTable


class Key(Protocol):
    """Finds the stored users whom the rows of a file describe. `column` is the name of the key's column in the file."""

    column: str

    def of(self, row: FileRow) -> str | None:
        """Return a row's value of the key, in the form in which values are compared; None if it has no value."""

    def find(self, session: Session, names: Iterable[str], values: Collection[str]) -> Iterator[tuple[str, Any]]:
        """Yield each user that has one of the values, by ascending id: the value, and a row with the columns `names`."""


class _NameKey:
    """The user name or the e-mail address."""

    def __init__(self, column: str, users: UserTable) -> None:
        self.column = column
        self._users = users
        self._form = canonical_username if column == "username" else lower_case

    def of(self, row: FileRow) -> str | None:
        value = row.columns.get(self.column)
        return self._form(value) if value and value.strip() else None

    def find(self, session: Session, names: Iterable[str], values: Collection[str]) -> Iterator[tuple[str, Any]]:
        wanted: Collection[str] = values
        column: Any = getattr(User, self.column)
        if not self._users.is_campus:  # a campus's collation finds every spelling
            # The folded copy of an address has an index. It also matches addresses with other accents, which are dropped below.
            by_name = self.column == "username"
            column, wanted = (User.username_canonical, values) if by_name else (User.email_folded, {fold(one) for one in values})
        chosen = self._users.select(session, [*names, self.column]).where(column.in_(wanted)).order_by(User.id)
        for row in session.execute(chosen):
            value = self._form(getattr(row, self.column))
            if value in values:
                yield value, row


class _ExtraKey:
    """An extra field, compared without case and accents."""

    def __init__(self, name: str, field_id: int, users: UserTable, fields: ExtraFields) -> None:
        self.column = name
        self._field_id = field_id
        self._users = users
        self._fields = fields

    def of(self, row: FileRow) -> str | None:
        return comparable(row.extra.get(self._field_id) or "") or None

    def find(self, session: Session, names: Iterable[str], values: Collection[str]) -> Iterator[tuple[str, Any]]:
        user_id, field_id, value, _ = self._fields.value_columns(session)
        # In a campus, a user may match several values. The smallest counts: it comes last, and replaces the others.
        chosen = select(user_id, value).where(field_id == self._field_id, value.in_(values)).order_by(value.desc())
        form = comparable if self._users.is_campus else str
        known = {found: form(text) for found, text in session.execute(chosen)}
        for row in session.execute(self._users.select(session, names).where(User.id.in_(known)).order_by(User.id)):
            yield known[row.id], row


def key_of(session: Session, name: str, users: UserTable, fields: ExtraFields) -> Key:
    """Return the key with a name. Raises UnknownExtraField."""
    if not name.startswith(PREFIX):
        return _NameKey(name, users)
    variable = name.removeprefix(PREFIX)
    return _ExtraKey(name, fields.resolve(session, [variable])[variable], users, fields)
