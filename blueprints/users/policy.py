"""Who may do what with users: one function an action (contract 5)."""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from models.campus import are_acquainted
from models.roles import ROLE_ADMIN, ROLE_GLOBAL_ADMIN
from security.bearer import Caller
from security.errors import AccessDenied

_SEES_EVERYONE = ("ROLE_ADMIN", "ROLE_GLOBAL_ADMIN", "ROLE_TEACHER", "ROLE_SESSION_MANAGER")


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


def require_deletable(caller: Caller, user_id: int) -> None:
    """Administrators may delete others, and not themselves. Raises AccessDenied."""
    if not caller.is_granted(ROLE_ADMIN):
        raise AccessDenied
    if caller.id == user_id:
        raise AccessDenied("You cannot delete this user")


def require_grantable(caller: Caller, user_id: int | None, held: Sequence[str], granted: Sequence[str]) -> None:
    """Let only a global administrator make another one. Raises AccessDenied.

    `user_id` is None for a user who is being created. A row that has the role already may be edited.
    """
    if ROLE_GLOBAL_ADMIN not in granted or ROLE_GLOBAL_ADMIN in held or caller.is_granted(ROLE_GLOBAL_ADMIN):
        return
    if caller.id == user_id:
        raise AccessDenied("You cannot grant yourself the global admin role.")
    raise AccessDenied("Only a global admin registered in the topmost access URL may grant the global admin role.")
