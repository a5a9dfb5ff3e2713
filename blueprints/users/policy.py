"""Who may do what with users (docs/compatibility.md#users). Nothing else in this package looks at the caller's roles.

Functions `may_…` tell whether a caller may do something. Functions `require_…` raise AccessDenied. resource.py declares which
properties can be written at all. An administrator's scope is everyone or, on a campus of several portals, the users of some of
them (security/portal_scope.py).
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.orm import Session

from blueprints.users.resource import USER, USER_OF_PORTAL
from blueprints.users.writing import HeldUser, sets_other_roles
from models.administrators import HasRolesAndState, LastAdministrator, find_others
from models.campus import are_acquainted
from models.roles import ROLE_ADMIN, ROLE_GLOBAL_ADMIN, roles_to_store
from models.user_lists import Rows
from security.access import Rule
from security.bearer import Caller
from security.errors import AccessDenied, LastAdministratorStays, OwnAccount, UngrantableRole
from security.portal_scope import is_in_scope, is_unrestricted, listed_portals, manages_portal


class Target(HeldUser, Protocol):
    """A row of the user that a caller wants to change, with the portals that the user is linked to."""

    linked: frozenset[int]


_SEES_EVERYONE = ("ROLE_ADMIN", "ROLE_GLOBAL_ADMIN", "ROLE_TEACHER", "ROLE_SESSION_MANAGER")

# The properties that users without the role of an administrator may write in their own row (docs/compatibility.md#self-edit).
_HARMLESS = frozenset(
    ("firstname", "lastname", "email", "website", "biography", "locale", "timezone", "phone", "address", "plainPassword")
)

_WRITABLE = frozenset(prop.name for prop in USER.writable)

#: The properties of a new user in a portal.
WRITABLE_IN_PORTAL = frozenset(prop.name for prop in USER_OF_PORTAL.writable)


def may_create_users(caller: Caller) -> bool:
    """Allow administrators."""
    return caller.is_granted(ROLE_ADMIN)


def may_add_to_portal(caller: Caller) -> bool:
    """Allow administrators and session managers."""
    return caller.is_granted(ROLE_ADMIN) or caller.is_granted("ROLE_SESSION_MANAGER")


def may_see_everyone(caller: Caller) -> bool:
    """Allow administrators, teachers, session managers and HR managers to list all users, with every readable property."""
    return any(caller.is_granted(role) for role in _SEES_EVERYONE)


def rows_in_lists(caller: Caller) -> Rows:
    """Return the users that a caller may list. On a campus of several portals, portals limit the list as well."""
    return Rows(None if may_see_everyone(caller) else caller.id, listed_portals(caller))


def in_portal(rule: Rule, portal_id: int) -> Rule:
    """Return a rule that adds a condition to another rule: the caller manages the portal."""
    return lambda caller: rule(caller) and manages_portal(caller, portal_id)


def may_edit_user(caller: Caller, user: Target) -> bool:
    """Allow users to edit themselves, and administrators to edit those in their scope."""
    return caller.id == user.id or (caller.is_granted(ROLE_ADMIN) and is_in_scope(caller, user.linked))


def writable_by(caller: Caller) -> frozenset[str]:
    """Return the properties that a caller may write of a user they may edit."""
    return _WRITABLE if caller.is_granted(ROLE_ADMIN) else _HARMLESS


def require_visible(session: Callable[[], Session], caller: Caller, user_id: int) -> None:
    """Show a user to administrators, to themselves, to friends and friends of friends, and to either end of a boss link."""
    if not (caller.is_granted(ROLE_ADMIN) or caller.id == user_id or are_acquainted(session(), caller.id, user_id)):
        raise AccessDenied


def require_creatable(caller: Caller, rule: Rule, roles: Collection[str]) -> None:
    """Check that the caller passes the rule of a route and may grant the roles."""
    if not rule(caller):
        raise AccessDenied
    _require_grantable(caller, roles)


def require_deletable(caller: Caller, user: Target) -> None:
    """Let administrators delete other users, but not themselves. Only global administrators may delete global administrators."""
    if not caller.is_granted(ROLE_ADMIN):
        raise AccessDenied
    if caller.id == user.id:
        raise OwnAccount
    if not is_in_scope(caller, user.linked) or not _may_take_over(caller, user):
        raise AccessDenied


def require_writable(caller: Caller, names: Collection[str]) -> None:
    """Require a caller who may write these properties."""
    if not writable_by(caller).issuperset(names):
        raise AccessDenied


def require_changeable(caller: Caller, user: Target, columns: Mapping[str, Any], *, sets_password: bool) -> None:
    """Require a caller who may change these columns of a user to these values, and the password if it is set.

    Only global administrators, and the user, may change the user name, e-mail, roles, state or password of a global
    administrator (docs/compatibility.md#global-admin-protected). Writing the stored value again is not a change. An API key
    cannot set the password of an existing user (docs/compatibility.md#api-keys).
    """
    if not may_edit_user(caller, user) or (sets_password and not caller.has_signed_in):
        raise AccessDenied
    granted = columns.get("roles", ())
    if ROLE_GLOBAL_ADMIN not in roles_to_store(user.roles):
        _require_grantable(caller, granted, is_own=caller.id == user.id)
    if (sets_password or _changes_account(user, columns)) and not _may_take_over(caller, user):
        raise AccessDenied


def require_administrator_left(
    session: Session, user: HasRolesAndState, columns: Mapping[str, Any], now: datetime
) -> frozenset[int]:
    """Return the other administrators' ids if a change ends this one's rights, else none. Raises AccessDenied for the last."""
    try:
        return find_others(session, user, columns, now)
    except LastAdministrator as refusal:
        raise LastAdministratorStays(str(refusal)) from None


def _require_grantable(caller: Caller, granted: Collection[str], *, is_own: bool = False) -> None:
    """Let only unrestricted global administrators grant the role of a global administrator."""
    if ROLE_GLOBAL_ADMIN not in granted or (caller.is_granted(ROLE_GLOBAL_ADMIN) and is_unrestricted(caller)):
        return
    if is_own:
        raise UngrantableRole("You cannot grant yourself the global admin role.")
    raise UngrantableRole("Only a global admin registered in the topmost access URL may grant the global admin role.")


def _may_take_over(caller: Caller, user: HeldUser) -> bool:
    """Tell whether a caller may change what a user signs in with, or may do, and so could act as the user."""
    is_protected = ROLE_GLOBAL_ADMIN in roles_to_store(user.roles)
    return not is_protected or caller.id == user.id or caller.is_granted(ROLE_GLOBAL_ADMIN)


def _changes_account(user: HeldUser, columns: Mapping[str, Any]) -> bool:
    others = ("username", "email", "active")
    return sets_other_roles(user, columns) or any(name in columns and columns[name] != getattr(user, name) for name in others)
