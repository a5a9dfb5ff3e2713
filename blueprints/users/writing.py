"""From the values of a body to a row of `user`: what they are called there, and what follows from them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blueprints.users.resource import USER
from models.campus import enrol
from models.password_policy import PasswordPolicy
from models.passwords import hash_password
from models.roles import roles_to_store
from models.user import User, username_is_taken
from rest.body import TAKEN, TOO_COMMON, TOO_SHORT_CODE, validate
from rest.problem import ValidationFailed, Violation
from rest.resource import Resource

_COLUMNS = {prop.name: prop.attributes[0] for prop in USER.writable if prop.attributes}


def validate_user(
    session: Session, values: Mapping[str, Any], user_id: int | None, policy: PasswordPolicy, resource: Resource = USER
) -> None:
    """Hold values against the constraints of a user; `user_id` is None for a new one. Raises ValidationFailed."""
    taken = username_is_taken(session, values.get("username", ""), user_id)
    session.rollback()
    name = next(prop.name for prop in resource.writable if prop.is_password)
    weak = password_violations(name, values.get(name), policy)
    validate(resource, values, complete=user_id is None, taken=["username"] if taken else [], more=weak)


def password_violations(name: str, password: str | None, policy: PasswordPolicy) -> list[Violation]:
    """Hold a new password against the policy; where there is none, there is nothing to hold."""
    if not password:
        return []
    violations = []
    if policy.is_too_short(password):
        message = f"This value is too short. It should have {policy.min_length} characters or more."
        violations.append(Violation(name, message, TOO_SHORT_CODE))
    if policy.is_common(password):
        violations.append(Violation(name, *TOO_COMMON))
    return violations


def new_password_hash(password: str | None, cost: int) -> str | None:
    """Hash a new password; None where it is not to change. Hold no transaction meanwhile."""
    return hash_password(password, cost) if password else None


def new_user(values: Mapping[str, Any], password_hash: str | None, now: datetime) -> User:
    """Make the row of a new user, with the defaults of contract 5."""
    user = User(username=values["username"], email=values["email"], expires_at=now, created_at=now, updated_at=now)
    change_user(user, values, password_hash, now)
    return user


def change_user(user: User, values: Mapping[str, Any], password_hash: str | None, now: datetime) -> None:
    """Set what the values say, and nothing else."""
    for name, value in values.items():
        if name in _COLUMNS:
            setattr(user, _COLUMNS[name], roles_to_store(value) if name == "roles" else value)
    if password_hash is not None:
        user.password, user.password_updated_at = password_hash, now
    if values or password_hash is not None:
        user.updated_at = now


def save_new_user(session: Session, user: User, access_url_id: int) -> None:
    """Insert a user with the rows that let them sign in, and commit. Raises ValidationFailed for a lost race."""
    try:
        enrol(session, user, access_url_id)
        session.commit()
    except IntegrityError:
        session.rollback()
        raise _lost_race() from None


def save_changes(session: Session) -> None:
    """Commit the changes of a user. Raises ValidationFailed where someone else took the name meanwhile."""
    try:
        session.commit()
    except IntegrityError:
        session.rollback()
        raise _lost_race() from None


def _lost_race() -> ValidationFailed:
    return ValidationFailed([Violation("username", *TAKEN)])
