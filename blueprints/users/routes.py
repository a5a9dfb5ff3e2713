"""/api/users and /api/users/{id}."""

import re
from typing import Any

from flask import Blueprint, Response, g, request
from sqlalchemy import Row
from werkzeug.exceptions import NotFound

from blueprints.parts import parts
from blueprints.users import operations, policy
from blueprints.users.resource import HARMLESS, USER, apply_filters, select_users
from blueprints.users.writing import change_user, new_password_hash, new_user, save_changes, save_new_user, validate_user
from models import ACCESS_URL_OF_EVERYONE, User, db
from models.campus import ids_seen_by
from models.database import begin_write
from models.roles import ROLE_ADMIN
from models.user import SOFT_DELETED
from rest.body import read_changes
from rest.conditional import require_match
from rest.negotiation import render_collection, render_item, render_nothing, request_object, speaks
from rest.pagination import paginate, read_paging
from rest.query import parse_query
from rest.representation import Collection, Item, PageLink
from rest.resource import Property
from security.access import current_caller, requires
from security.bearer import Caller
from security.errors import AccessDenied

bp = Blueprint("users", __name__)

_WRITABLE = frozenset(prop.name for prop in USER.writable)

# Only canonical numbers name a user, and only those that the column holds.
_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_LARGEST_ID = 2**31 - 1


@bp.get("/users<suffix:suffix>")
@speaks(operations.LIST)
@requires(policy.may_call)
def list_users() -> Response:
    """List the users whom the caller sees, filtered, ordered and paged."""
    privileged = policy.may_see_everyone(current_caller())
    query = request.query_string.decode("latin-1")
    parameters = parse_query(query)
    paging = read_paging(parameters, parts().settings.max_items_per_page)
    shown: tuple[Property, ...] = USER.readable if privileged else USER.public
    users = apply_filters(select_users(shown), parameters, privileged=privileged)
    if not privileged:
        users = users.where(User.id.in_(ids_seen_by(current_caller().id)))
    page = paginate(db.session(), users, paging)
    members = [Item.of(USER, shown, row) for row in page.items]
    return render_collection(Collection(USER, members, page, PageLink.of(request.path, query)))


@bp.post("/users<suffix:suffix>")
@speaks(operations.CREATE)
@requires(policy.may_create_users)
def create_user() -> Response:
    """Create a user who can sign in at once, where a password is given."""
    values = read_changes(USER, request_object(), _WRITABLE)
    validate_user(db.session(), values, None)
    policy.require_grantable(current_caller(), None, (), _granted(values))
    user = new_user(values, new_password_hash(values, parts().settings.password_hash_cost), g.now)
    save_new_user(db.session(), user, ACCESS_URL_OF_EVERYONE)
    return render_item(Item.of(USER, USER.readable, user))


@bp.get("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.SHOW)
@requires(policy.may_call)
def show_user(user_id: str) -> Response:
    """Show one user."""
    row = _get_row(user_id)
    if not policy.may_view_user(db.session(), current_caller(), row.id):
        raise AccessDenied
    return render_item(Item.of(USER, USER.readable, row))


@bp.put("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.REPLACE)
@requires(policy.may_call)
def replace_user(user_id: str) -> Response:
    """Set what the body says of one user; as in Chamilo 2.0, what it does not say stays as it is."""
    return _edit(user_id)


@bp.patch("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.UPDATE)
@requires(policy.may_call)
def update_user(user_id: str) -> Response:
    """Set what the body says of one user (RFC 7396)."""
    return _edit(user_id)


@bp.delete("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.DELETE)
@requires(policy.may_call)
def delete_user(user_id: str) -> Response:
    """Delete one user: softly, so that the row and the name stay, or for good where that is set."""
    policy.require_deletable(current_caller(), _get_row(user_id).id)
    user = _lock_user(user_id)
    if parts().settings.user_delete_mode == "hard":
        db.session.delete(user)
    else:
        user.active, user.updated_at = SOFT_DELETED, g.now
    db.session.commit()
    return render_nothing()


def _edit(user_id: str) -> Response:
    caller, row = current_caller(), _get_row(user_id)
    if not policy.may_edit_user(caller, row.id):
        raise AccessDenied
    values = read_changes(USER, request_object(), _writable_by(caller))
    validate_user(db.session(), values, row.id)
    policy.require_grantable(caller, row.id, row.roles, _granted(values))
    password_hash = new_password_hash(values, parts().settings.password_hash_cost)
    user = _lock_user(user_id)
    change_user(user, values, password_hash, g.now)
    save_changes(db.session())
    return render_item(Item.of(USER, USER.readable, user))


def _get_row(user_id: str) -> Row[Any]:
    """Return what is readable of a user. Raises NotFound."""
    number = int(user_id) if _ID.fullmatch(user_id) else 0
    row = (
        db.session.execute(select_users(USER.readable).where(User.id == number)).one_or_none()
        if 0 < number <= _LARGEST_ID
        else None
    )
    if row is None:
        raise NotFound("Not Found")
    return row


def _lock_user(user_id: str) -> User:
    """Return the row of a user, locked until the transaction ends. Raises NotFound, and 412 where If-Match does not hold."""
    db.session.rollback()
    begin_write(db.session())
    user = db.session.get(User, int(user_id), with_for_update=True)
    if user is None:
        raise NotFound("Not Found")
    require_match(request, Item.of(USER, USER.readable, user))
    return user


def _writable_by(caller: Caller) -> frozenset[str]:
    return _WRITABLE if caller.is_granted(ROLE_ADMIN) else HARMLESS


def _granted(values: dict[str, Any]) -> list[str]:
    from_body = values.get("roles", [])
    return [role.strip().upper() for role in from_body]
