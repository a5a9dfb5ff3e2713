"""Find the caller of a request, whether their token was ended, and the user in the path, with one statement."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, null, select
from sqlalchemy.orm import aliased

from models.campus import MEMBERSHIP
from models.compiled_reads import Read, Reader
from models.folding import canonical_username
from models.remembered_rows import Values
from models.roles import reachable_roles, roles_to_show
from models.token_validity import TokenValidity
from models.user import User
from models.user_table import UserTable, can_be_stored


class FoundCaller(NamedTuple):
    """The user of a token or an API key. `granted` includes roles that follow from the hierarchy.

    `valid_after` is the second from which their tokens are valid; None if all are.
    """

    id: int
    username: str
    granted: frozenset[str]
    active: int
    locked: bool
    expiration_date: datetime | None
    linked: frozenset[int]
    active_in: frozenset[int]
    signs_in_to: frozenset[int]
    valid_after: int | None
    is_revoked: bool


#: The columns that decide whether a caller may do anything.
CALLER_COLUMNS = ("id", "username", "roles", "active", "locked", "expiration_date", *MEMBERSHIP)


def found_caller(values: Values) -> FoundCaller:
    """Make a caller of the values of CALLER_COLUMNS, followed by `valid_after` and `is_revoked`."""
    user_id, username, roles, *state = values
    return FoundCaller(user_id, username, reachable_roles(roles_to_show(roles)), *state)


@dataclass(frozen=True, slots=True)
class ItemOfPath:
    """The user that the path of a request names, read with the caller.

    `names` are those of the columns, `id` first. `maker_of` takes a form of full names, and returns the function that makes an
    item.
    """

    names: Sequence[str]
    maker_of: Callable[[str], Callable[[Values], Any]]

    def columns(self, present: Collection[str]) -> tuple[Any, list[Any]]:
        """Return an alias of the table, and its columns. A missing column is null."""
        item = aliased(User)
        return item, [getattr(item, name) if name in present else null().label(name) for name in self.names]

    def part(self, name_form: str) -> tuple[int, Callable[[Values], Any]]:
        """Return the part of a Read that makes the item. It makes None if there is no such user."""
        make = self.maker_of(name_form)
        return len(self.names), lambda values: None if values[0] is None else make(values)


class Callers:
    """Finds callers, and the users that request paths name."""

    def __init__(self, reader: Reader, users: UserTable, validity: TokenValidity, item: ItemOfPath) -> None:
        self._reader, self._users, self._validity, self._item = reader, users, validity, item
        # For each form of full names: the read of a caller (on SQLite, its result is kept), and that of a caller with an item.
        self._reads: dict[str, tuple[Read, Read]] = {}

    def find(self, username: str, keys: Sequence[str], item_id: int, name_form: str) -> tuple[FoundCaller | None, Any]:
        """Return the caller, and the user `item_id`, each None if there is none; without a caller, both are None.

        `keys` are the one or two keys under which the token may be revoked. The case of `username` does not matter
        (docs/compatibility.md#username-match).
        """
        if not can_be_stored(username):
            return None, None
        canonical = canonical_username(username)
        name = username if self._users.is_campus else canonical
        about = {"name": name, "canonical": canonical, "key": keys[0], "other_key": keys[-1]}
        read_caller, read_both = self._reads.get(name_form) or self._make_reads(name_form)
        if item_id:
            rows = self._reader.rows(read_both, about | {"item_id": item_id})
        else:
            rows = [(caller, None) for caller in self._reader.rows(read_caller, about)]
        # A campus's collation ignores accents and trailing spaces; sign-in must not.
        if not rows or (rows[0][0].username != username and canonical_username(rows[0][0].username) != canonical):
            return None, None
        found: tuple[FoundCaller, Any] = rows[0]
        return found

    def _make_reads(self, name_form: str) -> tuple[Read, Read]:
        with self._reader.session() as session:
            item, shown = self._item.columns(self._users.columns(session).names)
            judged = self._validity.columns(session, bindparam("canonical"), (bindparam("key"), bindparam("other_key")))
            columns = *self._users.selected(session, CALLER_COLUMNS), *judged
        named = User.username if self._users.is_campus else User.username_canonical
        callers = select(*columns).select_from(User).where(named == bindparam("name"))
        of_caller = len(FoundCaller._fields), found_caller
        both = callers.add_columns(*shown).outerjoin(item, item.id == bindparam("item_id"))
        reads = Read(callers, of_caller, is_kept=True), Read(both, of_caller, self._item.part(name_form))
        self._reads[name_form] = reads
        return reads
