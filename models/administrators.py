"""Who is an administrator that can act, so that the last one is not lost."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Text, func, or_, select, type_coerce
from sqlalchemy.orm import Session

from models.role_list import RoleList
from models.roles import ROLE_ADMIN, ROLE_GLOBAL_ADMIN, reachable_roles, roles_to_show
from models.transactions import ChangedMeanwhile
from models.user import ACTIVE, HasState, User, refusal

#: The columns that tell whether a user counts.
ADMINISTRATOR_COLUMNS = ("id", "roles", "active", "locked", "expiration_date")


class LastAdministrator(Exception):
    """A change that would leave nobody who administers."""

    def __init__(self) -> None:
        """Say so, as the wire does (docs/compatibility.md: last-administrator)."""
        super().__init__("The last administrator cannot lose that role.")


class HasRolesAndState(HasState, Protocol):
    """A row with the columns above."""

    @property
    def id(self) -> int:
        """The id of the user."""

    @property
    def roles(self) -> RoleList:
        """The roles as they are stored."""


def is_administrator(user: HasRolesAndState, now: datetime) -> bool:
    """Tell whether a user counts: may sign in, and has ROLE_ADMIN or what includes it."""
    return refusal(user, now) is None and _administers(user.roles)


def loses_administrator(user: HasRolesAndState, columns: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether a user counts now and would not after a change of columns."""
    stays = _administers(columns.get("roles", user.roles)) and columns.get("active", user.active) == ACTIVE
    return not stays and is_administrator(user, now)


def find_others(session: Session, user: HasRolesAndState, columns: Mapping[str, Any], now: datetime) -> frozenset[int]:
    """Return the ids of the other administrators where a change would cost this one, else none; nothing is locked.

    Raises LastAdministrator if there is no other.
    """
    if not loses_administrator(user, columns, now):
        return frozenset()
    others = find_administrators(session, now) - {user.id}
    if not others:
        raise LastAdministrator
    return others


def require_other(user: HasRolesAndState, columns: Mapping[str, Any], others: Iterable[HasRolesAndState], now: datetime) -> None:
    """Look again at what `find_others` found, with all these rows held. Raises ChangedMeanwhile if it is to be found anew."""
    if loses_administrator(user, columns, now) and not any(is_administrator(other, now) for other in others):
        raise ChangedMeanwhile


def find_administrators(session: Session, now: datetime) -> frozenset[int]:
    """Return the ids of all who count, of all portals. It reads every row: ask only where one is about to be lost."""
    stored = func.upper(type_coerce(User.roles, Text()))
    # Both encodings of roles hold the names as they are.
    named = or_(*(stored.contains(role, autoescape=True) for role in (ROLE_ADMIN, ROLE_GLOBAL_ADMIN)))
    candidates = select(*(getattr(User, name) for name in ADMINISTRATOR_COLUMNS)).where(User.active == ACTIVE, named)
    return frozenset(row.id for row in session.execute(candidates) if is_administrator(row, now))


def _administers(roles: Collection[str]) -> bool:
    return ROLE_ADMIN in reachable_roles(frozenset(roles_to_show(roles)))
