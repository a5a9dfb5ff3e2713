"""Lists of users. The statements of unfiltered lists are compiled once; each filtered list has a statement of its own."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Integer, Result, Select, bindparam, func, select
from sqlalchemy.orm import Session
from sqlalchemy.util import LRUCache

from models.campus import ids_linked_to, ids_seen_by
from models.compiled_reads import Read, Reader
from models.portal_members import Make, MemberList, Members, PortalMembers
from models.user import User
from models.user_pages import Window, page_statement, window_of
from models.user_search import Wanted, candidates, has_sqlite_index, match_expression
from models.user_table import UserTable
from models.user_total import UserTotals

#: Up to this many candidates are looked up one by one. Beyond it, reading every row is faster.
MOST_CANDIDATES = 20_000

#: Up to this many matches are all found first, and the page is taken from them. If there are more, the database reads users in
#: the order of the list up to the page.
FEW_MATCHES = 300

#: A page of a portal's users is looked for among the first users of the campus only if that means reading at most one user for
#: this many users of the portal.
_FEWER = 4

# Each combination of filters compiles to a statement of up to 200 KB, so these have a cache of their own. It grows by half of
# this number before it evicts the least recently used: 7 MB.
_COMPILED = 24

# The statements of an unfiltered list take 100 KB. There is a list for each combination of fields and portals in use.
_MOST_READS = 64

# The statements of a list: the one that counts, and those that fetch a page, by its window's `is_deep` and `is_from_end`.
_Reads = tuple[Read, Mapping[tuple[bool, ...], Read]]


@dataclass(frozen=True, slots=True)
class Filters:
    """The conditions and the order of a list. `wanted` has the conditions that search for text, for the search index."""

    conditions: Sequence[ColumnElement[bool]]
    order: Sequence[Any]
    wanted: Sequence[Wanted]


@dataclass(frozen=True, slots=True)
class Rows:
    """The users that a list may show: those that the user with the id `seen_by` sees, and that are linked to `portals`.

    None in either field sets no limit.
    """

    seen_by: int | None = None
    portals: frozenset[int] | None = None

    def conditions(self, seen_by: int | BindParameter[int] | None) -> list[ColumnElement[bool]]:
        """Return the conditions. `seen_by` is the id of that user, or a parameter for it; None for no limit."""
        seen: list[ColumnElement[bool]] = [] if seen_by is None else [User.id.in_(ids_seen_by(seen_by))]
        return seen if self.portals is None else [*seen, User.id.in_(ids_linked_to(self.portals))]


class UserLists:
    """Lists all users, or some of them."""

    def __init__(self, reader: Reader, session: Callable[[], Session], users: UserTable) -> None:
        """Take the sources. `session` runs the filtered lists."""
        self._reader, self._session, self._users = reader, session, users
        self._totals = UserTotals(reader, is_campus=users.is_campus)
        self._members = PortalMembers(reader, users, self._totals.changes)
        self._reads: dict[tuple[tuple[str, ...], Make, bool, frozenset[int] | None], _Reads] = {}
        self._has_index: bool | None = None
        self._compiled: MutableMapping[Any, Any] = LRUCache(_COMPILED)

    def unfiltered(self, columns: tuple[str, ...], make: Make, rows: Rows) -> "UserList | MemberList":
        """Return the list of users by ascending id. `make` makes an item of `columns`."""
        if rows.seen_by is None and rows.portals is not None:
            return self._members.list(columns, make, rows.portals)
        everyone = rows.seen_by is None
        reads = self._reads.get((columns, make, everyone, rows.portals)) or self._make_reads(columns, make, rows)
        total, parameters = (self._totals.of_everyone, {}) if everyone else (None, {"user_id": rows.seen_by})
        return UserList(self._reader, reads, total, parameters)

    def filtered(self, columns: tuple[str, ...], make: Make, filters: Filters, rows: Rows) -> "FilteredList":
        """Return the list of those users of `rows` that match, in the order that `filters` gives."""
        session = self._session()
        if self._has_index is None:
            self._has_index = has_sqlite_index(session)
        expression = match_expression(filters.wanted) if self._has_index else None
        users = self._users.select(session, columns)
        execute = partial(session.execute, execution_options={"compiled_cache": self._compiled})
        return FilteredList(
            execute=execute,
            users=users,
            make=make,
            filters=filters,
            seen=rows.conditions(rows.seen_by),
            expression=expression,
            total=self._totals.of_everyone,
            members=self._members.of(rows.portals) if rows.portals is not None and rows.seen_by is None else None,
        )

    def _make_reads(self, columns: tuple[str, ...], make: Make, rows: Rows) -> _Reads:
        with self._reader.session() as session:
            users = self._users.select(session, columns)
        everyone = rows.seen_by is None
        conditions = rows.conditions(None if everyone else bindparam("user_id", type_=Integer))
        count = select(func.count()).select_from(User).where(*conditions)
        limit: BindParameter[int] = bindparam("limit")
        offset: BindParameter[int] = bindparam("offset")
        windows = [Window(limit, offset, deep, from_end) for deep in (False, True) for from_end in (False, True)]
        pages = [(window, page_statement(users, conditions, (User.id,), window)) for window in windows]
        if len(self._reads) >= _MOST_READS:
            self._reads.clear()
        made = self._reads[columns, make, everyone, rows.portals] = (
            Read(count, (1, itemgetter(0)), is_kept=True),
            {window[2:]: Read(page, (len(columns), make), is_kept=True) for window, page in pages},
        )
        return made


class UserList:
    """An unfiltered list, for rest.pagination. Call `count` before `fetch`."""

    def __init__(self, reader: Reader, reads: _Reads, total: Callable[[], int] | None, parameters: dict[str, Any]) -> None:
        self._reader, self._total, self._parameters = reader, total, parameters
        self._read_count, self._read_pages = reads
        self._counted = 0

    def count(self) -> int:
        """Return the number of users in the list."""
        self._counted = int(self._reader.rows(self._read_count, self._parameters)[0]) if self._total is None else self._total()
        return self._counted

    def fetch(self, limit: int, offset: int) -> Sequence[Any]:
        """Return a page."""
        window = window_of(limit, offset, self._counted)
        parameters = self._parameters | {"limit": window.limit, "offset": window.offset}
        return window.in_order(self._reader.rows(self._read_pages[window[2:]], parameters))


@dataclass(kw_only=True)
class FilteredList:
    """A list with a statement of its own, for rest.pagination. Call `count` before `fetch`.

    `execute` runs a statement, `users` selects all users, and `total` counts them. `seen` limits the list to users that the
    caller may see, which are the `members` of portals if these are given. `expression` is the query for SQLite's search index,
    if there is one.
    """

    execute: Callable[[Select[Any]], Result[Any]]
    users: Select[Any]
    make: Make
    filters: Filters
    seen: Sequence[ColumnElement[bool]]
    expression: str | None
    total: Callable[[], int]
    members: Members | None

    def __post_init__(self) -> None:
        """Begin with the requested conditions."""
        self._conditions = [*self.filters.conditions, *self.seen]
        self._matches: Sequence[int] | None = None
        self._counted = 0

    def count(self) -> int:
        """Return the number of users in the list."""
        self._counted = self._count()
        return self._counted

    def _count(self) -> int:
        if self.members is not None and not self.filters.conditions:
            return len(self.members.ids)
        if not self._conditions:
            return self.total()
        if self.expression is not None:
            found = candidates(self.expression)
            if self._number(found.limit(MOST_CANDIDATES + 1).subquery()) <= MOST_CANDIDATES:
                self._conditions = [User.id.in_(found), *self._conditions]
        # Without MATERIALIZED, PostgreSQL plans for the LIMIT: it reads row by row and ignores the trigram index.
        ids = select(User.id).where(*self._conditions).cte("matches").prefix_with("MATERIALIZED", dialect="postgresql")
        matches = self.execute(select(ids.c.id).limit(FEW_MATCHES + 1)).scalars().all()
        if len(matches) <= FEW_MATCHES:
            self._matches = matches
            return len(matches)
        return self._number(select(User.id).where(*self._conditions).subquery())

    def fetch(self, limit: int, offset: int) -> Sequence[Any]:
        """Return a page."""
        conditions, matches = self._conditions, self._matches
        if self.members is not None and matches is None:
            found = self._first_members(self.members, limit, offset)
            if len(found) == min(limit, self._counted - offset):
                return found
        if matches is not None:
            if self.filters.order[0] is User.id:
                matches, offset = sorted(matches)[offset : offset + limit], 0
            conditions = [User.id.in_(matches)]
        window = window_of(limit, offset, self._counted) if matches is None else Window(limit, offset, False, False)
        return window.in_order(self._made(page_statement(self.users, conditions, self.filters.order, window)))

    def _first_members(self, members: Members, limit: int, offset: int) -> Sequence[Any]:
        """Look for a page among the first users of the whole campus in this order. Return nothing if they are too many.

        If links are joined to all users instead, MariaDB uses no index for the order: it reads and sorts all members.
        """
        first = 2 * (offset + limit) * self.total() // self._counted
        if first * _FEWER > self._counted:
            return []
        everyone = select(User.id).where(*self.filters.conditions).order_by(*self.filters.order).limit(first).subquery("everyone")
        users = self.users.join(everyone, everyone.c.id == User.id).where(members.are_linked)
        return self._made(users.order_by(*self.filters.order).limit(limit).offset(offset))

    def _made(self, statement: Select[Any]) -> list[Any]:
        return [self.make(tuple(row)) for row in self.execute(statement)]

    def _number(self, rows: Any) -> int:
        return int(self.execute(select(func.count()).select_from(rows)).scalar_one())
