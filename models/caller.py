"""The caller of a request, what may have ended their token, and the user whom they ask about: in one statement."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, null, select
from sqlalchemy.orm import Session, aliased

from models.compiled_reads import Read, Reader
from models.folding import canonical_username
from models.remembered_rows import Values
from models.roles import reachable_roles, roles_to_show
from models.token_validity import TokenValidity
from models.user import User
from models.user_table import UserTable, can_be_stored


class FoundCaller(NamedTuple):
    """What a request with a token needs of its user; `valid_after` is null where all their tokens are good.

    `granted` are the roles that they have, by themselves or through the hierarchy.
    """

    id: int
    username: str
    granted: frozenset[str]
    active: int
    locked: bool
    expiration_date: datetime | None
    valid_after: int | None
    is_revoked: bool


#: The columns that judge a caller.
CALLER_COLUMNS = ("id", "username", "roles", "active", "locked", "expiration_date")


def found_caller(values: Values) -> FoundCaller:
    """Make a caller of the values of CALLER_COLUMNS, then `valid_after` and `is_revoked`."""
    user_id, username, roles, *state = values
    return FoundCaller(user_id, username, reachable_roles(frozenset(roles_to_show(roles))), *state)


class Callers:
    """Finds callers, and the users whom their paths name."""

    def __init__(
        self,
        reader: Reader,
        session: Callable[[], Session],
        users: UserTable,
        validity: TokenValidity,
        item: tuple[Sequence[str], Callable[[Values], Any]],
    ) -> None:
        """Take what reads, what is known of the tables, and the columns of an item, `id` first, with what makes one of them.

        Nothing is looked at before the first use.
        """
        self._reader = reader
        self._session = session
        self._users = users
        self._validity = validity
        self._item_columns, self._make_item = item
        self._read: Read | None = None

    def find(self, username: str, keys: Sequence[str], item_id: int) -> tuple[FoundCaller | None, Any]:
        """Return the user of a name, judged by the one or two keys of their token, and the user with the id, or None.

        Case does not matter in a name, and nothing else is forgiven.
        """
        if not can_be_stored(username):
            return None, None
        canonical = canonical_username(username)
        parameters = {
            "name": username if self._users.is_campus else canonical,
            "canonical": canonical,
            "key": keys[0],
            "other_key": keys[-1],
            "item_id": item_id,
        }
        rows = self._reader.rows(self._read or self._make_read(), parameters)
        # A campus's collation forgives accents and trailing spaces; we do not.
        if not rows or (rows[0][0].username != username and canonical_username(rows[0][0].username) != canonical):
            return None, None
        found: tuple[FoundCaller, Any] = rows[0]
        return found

    def _make_read(self) -> Read:
        session = self._session()
        present = self._users.columns(session).names
        session.rollback()
        item = aliased(User)
        named = User.username if self._users.is_campus else User.username_canonical
        judged = self._validity.columns(session, bindparam("canonical"), (bindparam("key"), bindparam("other_key")))
        shown = (getattr(item, name) if name in present else null().label(name) for name in self._item_columns)
        self._read = Read(
            select(*(getattr(User, name) for name in CALLER_COLUMNS), *judged, *shown)
            .select_from(User)
            .outerjoin(item, item.id == bindparam("item_id"))
            .where(named == bindparam("name")),
            (len(FoundCaller._fields), found_caller),
            (len(self._item_columns), lambda values: None if values[0] is None else self._make_item(values)),
        )
        return self._read
