"""Find the administrators who may sign in, so that nobody removes the last one."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Protocol

from sqlalchemy import Text, func, or_, select, type_coerce
from sqlalchemy.orm import Session

from models.roles import ROLE_ADMIN, ROLE_GLOBAL_ADMIN, reachable_roles, roles_to_show
from models.transactions import ChangedMeanwhile
from models.user import ACTIVE, HasRoles, HasState, User, refusal

#: The columns that decide whether a user is an administrator.
ADMINISTRATOR_COLUMNS = ("id", "roles", "active", "locked", "expiration_date")


class LastAdministrator(Exception):
    """A change that would leave no administrator."""

    def __init__(self) -> None:
        """Set the message for clients (docs/compatibility.md#last-administrator)."""
        super().__init__("The last administrator cannot lose that role.")


class HasRolesAndState(HasRoles, HasState, Protocol):
    """A row with ADMINISTRATOR_COLUMNS."""


def is_administrator(user: HasRolesAndState, now: datetime) -> bool:
    """Tell whether a user may sign in and has ROLE_ADMIN, directly or through another role."""
    return refusal(user, now) is None and ROLE_ADMIN in reachable_roles(roles_to_show(user.roles))


def loses_administrator(user: HasRolesAndState, columns: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether a user is an administrator now and would not be after a change of `columns`."""
    after: Any = SimpleNamespace(**{name: columns.get(name, getattr(user, name)) for name in ADMINISTRATOR_COLUMNS})
    return is_administrator(user, now) and not is_administrator(after, now)


def find_others(session: Session, user: HasRolesAndState, columns: Mapping[str, Any], now: datetime) -> frozenset[int]:
    """Return the ids of the other administrators if the change makes this user lose that role, else none. Locks nothing.

    Raises LastAdministrator if there is no other.
    """
    if not loses_administrator(user, columns, now):
        return frozenset()
    others = find_administrators(session, now) - {user.id}
    if not others:
        raise LastAdministrator
    return others


def require_other(user: HasRolesAndState, columns: Mapping[str, Any], others: Iterable[HasRolesAndState], now: datetime) -> None:
    """Check again, with all these rows locked, that another administrator remains. Raises ChangedMeanwhile if not."""
    if loses_administrator(user, columns, now) and not any(is_administrator(other, now) for other in others):
        raise ChangedMeanwhile


def find_administrators(session: Session, now: datetime) -> frozenset[int]:
    """Return the ids of the administrators of all portals. Reads every row, so call it only if one may be lost."""
    stored = func.upper(type_coerce(User.roles, Text()))
    # Both encodings of roles contain the plain names.
    named = or_(*(stored.contains(role, autoescape=True) for role in (ROLE_ADMIN, ROLE_GLOBAL_ADMIN)))
    candidates = select(*(getattr(User, name) for name in ADMINISTRATOR_COLUMNS)).where(User.active == ACTIVE, named)
    return frozenset(row.id for row in session.execute(candidates) if is_administrator(row, now))
