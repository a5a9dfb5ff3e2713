"""Statements that fetch a page of users. Deep pages are found in an index, from the nearer end of the list."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, UnaryExpression, select
from sqlalchemy.sql.operators import desc_op

from models.user import User

#: From this offset on, a page is first found as ids in an index, since rows are long.
DEEP_OFFSET = 1000


class Window(NamedTuple):
    """The place of a page: at most `limit` users after an offset, which counts from the end of the list if `is_from_end`."""

    limit: Any
    offset: Any
    is_deep: bool
    is_from_end: bool

    def in_order(self, found: Sequence[Any]) -> Sequence[Any]:
        """Return fetched users in the order of the list."""
        return found[::-1] if self.is_from_end else found


def window_of(limit: int, offset: int, total: int) -> Window:
    """Return where the page at an offset lies in a list of `total` users, counted from the nearer end."""
    behind = total - offset - limit
    if offset < DEEP_OFFSET or behind >= offset:
        return Window(limit, offset, is_deep=offset >= DEEP_OFFSET, is_from_end=False)
    return Window(min(limit, total - offset), max(0, behind), is_deep=behind >= DEEP_OFFSET, is_from_end=True)


def page_statement(users: Select[Any], conditions: Sequence[Any], order: Sequence[Any], window: Window) -> Select[Any]:
    """Return the statement for the users of a page that meet the conditions; a page from the end is in reverse order."""
    ordered = list(_backwards(order)) if window.is_from_end else order
    if not window.is_deep:
        return users.where(*conditions).order_by(*ordered).limit(window.limit).offset(window.offset)
    page = select(User.id).where(*conditions).order_by(*ordered).limit(window.limit).offset(window.offset).subquery("page")
    return users.join(page, page.c.id == User.id).order_by(*ordered)


def _backwards(order: Iterable[Any]) -> Iterable[Any]:
    """Reverse an order. A column without a direction is ascending."""
    for given in order:
        column = given.element if isinstance(given, UnaryExpression) else given
        yield column.asc() if getattr(given, "modifier", None) is desc_op else column.desc()
