"""The role hierarchy of Chamilo, and what is true of a list of roles. Pure: no table is read here."""

import re
from collections.abc import Iterable

ROLE_USER = "ROLE_USER"
ROLE_ADMIN = "ROLE_ADMIN"
ROLE_GLOBAL_ADMIN = "ROLE_GLOBAL_ADMIN"

#: Who has the role on the left has those on the right too (contract 5). Everyone has ROLE_USER.
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

#: The role that a user of a platform level (`status`) is given (contract 5).
ROLE_OF_STATUS = {
    1: "ROLE_TEACHER",
    3: "ROLE_SESSION_MANAGER",
    4: "ROLE_HR",
    5: "ROLE_STUDENT",
    17: "ROLE_STUDENT_BOSS",
    20: "ROLE_INVITEE",
}

# Roles that Chamilo gives for one page view, by the course or session at hand; storing one would make it last.
_CONTEXT_ROLE_PREFIX = "ROLE_CURRENT_COURSE_"

_NAME = re.compile(r"ROLE_[A-Z0-9_]{1,60}", re.ASCII)


def _with_all_below(role: str) -> frozenset[str]:
    return frozenset((role,)).union(*map(_with_all_below, ROLE_HIERARCHY.get(role, ())))


_REACHED = {role: _with_all_below(role) for role in ROLE_HIERARCHY}


def reachable_roles(roles: frozenset[str]) -> frozenset[str]:
    """Return `roles` with everything that they include, ROLE_USER among it."""
    return roles.union((ROLE_USER,), *(_REACHED[role] for role in roles if role in _REACHED))


def are_role_names(roles: Iterable[str], held: Iterable[str] = ()) -> bool:
    """Tell whether all are names of roles: `ROLE_` and up to 60 letters, digits and underscores; `held` ones pass as they are."""
    known = {_trimmed(role) for role in held}
    return all(_NAME.fullmatch(_trimmed(role)) or _trimmed(role) in known for role in roles)


def roles_to_store(roles: Iterable[str]) -> list[str]:
    """Return what is kept of the given roles: trimmed, upper case, unique, without ROLE_USER and context roles."""
    cleaned = dict.fromkeys(_trimmed(role) for role in roles)
    return [role for role in cleaned if role and role != ROLE_USER and not role.startswith(_CONTEXT_ROLE_PREFIX)]


def _trimmed(role: str) -> str:
    return role.strip().upper()


def roles_to_show(stored: Iterable[str]) -> list[str]:
    """Return the stored roles as the wire has them: upper case, unique, in stored order, ROLE_USER last."""
    shown = dict.fromkeys(role.upper() for role in stored)
    shown.pop(ROLE_USER, None)
    return [*shown, ROLE_USER]
