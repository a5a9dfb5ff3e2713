"""Lists of the users of portals, by id. Their ids are cached, since Chamilo has no index from which to read a page of them."""

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, bindparam, func, select

from models.campus import AccessUrlRelUser, is_link_to, is_linked_to
from models.compiled_reads import Read, Reader
from models.remembered_rows import Values
from models.user import User
from models.user_table import UserTable

#: If the portals have many users: how long a link that Chamilo has deleted may still count, in seconds.
MAX_AGE_SECONDS = 5.0

#: If users times portals are at most this many, all links are checked every time. For 1,000 users that would take 0.5 ms.
FEW = 300

# An id takes 4 bytes, so the users of all portals of a large campus take 4 MB.
_MAX_SETS = 16

#: A page is read in statements of at most this many ids; a page of the usual size needs one.
MEMBERS_AT_ONCE = 30

# The statements of a list take 50 KB. There is a list for each combination of fields and portals in use.
_MAX_READS = 64

Portals = frozenset[int]
Make = Callable[[Values], Any]


class Members(NamedTuple):
    """The users of portals: their ids, ascending, and the condition that a user is one of them."""

    ids: Sequence[int]
    are_linked: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class _Known:
    ids: Sequence[int]
    newest: tuple[Any, ...]
    read_at: float


class PortalMembers:
    """Knows the users of sets of portals.

    A new link takes effect at once, and so does every user that Poort inserts or deletes. A link that Chamilo deletes is gone at
    once if the portals have few users. Otherwise it may count for five more seconds, so check it before you show a user.
    """

    def __init__(self, reader: Reader, users: UserTable, changes: Callable[[], ColumnElement[Any]]) -> None:
        """Take the sources. `changes` returns an expression whose value changes with each user that Poort inserts or deletes."""
        self._reader, self._users, self._changes, self._timer = reader, users, changes, time.monotonic
        self._lock = Lock()
        self._newest: dict[tuple[Portals, bool], Read] = {}
        self._known: dict[Portals, _Known] = {}
        self._reads: dict[tuple[tuple[str, ...], Make, Portals], Read] = {}

    def list(self, columns: tuple[str, ...], make: Make, portals: Portals) -> "MemberList":
        """Return the list of the users of portals by ascending id. `make` makes an item of `columns`."""
        read = self._reads.get((columns, make, portals)) or self._make_page_read(columns, make, portals)
        return MemberList(self._reader, read, self._ids(portals))

    def of(self, portals: Portals) -> Members:
        """Return the users that are linked to any of these portals, each once."""
        return Members(self._ids(portals), is_linked_to(portals))

    def _ids(self, portals: Portals) -> Sequence[int]:
        before = self._known.get(portals)
        are_few = before is not None and len(before.ids) * len(portals) <= FEW
        (newest,) = self._reader.rows(self._newest.get((portals, are_few)) or self._make_read(portals, are_few=are_few), {})
        # One thread reads; the others use its result.
        with self._lock:
            known = self._known.get(portals)
            if known is None or known.newest != newest or self._timer() - known.read_at >= MAX_AGE_SECONDS:
                read_at = self._timer()
                known = self._known[portals] = _Known(self._read_ids(portals), newest, read_at)
            return known.ids

    def _read_ids(self, portals: Portals) -> Sequence[int]:
        user_id = AccessUrlRelUser.user_id
        linked = select(user_id).where(is_link_to(portals), user_id.is_not(None)).distinct().order_by(user_id)
        with self._reader.session() as session:
            return array("I", session.scalars(linked))

    def _make_read(self, portals: Portals, *, are_few: bool) -> Read:
        if portals not in self._known and len(self._known) >= _MAX_SETS:
            self._newest.clear()
            self._known.clear()
        # A subquery for each portal: the index finds the newest link of one portal at once, but not of several together.
        links = [
            select(func.max(AccessUrlRelUser.id)).where(is_link_to([portal])).scalar_subquery() for portal in sorted(portals)
        ]
        if are_few:
            of_all = func.count(AccessUrlRelUser.user_id), func.sum(AccessUrlRelUser.user_id)
            links += [select(each).where(is_link_to(portals)).scalar_subquery() for each in of_all]
        made = self._newest[portals, are_few] = Read(select(self._changes(), *links), (1 + len(links), tuple))
        return made

    def _make_page_read(self, columns: tuple[str, ...], make: Make, portals: Portals) -> Read:
        places = [bindparam(f"id{place}", type_=Integer) for place in range(MEMBERS_AT_ONCE)]
        with self._reader.session() as session:
            users = self._users.select(session, columns).where(User.id.in_(places), is_linked_to(portals))
        if len(self._reads) >= _MAX_READS:
            self._reads.clear()
        read = self._reads[columns, make, portals] = Read(users.order_by(User.id), (len(columns), make))
        return read


class MemberList:
    """An unfiltered list of the users of portals, for rest.pagination; `ids` are the users' ids, ascending."""

    def __init__(self, reader: Reader, read: Read, ids: Sequence[int]) -> None:
        self._reader, self._read, self._ids = reader, read, ids

    def count(self) -> int:
        """Return the number of users in the list."""
        return len(self._ids)

    def fetch(self, limit: int, offset: int) -> Sequence[Any]:
        """Return a page, without users whose links have ended since the ids were read."""
        ids, found = self._ids[offset : offset + limit], []
        for start in range(0, len(ids), MEMBERS_AT_ONCE):
            some = ids[start : start + MEMBERS_AT_ONCE]
            padded = (*some, *(some[-1],) * (MEMBERS_AT_ONCE - len(some)))
            found += self._reader.rows(self._read, {f"id{place}": number for place, number in enumerate(padded)})
        return found
