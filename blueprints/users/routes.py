"""/api/users and /api/users/{id}."""

import re
from typing import Any

from flask import Blueprint, Response, g, request
from sqlalchemy import Row, select
from werkzeug.exceptions import NotFound

from blueprints.parts import parts, refuse_when_read_only
from blueprints.users import operations, policy
from blueprints.users.passwords import read_password_change
from blueprints.users.resource import HARMLESS, ME, USER, USER_OF_PORTAL, columns_of, maker_of, read_filters
from blueprints.users.writing import (
    change_user,
    columns_to_write,
    insert_user,
    new_password_hash,
    remove_user,
    saving,
    validate_user,
)
from models import AccessUrl, User, db
from models.roles import ROLE_ADMIN, ROLE_OF_STATUS, roles_to_store
from models.user import STATUS_STUDENT
from rest.body import read_changes, request_bytes
from rest.conditional import require_match
from rest.negotiation import render_collection, render_item, render_nothing, request_object, speaks
from rest.pagination import PAGING, Listing, paginate, read_paging
from rest.query import Parameters, parse_query
from rest.representation import Collection, Item, PageLink
from rest.resource import Properties
from security.access import current_caller, current_item, may_call, requires
from security.bearer import Caller
from security.errors import AccessDenied

bp = Blueprint("users", __name__)

_WRITABLE = frozenset(prop.name for prop in USER.writable)
_READABLE = columns_of(USER.readable)

# Only canonical numbers name a user, and only those that the column holds.
_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_LARGEST_ID = 2**31 - 1


def _number(user_id: str) -> int:
    """Return the id that a path names; 0, which nothing has, where it is not a canonical number that a column holds."""
    number = int(user_id) if _ID.fullmatch(user_id) else 0
    return number if number <= _LARGEST_ID else 0


@bp.get("/users<suffix:suffix>")
@speaks(operations.LIST)
@requires(may_call)
def list_users() -> Response:
    """List the users whom the caller sees, filtered, ordered and paged."""
    privileged = policy.may_see_everyone(current_caller())
    query = request.query_string.decode("latin-1")
    parameters = parse_query(query)
    paging = read_paging(parameters, parts().settings.max_items_per_page)
    shown = USER.readable if privileged else USER.public
    page = paginate(_listing(shown, parameters, privileged=privileged), paging)
    return render_collection(Collection(USER, page, PageLink(request.path, query)))


@bp.post("/users<suffix:suffix>")
@speaks(operations.CREATE)
@requires(policy.may_create_users)
def create_user() -> Response:
    """Create a user who can sign in at once, where a password is given."""
    refuse_when_read_only()
    values = read_changes(USER, request_object(), _WRITABLE)
    validate_user(db.session(), parts().users, values, None, parts().password_policy)
    policy.require_grantable(current_caller(), None, (), _granted(values))
    return _insert(values, values.get("plainPassword"), parts().settings.access_url_id)


@bp.get("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.SHOW)
@requires(may_call, item=_number)
def show_user(user_id: str) -> Response:
    """Show one user."""
    user = current_item()
    if user is None:
        raise NotFound("Not Found")
    if not policy.may_view_user(db.session, current_caller(), _number(user_id)):
        raise AccessDenied
    return render_item(user)


@bp.put("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.REPLACE)
@requires(may_call)
def replace_user(user_id: str) -> Response:
    """Set what the body says of one user; as in Chamilo 2.0, what it does not say stays as it is."""
    return _edit(user_id)


@bp.patch("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.UPDATE)
@requires(may_call)
def update_user(user_id: str) -> Response:
    """Set what the body says of one user (RFC 7396)."""
    return _edit(user_id)


@bp.delete("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.DELETE)
@requires(may_call)
def delete_user(user_id: str) -> Response:
    """Delete one user: softly, so that the row and the name stay, or for good where that is set."""
    row = _get_row(user_id)
    policy.require_deletable(current_caller(), row.id)
    refuse_when_read_only()
    held = _lock_row(row.id)
    for_good = parts().settings.user_delete_mode == "hard"
    remove_user(db.session(), parts().users, held, parts().clock(), for_good=for_good)
    db.session.commit()
    return render_nothing()


@bp.patch("/users/<segment:user_id>/password<suffix:suffix>")
@speaks(operations.SET_PASSWORD)
@requires(may_call)
def set_password(user_id: str) -> Response:
    """Set the password of oneself, or of anyone as an administrator."""
    row = _get_row(user_id)
    if not policy.may_edit_user(current_caller(), row.id):
        raise AccessDenied
    refuse_when_read_only()
    change = read_password_change(request_bytes(request), parts().password_policy)
    requested_at = g.now if change.force_change_at_next_login else None
    return _update(row.id, {}, change.password, {"password_requested_at": requested_at})


@bp.post("/access_urls/<segment:url_id>/user<suffix:suffix>")
@speaks(operations.ADD_TO_PORTAL)
@requires(policy.may_add_to_portal)
def add_user_to_portal(url_id: str) -> Response:
    """Create a user of one portal; the role comes from the status."""
    refuse_when_read_only()
    access_url_id = db.session().scalar(select(AccessUrl.id).where(AccessUrl.id == _number(url_id)))
    if access_url_id is None:
        raise NotFound("Access URL not found.")
    values = read_changes(USER_OF_PORTAL, request_object(), frozenset(prop.name for prop in USER_OF_PORTAL.writable))
    validate_user(db.session(), parts().users, values, None, parts().password_policy, USER_OF_PORTAL)
    roles = [ROLE_OF_STATUS[values.get("status", STATUS_STUDENT)]]
    return _insert(values | {"roles": roles}, values.get("password"), access_url_id)


@bp.get("/me<suffix:suffix>")
@speaks(operations.SHOW_ME)
@requires(may_call)
def show_me() -> Response:
    """Show who one is."""
    mine = parts().users.select(db.session(), columns_of(ME.readable)).where(User.id == current_caller().id)
    row = db.session().execute(mine).one()
    return render_item(Item.of(ME, ME.readable, row))


def _listing(shown: Properties, parameters: Parameters, *, privileged: bool) -> Listing:
    seen_by = None if privileged else current_caller().id
    columns = columns_of(shown)
    if not parameters.keys() - PAGING:
        return parts().lists.seen_by(columns, maker_of(shown), seen_by)
    filters = read_filters(parts().users, parameters, privileged=privileged)
    return parts().lists.filtered(columns, maker_of(shown), filters, seen_by)


def _edit(user_id: str) -> Response:
    caller, row = current_caller(), _get_row(user_id)
    if not policy.may_edit_user(caller, row.id):
        raise AccessDenied
    refuse_when_read_only()
    values = read_changes(USER, request_object(), _writable_by(caller))
    validate_user(db.session(), parts().users, values, row.id, parts().password_policy)
    return _update(row.id, values, values.get("plainPassword"), {})


def _insert(values: dict[str, Any], password: str | None, access_url_id: int) -> Response:
    """Insert a user who can sign in to a portal, and show them."""
    password_hash = new_password_hash(db.session(), parts().hashing, password, parts().settings.password_hash_cost)
    columns = columns_to_write(values, password_hash, g.now)
    with saving(db.session(), parts().users, values["username"]):
        row = _find_row(insert_user(db.session(), parts().users, columns, g.now, access_url_id))
    return render_item(Item.of(USER, USER.readable, row))


def _update(user_id: int, values: dict[str, Any], password: str | None, more: dict[str, Any]) -> Response:
    """Update a user and show them; `more` are columns that no value names."""
    password_hash = new_password_hash(db.session(), parts().hashing, password, parts().settings.password_hash_cost)
    with saving(db.session(), parts().users, values.get("username"), user_id):
        held = _lock_row(user_id)
        policy.require_grantable(current_caller(), user_id, held.roles, _granted(values))
        columns = columns_to_write(values, password_hash, g.now) | more
        change_user(db.session(), parts().users, held, columns, parts().clock())
        row = _find_row(user_id)
    return render_item(Item.of(USER, USER.readable, row))


def _get_row(user_id: str) -> Row[Any]:
    """Return what is readable of the user whom a path names. Raises NotFound."""
    row: Row[Any] | None = _find_row(_number(user_id))
    if row is None:
        raise NotFound("Not Found")
    return row


def _find_row(user_id: int) -> Any:
    return db.session().execute(parts().users.select(db.session(), _READABLE).where(User.id == user_id)).one_or_none()


def _lock_row(user_id: int) -> Any:
    """Return the row of a user, held until the transaction ends. Raises NotFound, and 412 where If-Match does not hold."""
    row = parts().users.lock(db.session(), user_id, _READABLE)
    if row is None:
        raise NotFound("Not Found")
    require_match(request, Item.of(USER, USER.readable, row))
    return row


def _writable_by(caller: Caller) -> frozenset[str]:
    return _WRITABLE if caller.is_granted(ROLE_ADMIN) else HARMLESS


def _granted(values: dict[str, Any]) -> list[str]:
    return roles_to_store(values.get("roles", ()))
