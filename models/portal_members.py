"""The users of portals, in the order of their ids: Chamilo has no index that a page of them could be read from."""

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, func, or_, select
from sqlalchemy.orm import Session

from models.campus import AccessUrlRelUser, is_link_to
from models.compiled_reads import Read, Reader
from models.remembered_rows import Values
from models.user import User
from models.user_table import UserTable

#: How old the ids may be if only Chamilo changed the links of users, in seconds.
MAX_AGE_SECONDS = 5.0

# 4 bytes an id: the users of all portals of a large campus take 4 MB.
_MAX_SETS = 16

#: A page is read in statements of so many ids: one for a page of the usual size.
MEMBERS_AT_ONCE = 30

# The statements of a list take 50 KB. There are as many as pairs of fields and sets of portals in use.
_MAX_READS = 64

Portals = frozenset[int]
Make = Callable[[Values], Any]


@dataclass(frozen=True, slots=True)
class _Members:
    ids: Sequence[int]
    newest: tuple[Any, ...]
    read_at: float


class PortalMembers:
    """Knows the users of sets of portals.

    A new link, and every user that Poort inserts or deletes, counts at once. A link that Chamilo deletes may count for five
    seconds more, so whoever shows a user looks at the link again.
    """

    def __init__(
        self,
        reader: Reader,
        session: Callable[[], Session],
        users: UserTable,
        changes: Callable[[], Any],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the sources. `changes` returns another value after each write of Poort's. Nothing is read before the first use."""
        self._reader, self._session, self._users = reader, session, users
        self._changes, self._timer = changes, timer
        self._lock = Lock()
        self._newest_links: dict[Portals, Read] = {}
        self._members: dict[Portals, _Members] = {}
        self._reads: dict[tuple[tuple[str, ...], Make, Portals], Read] = {}

    def list(self, columns: tuple[str, ...], make: Make, portals: Portals) -> "MemberList":
        """Return the list of the users of portals by ascending id. `make` makes an item of `columns`."""
        read = self._reads.get((columns, make, portals)) or self._make_page_read(columns, make, portals)
        return MemberList(self._reader, read, self.ids(portals))

    def ids(self, portals: Portals) -> Sequence[int]:
        """Return the ids of the users that are linked to any of these portals, ascending, each once."""
        newest_link = self._newest_links.get(portals) or self._make_read(portals)
        newest = (*self._reader.rows(newest_link, {}), self._changes())
        # One thread reads; the others use its result.
        with self._lock:
            known = self._members.get(portals)
            if known is None or known.newest != newest or self._timer() - known.read_at >= MAX_AGE_SECONDS:
                read_at = self._timer()
                known = self._members[portals] = _Members(self._read_ids(portals), newest, read_at)
            return known.ids

    def _read_ids(self, portals: Portals) -> Sequence[int]:
        session, user_id = self._session(), AccessUrlRelUser.user_id
        linked = select(user_id).where(is_link_to(portals), user_id.is_not(None)).distinct().order_by(user_id)
        found = array("I", session.scalars(linked))
        session.rollback()
        return found

    def _make_read(self, portals: Portals) -> Read:
        if len(self._newest_links) >= _MAX_SETS:
            self._newest_links.clear()
            self._members.clear()
        newest = select(func.coalesce(func.max(AccessUrlRelUser.id), 0)).where(is_link_to(portals))
        made = self._newest_links[portals] = Read(newest, (1, lambda values: values[0]))
        return made

    def _make_page_read(self, columns: tuple[str, ...], make: Make, portals: Portals) -> Read:
        session = self._session()
        places = [bindparam(f"id{place}", type_=Integer) for place in range(MEMBERS_AT_ONCE)]
        users = self._users.select(session, columns).where(or_(*(User.id == place for place in places)), _is_linked(portals))
        session.rollback()
        if len(self._reads) >= _MAX_READS:
            self._reads.clear()
        read = self._reads[columns, make, portals] = Read(users.order_by(User.id), (len(columns), make))
        return read


class MemberList:
    """An unfiltered list of the users of portals, for rest.pagination; `ids` are theirs, ascending."""

    def __init__(self, reader: Reader, read: Read, ids: Sequence[int]) -> None:
        self._reader, self._read, self._ids = reader, read, ids

    def count(self) -> int:
        """Return the number of users in the list."""
        return len(self._ids)

    def fetch(self, limit: int, offset: int) -> Sequence[Any]:
        """Return a page, without users that were unlinked meanwhile."""
        ids, found = self._ids[offset : offset + limit], []
        for start in range(0, len(ids), MEMBERS_AT_ONCE):
            some = ids[start : start + MEMBERS_AT_ONCE]
            padded = (*some, *(some[-1],) * (MEMBERS_AT_ONCE - len(some)))
            found += self._reader.rows(self._read, {f"id{place}": number for place, number in enumerate(padded)})
        return found


def _is_linked(portals: frozenset[int]) -> ColumnElement[bool]:
    # Not EXISTS, which MariaDB turns into a join with all links of the portals.
    link = select(func.count()).where(AccessUrlRelUser.user_id == User.id, is_link_to(portals))
    return link.correlate(User).scalar_subquery() > 0
