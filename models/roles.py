"""Chamilo's role hierarchy, and rules about lists of roles. Nothing here reads a table."""

import re
from collections.abc import Collection, Iterable

ROLE_USER = "ROLE_USER"
ROLE_ADMIN = "ROLE_ADMIN"
ROLE_GLOBAL_ADMIN = "ROLE_GLOBAL_ADMIN"

#: A role includes those on its right (docs/compatibility.md#roles). Everyone has ROLE_USER.
ROLE_HIERARCHY: dict[str, tuple[str, ...]] = {
    "ROLE_STUDENT": ("ROLE_USER",),
    "ROLE_TEACHER": ("ROLE_STUDENT",),
    "ROLE_QUESTION_MANAGER": ("ROLE_STUDENT",),
    "ROLE_STUDENT_BOSS": ("ROLE_STUDENT",),
    "ROLE_INVITEE": ("ROLE_STUDENT",),
    "ROLE_SESSION_MANAGER": ("ROLE_STUDENT", "ROLE_ALLOWED_TO_SWITCH"),
    "ROLE_HR": ("ROLE_TEACHER", "ROLE_ALLOWED_TO_SWITCH"),
    "ROLE_ADMIN": (
        "ROLE_USER",
        "ROLE_STUDENT",
        "ROLE_TEACHER",
        "ROLE_QUESTION_MANAGER",
        "ROLE_SESSION_MANAGER",
        "ROLE_ALLOWED_TO_SWITCH",
    ),
    "ROLE_GLOBAL_ADMIN": ("ROLE_ADMIN", "ROLE_ALLOWED_TO_SWITCH"),
}

#: The role of each platform level (docs/compatibility.md#status).
ROLE_OF_STATUS = {
    1: "ROLE_TEACHER",
    3: "ROLE_SESSION_MANAGER",
    4: "ROLE_HR",
    5: "ROLE_STUDENT",
    17: "ROLE_STUDENT_BOSS",
    20: "ROLE_INVITEE",
}

# Chamilo gives these roles for one page view, by the current course or session. If stored, they would become permanent.
_CONTEXT_ROLE_PREFIX = "ROLE_CURRENT_COURSE_"

# Names are checked before upper-casing, which turns some other letters, such as `ß` and the dotless i, into ASCII.
_NAME = re.compile(r"ROLE_[A-Z0-9_]{1,60}", re.ASCII | re.IGNORECASE)


def _with_all_below(role: str) -> frozenset[str]:
    return frozenset((role,)).union(*map(_with_all_below, ROLE_HIERARCHY.get(role, ())))


_REACHED = {role: _with_all_below(role) for role in ROLE_HIERARCHY}


def reachable_roles(roles: Collection[str]) -> frozenset[str]:
    """Return `roles`, all roles that they include, and ROLE_USER."""
    return frozenset(roles).union((ROLE_USER,), *(_REACHED[role] for role in roles if role in _REACHED))


def are_role_names(roles: Iterable[str], held: Iterable[str] = ()) -> bool:
    """Tell whether all roles have valid names (docs/compatibility.md#role-names); those in `held` pass anyway."""
    known = {role_name(role) for role in held}
    return all(_NAME.fullmatch(role.strip()) or role_name(role) in known for role in roles)


def roles_to_store(roles: Iterable[str]) -> list[str]:
    """Return the roles to store: trimmed, in upper case, unique, without ROLE_USER and context roles."""
    cleaned = dict.fromkeys(role_name(role) for role in roles)
    return [role for role in cleaned if role and role != ROLE_USER and not role.startswith(_CONTEXT_ROLE_PREFIX)]


def role_name(role: str) -> str:
    """Return the name of a role as it is stored: trimmed, in upper case."""
    return role.strip().upper()


def roles_to_show(stored: Iterable[str]) -> list[str]:
    """Return the roles as clients see them: in upper case, unique, in stored order, ROLE_USER last."""
    shown = dict.fromkeys(role.upper() for role in stored)
    shown.pop(ROLE_USER, None)
    return [*shown, ROLE_USER]
