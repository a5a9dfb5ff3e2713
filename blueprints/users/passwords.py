"""/api/users/{id}/password, and passwords in bodies. Bodies are read as Chamilo 3 does (docs/compatibility.md#me)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, g

from blueprints.parts import parts, refuse_when_read_only
from blueprints.users import operations
from blueprints.users import policy as user_policy
from blueprints.users.changes import get_row, update
from blueprints.users.resource import NEW_PASSWORD
from blueprints.users.writing import password_violations
from models.password_policy import PasswordPolicy
from rest.body import find_violations, read_plain_object, require_none
from rest.negotiation import render_item, request_body, speaks
from rest.paths import read_id
from rest.problem import InvalidKey
from security.access import current_caller, is_authenticated, requires

bp = Blueprint("passwords", __name__)

logger = logging.getLogger(__name__)


@bp.patch("/users/<segment:user_id>/password<suffix:suffix>")
@speaks(operations.SET_PASSWORD)
@requires(is_authenticated)
def set_password(user_id: str) -> Response:
    """Set a password: the caller's own or, for administrators, that of any user in their scope."""
    row = get_row(read_id(user_id))
    user_policy.require_changeable(current_caller(), row, {}, sets_password=True)
    refuse_when_read_only()
    change = read_password_change(request_body(), parts().password_policy)
    requested_at = g.now if change.force_change_at_next_login else None
    return render_item(update(row, {}, change.password, {"password_requested_at": requested_at}))


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """A new password, and whether the user must change it at the next sign-in."""

    password: str = field(repr=False)
    force_change_at_next_login: bool


def read_password_change(body: bytes, policy: PasswordPolicy) -> PasswordChange:
    """Read a body. Raises 400 with Chamilo's texts, or ValidationFailed if the password breaks the policy."""
    document = read_plain_object(body, "Invalid JSON body.")
    password, force = document.get("password"), document.get("forcePasswordChangeAtNextLogin", False)
    if not isinstance(password, str) or not password:
        raise InvalidKey('Missing "password".')
    if not isinstance(force, bool):
        raise InvalidKey('"forcePasswordChangeAtNextLogin" must be true or false.')
    broken = find_violations(NEW_PASSWORD, {"password": password}, complete=False)
    require_none([*broken, *password_violations("password", password, policy)])
    return PasswordChange(password, force)


def warn_of_ignored_password(document: Mapping[str, Any]) -> None:
    """Log a warning if the body of a new user has its password in `password`, which is ignored."""
    if "password" in document and not document.get("plainPassword"):
        logger.warning("`password` was ignored in the body of a new user, who cannot sign in: `plainPassword` is meant")
