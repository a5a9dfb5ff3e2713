"""Validating and writing the values of a user, with consequences such as ended tokens (docs/compatibility.md#writing)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blueprints.auditing import record_event
from blueprints.parts import Parts
from blueprints.users.resource import USER, USER_OF_PORTAL
from models.api_keys import remove_key
from models.campus import enrol
from models.folding import canonical_username
from models.password_policy import PasswordPolicy
from models.role_list import RoleList
from models.roles import are_role_names, roles_to_store
from models.second_factor import forget_wrong_codes, remove_second_factor
from models.token_validity import end_all_tokens, end_tokens_of_name
from models.transactions import commit
from models.user import ACTIVE, SOFT_DELETED
from models.user_table import UserTable
from rest.body import NOT_A_CHOICE, TAKEN, TOO_COMMON, TOO_SHORT_CODE, find_violations, require_none
from rest.problem import ValidationFailed, Violation
from rest.resource import Resource

Result = TypeVar("Result")


class HeldUser(Protocol):
    """A locked row of a user, with at least these columns."""

    id: int
    username: str
    roles: RoleList


#: The column of each property that a body may set.
COLUMNS = {prop.name: prop.attributes[0] for prop in (*USER.writable, *USER_OF_PORTAL.writable) if prop.attributes}


def validate_user(session: Session, ours: Parts, values: Mapping[str, Any], stored: HeldUser | None) -> None:
    """Validate the values of a user; `stored` is the row, None for a new user. Raises ValidationFailed."""
    is_taken = ours.users.is_taken(session, values.get("username", ""), stored.id if stored else None)
    session.rollback()
    taken = [Violation("username", *TAKEN)] if is_taken else []
    require_none([*taken, *user_violations(ours, USER, values, stored)])


def user_violations(ours: Parts, resource: Resource, values: Mapping[str, Any], stored: HeldUser | None) -> list[Violation]:
    """Return the violations that can be found without the database, under the names of the properties of `resource`."""
    same = {name for name, column in COLUMNS.items() if name in values and values[name] == getattr(stored, column, None)}
    password = next(prop.name for prop in resource.writable if prop.is_password)
    are_valid = are_role_names(values.get("roles", ()), stored.roles if stored else ())
    return [
        *find_violations(resource, values, complete=stored is None, unchanged=same),
        *password_violations(password, values.get(password), ours.password_policy),
        *([] if are_valid else [Violation("roles", *NOT_A_CHOICE)]),
    ]


def password_violations(name: str, password: str | None, policy: PasswordPolicy) -> list[Violation]:
    """Return the violations of the password policy, none if there is no new password."""
    if not password:
        return []
    violations = []
    if policy.is_too_short(password):
        message = f"This value is too short. It should have {policy.min_length} characters or more."
        violations.append(Violation(name, message, TOO_SHORT_CODE))
    if policy.is_common(password):
        violations.append(Violation(name, *TOO_COMMON))
    return violations


def columns_to_write(values: Mapping[str, Any], password_hash: str | None, now: datetime) -> dict[str, Any]:
    """Return what to write in each column: the values, the password hash if there is one, and the times of the changes."""
    columns = {COLUMNS[name]: value for name, value in values.items() if name in COLUMNS}
    if "roles" in columns:
        columns["roles"] = roles_to_store(columns["roles"])
    if password_hash is not None:
        columns |= {"password": password_hash, "password_updated_at": now}
    return columns | ({"updated_at": now} if columns else {})


def insert_user(session: Session, table: UserTable, columns: Mapping[str, Any], now: datetime, access_url_id: int) -> int:
    """Insert a user, with the rows that allow signing in to a portal. Return the id."""
    user_id = table.insert(session, columns, now)
    enrol(session, [user_id], access_url_id)
    record_event("user_created", username=columns["username"], user_id=user_id, details={"roles": list(columns.get("roles", ()))})
    return user_id


def change_user(session: Session, ours: Parts, held: HeldUser, columns: Mapping[str, Any], *, is_forced: bool = False) -> None:
    """Update a user whose row is locked, and end the tokens that must not outlive the change.

    A new password, other roles or a deactivation end all tokens; a new user name ends those of the old name. The clock is read
    after locking, so that no token is issued between that moment and the commit. `is_forced` marks in the audit that
    an operator removed the last administrator by force.
    """
    ours.users.change(session, held, columns)
    follow_change(session, ours.clock(), held, columns, is_forced=is_forced)


def follow_change(session: Session, now: datetime, held: HeldUser, columns: Mapping[str, Any], *, is_forced: bool) -> None:
    """Write the consequences of changing a locked user: wrong codes are forgotten, tokens end, and the audit gets an event."""
    if "password" in columns:
        forget_wrong_codes(session, held.id)
    if "password" in columns or sets_other_roles(held, columns) or columns.get("active", ACTIVE) != ACTIVE:
        end_all_tokens(session, held.id, held.username, now)
    elif canonical_username(columns.get("username", held.username)) != canonical_username(held.username):
        end_tokens_of_name(session, held.username, now)
    details: dict[str, Any] = {"fields": sorted(columns.keys() - {"updated_at", "password_updated_at"})}
    details |= {"forced": True} if is_forced else {}
    record_event("user_changed", username=held.username, user_id=held.id, details=details)


def remove_user(session: Session, ours: Parts, held: HeldUser, *, is_forced: bool = False) -> None:
    """Delete a user whose row is locked, as USER_DELETE_MODE says, and end all tokens of the user.

    `is_forced` marks in the audit that an operator removed the last administrator by force.
    """
    now, for_good = ours.clock(), ours.settings.user_delete_mode == "hard"
    if for_good:
        ours.users.remove(session, held.id)
        # A database may give the same id to a new user.
        remove_second_factor(session, held.id)
        remove_key(session, held.id)
    else:
        ours.users.change(session, held, {"active": SOFT_DELETED, "updated_at": now})
    end_all_tokens(session, held.id, held.username, now)
    details = {"for_good": for_good} | ({"forced": True} if is_forced else {})
    record_event("user_deleted", username=held.username, user_id=held.id, details=details)


def sets_other_roles(user: HeldUser, columns: Mapping[str, Any]) -> bool:
    """Tell whether a change sets roles that differ from the stored ones."""
    return "roles" in columns and set(columns["roles"]) != set(roles_to_store(user.roles))


def save(
    session: Session, table: UserTable, write: Callable[[], Result], username: str | None = None, user_id: int | None = None
) -> Result:
    """Run `write` and commit, with retries after deadlocks.

    Raises ValidationFailed if another transaction took the new `username` in the meantime.
    """
    try:
        return commit(session, write)
    except IntegrityError:
        if username is None or not table.is_taken(session, username, user_id):
            raise
        raise ValidationFailed([Violation("username", *TAKEN)]) from None
