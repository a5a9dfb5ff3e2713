"""Pagination with `page` and `itemsPerPage` (docs/compatibility.md#paging)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rest.encoding import INT_MAX
from rest.problem import UnreadableQuery
from rest.query import Parameters, integer

DEFAULT_ITEMS_PER_PAGE = 30

#: The query parameters that select a page and do not filter.
PAGING = frozenset(("page", "itemsPerPage"))


@dataclass(frozen=True, slots=True)
class Paging:
    """The requested page, counted from 1, and its size. A page of size 0 shows only the total."""

    page: int
    items_per_page: int

    @property
    def offset(self) -> int:
        """Return the number of items before the page."""
        return (self.page - 1) * self.items_per_page


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its items, which page was requested, and the number of items in the whole collection."""

    items: tuple[Any, ...]
    paging: Paging
    total_items: int

    @property
    def number(self) -> int:
        """Return the number of the page: always 1 if pages have size 0."""
        return self.paging.page if self.paging.items_per_page else 1

    @property
    def last(self) -> int:
        """Return the number of the last page, at least 1."""
        if not self.paging.items_per_page:
            return 1
        return max(1, math.ceil(self.total_items / self.paging.items_per_page))


class Listing(Protocol):
    """An ordered list of items, fetched by page."""

    def count(self) -> int:
        """Return the number of all items."""

    def fetch(self, limit: int, offset: int) -> Sequence[Any]:
        """Return at most `limit` items after the first `offset`."""


def read_paging(parameters: Parameters, max_items_per_page: int) -> Paging:
    """Read `page` and `itemsPerPage`. Raises UnreadableQuery with Chamilo's texts."""
    page = integer(parameters["page"]) if "page" in parameters else 1
    if page < 1:
        raise UnreadableQuery("Page should not be less than 1")
    wanted = integer(parameters["itemsPerPage"]) if "itemsPerPage" in parameters else DEFAULT_ITEMS_PER_PAGE
    items_per_page = min(wanted, max_items_per_page)
    if items_per_page < 0:
        raise UnreadableQuery("Limit should not be less than 0")
    if items_per_page == 0 and page > 1:
        raise UnreadableQuery("Page should not be greater than 1 if limit is equal to 0")
    paging = Paging(page, items_per_page)
    if paging.offset > INT_MAX:
        raise UnreadableQuery("Page parameter is too large.")
    return paging


def paginate(listing: Listing, paging: Paging) -> Page:
    """Count the items of a listing, and fetch a page of them."""
    total_items = listing.count()
    if not paging.items_per_page or paging.offset >= total_items:
        return Page((), paging, total_items)
    return Page(tuple(listing.fetch(paging.items_per_page, paging.offset)), paging, total_items)
