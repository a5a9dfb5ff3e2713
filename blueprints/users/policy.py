"""Who may do what with users: one function an action."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from blueprints.users.resource import USER
from blueprints.users.writing import HeldUser
from models.administrators import HasRolesAndState, LastAdministrator, find_others
from models.campus import are_acquainted
from models.roles import ROLE_ADMIN, ROLE_GLOBAL_ADMIN, roles_to_store
from security.bearer import Caller
from security.errors import AccessDenied

_SEES_EVERYONE = ("ROLE_ADMIN", "ROLE_GLOBAL_ADMIN", "ROLE_TEACHER", "ROLE_SESSION_MANAGER")


#: What users who are no administrators may write of their own row.
_HARMLESS = frozenset(
    ("firstname", "lastname", "email", "website", "biography", "locale", "timezone", "phone", "address", "plainPassword")
)

_WRITABLE = frozenset(prop.name for prop in USER.writable)


def may_create_users(caller: Caller) -> bool:
    """Administrators."""
    return caller.is_granted(ROLE_ADMIN)


def may_add_to_portal(caller: Caller) -> bool:
    """Administrators and session managers."""
    return caller.is_granted(ROLE_ADMIN) or caller.is_granted("ROLE_SESSION_MANAGER")


def may_see_everyone(caller: Caller) -> bool:
    """Administrators, teachers, session managers and HR see all users in lists, with all that is readable of them."""
    return any(caller.is_granted(role) for role in _SEES_EVERYONE)


def may_view_user(session: Callable[[], Session], caller: Caller, user_id: int) -> bool:
    """Administrators, oneself, friends and their friends, and either end of a boss link."""
    return caller.is_granted(ROLE_ADMIN) or caller.id == user_id or are_acquainted(session(), caller.id, user_id)


def may_edit_user(caller: Caller, user_id: int) -> bool:
    """Administrators, and oneself, who may write what is harmless."""
    return caller.is_granted(ROLE_ADMIN) or caller.id == user_id


def writable_by(caller: Caller) -> frozenset[str]:
    """Return which properties of a user whom they may edit a caller may write; the others are ignored."""
    return _WRITABLE if caller.is_granted(ROLE_ADMIN) else _HARMLESS


def require_deletable(caller: Caller, user: HeldUser) -> None:
    """Administrators may delete others, and not themselves; global administrators only each other. Raises AccessDenied."""
    if not caller.is_granted(ROLE_ADMIN):
        raise AccessDenied
    if caller.id == user.id:
        raise AccessDenied("You cannot delete this user")
    if not _may_take_over(caller, user):
        raise AccessDenied


def require_changeable(caller: Caller, user: HeldUser, columns: Mapping[str, Any], *, sets_password: bool) -> None:
    """Raise AccessDenied unless a caller may change these columns of a user to these values, and the password if it is set.

    Only a global administrator makes another one. Nobody but global administrators and oneself changes the user name, the
    e-mail, the roles, the state or the password of one; a value that is stored already is no change
    (docs/compatibility.md: global-admin-protected).
    """
    if not may_edit_user(caller, user.id):
        raise AccessDenied
    granted = columns.get("roles", ())
    if ROLE_GLOBAL_ADMIN in granted and ROLE_GLOBAL_ADMIN not in roles_to_store(user.roles):
        require_grantable(caller, granted, is_own=caller.id == user.id)
    if (sets_password or _changes_account(user, columns)) and not _may_take_over(caller, user):
        raise AccessDenied


def require_grantable(caller: Caller, granted: Collection[str], *, is_own: bool = False) -> None:
    """Let only a global administrator make another one, who has not been one. Raises AccessDenied."""
    if ROLE_GLOBAL_ADMIN not in granted or caller.is_granted(ROLE_GLOBAL_ADMIN):
        return
    if is_own:
        raise AccessDenied("You cannot grant yourself the global admin role.")
    raise AccessDenied("Only a global admin registered in the topmost access URL may grant the global admin role.")


def require_administrator_left(
    session: Session, user: HasRolesAndState, columns: Mapping[str, Any], now: datetime
) -> frozenset[int]:
    """Return the ids of the other administrators where a change would cost this one. Raises AccessDenied if there is none."""
    try:
        return find_others(session, user, columns, now)
    except LastAdministrator as refusal:
        raise AccessDenied(str(refusal)) from None


def _may_take_over(caller: Caller, user: HeldUser) -> bool:
    """Tell whether a caller may change what would let them act as this user."""
    is_protected = ROLE_GLOBAL_ADMIN in roles_to_store(user.roles)
    return not is_protected or caller.id == user.id or caller.is_granted(ROLE_GLOBAL_ADMIN)


def _changes_account(user: HeldUser, columns: Mapping[str, Any]) -> bool:
    if "roles" in columns and set(columns["roles"]) != set(roles_to_store(user.roles)):
        return True
    return any(name in columns and columns[name] != getattr(user, name) for name in ("username", "email", "active"))
