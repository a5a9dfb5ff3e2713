"""Lists of users: what is asked for most, all or those whom one sees, compiled once; what is filtered, as it comes."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Integer, Select, bindparam, func, select
from sqlalchemy.orm import Session

from models.campus import ids_seen_by
from models.reading import Read, Reader, Values
from models.user import User
from models.user_table import UserTable


class UserLists:
    """Lists users by ascending id: all of them, or those whom a user sees."""

    def __init__(self, reader: Reader, session: Callable[[], Session], users: UserTable) -> None:
        """Take what reads, and what is known of the table; nothing is looked at before the first use."""
        self._reader = reader
        self._session = session
        self._users = users
        self._reads: dict[tuple[tuple[str, ...], bool], tuple[Read, Read]] = {}

    def seen_by(self, columns: tuple[str, ...], make: Callable[[Values], Any], user_id: int | None) -> "UserList":
        """Return the list of the users whom a user sees, or of all; `make` makes an item of the columns."""
        key = (columns, user_id is None)
        count, rows = self._reads.get(key) or self._make_reads(columns, make, everyone=user_id is None)
        return UserList(self._reader, count, rows, {} if user_id is None else {"user_id": user_id})

    def _make_reads(self, columns: tuple[str, ...], make: Callable[[Values], Any], *, everyone: bool) -> tuple[Read, Read]:
        session = self._session()
        users, count = self._users.select(session, columns), select(func.count()).select_from(User)
        session.rollback()
        if not everyone:
            seen = User.id.in_(ids_seen_by(bindparam("user_id", type_=Integer)))
            users, count = users.where(seen), count.where(seen)
        page = users.order_by(User.id).limit(bindparam("limit")).offset(bindparam("offset"))
        reads = self._reads[columns, everyone] = (Read(count, (1, lambda values: values[0])), Read(page, (len(columns), make)))
        return reads


class UserList:
    """One list, as rest.pagination wants it."""

    def __init__(self, reader: Reader, count: Read, rows: Read, parameters: dict[str, Any]) -> None:
        self._reader, self._count, self._rows, self._parameters = reader, count, rows, parameters

    def count(self) -> int:
        """Return how many there are in all."""
        return int(self._reader.rows(self._count, self._parameters)[0])

    def fetch(self, limit: int, offset: int) -> Sequence[Any]:
        """Return a page."""
        return self._reader.rows(self._rows, self._parameters | {"limit": limit, "offset": offset})


class FilteredList:
    """The list of a statement of its own, as rest.pagination wants it."""

    def __init__(self, session: Session, users: Select[Any], make: Callable[[Values], Any]) -> None:
        """Take the statement, in its order, and what makes an item of its columns."""
        self._session, self._users, self._make = session, users, make

    def count(self) -> int:
        """Return how many there are in all."""
        return self._session.scalar(select(func.count()).select_from(self._users.order_by(None).subquery())) or 0

    def fetch(self, limit: int, offset: int) -> Sequence[Any]:
        """Return a page."""
        return [self._make(tuple(row)) for row in self._session.execute(self._users.offset(offset).limit(limit))]
