"""/api/users and /api/users/{id}."""

import re

from flask import Blueprint, Response, g, request
from sqlalchemy import select
from werkzeug.exceptions import NotFound

from blueprints.parts import parts, refuse_when_read_only
from blueprints.users import operations, policy
from blueprints.users.changes import delete, get_row, insert, update
from blueprints.users.passwords import read_password_change
from blueprints.users.resource import ME, USER, USER_OF_PORTAL, columns_of, maker_of, read_filters, shared_maker_of
from blueprints.users.writing import validate_user
from models import AccessUrl, User, db
from models.roles import ROLE_OF_STATUS, roles_to_store
from models.user import STATUS_STUDENT
from rest.body import read_changes, request_bytes
from rest.negotiation import render_collection, render_item, render_nothing, request_object, speaks
from rest.pagination import PAGING, Listing, paginate, read_paging
from rest.query import Parameters, parse_query
from rest.representation import Collection, Item, PageLink
from rest.resource import Properties
from security.access import current_caller, current_item, is_authenticated, requires
from security.errors import AccessDenied

bp = Blueprint("users", __name__)

# Only canonical numbers name a user, and only those that the column holds.
_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_LARGEST_ID = 2**31 - 1


def _number(user_id: str) -> int:
    """Return the id that a path names; 0, which nothing has, where it is not a canonical number that a column holds."""
    number = int(user_id) if _ID.fullmatch(user_id) else 0
    return number if number <= _LARGEST_ID else 0


@bp.get("/users<suffix:suffix>")
@speaks(operations.LIST)
@requires(is_authenticated)
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
    values = read_changes(USER, request_object(), policy.writable_by(current_caller()))
    validate_user(db.session(), parts(), values, None)
    policy.require_grantable(current_caller(), roles_to_store(values.get("roles", ())))
    return render_item(insert(values, values.get("plainPassword"), parts().settings.access_url_id, policy.may_create_users))


@bp.get("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.SHOW)
@requires(is_authenticated, item=_number)
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
@requires(is_authenticated)
def replace_user(user_id: str) -> Response:
    """Set what the body says of one user; as in Chamilo 2.0, what it does not say stays as it is."""
    return _edit(user_id)


@bp.patch("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.UPDATE)
@requires(is_authenticated)
def update_user(user_id: str) -> Response:
    """Set what the body says of one user (RFC 7396)."""
    return _edit(user_id)


@bp.delete("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.DELETE)
@requires(is_authenticated)
def delete_user(user_id: str) -> Response:
    """Delete one user: softly, so that the row and the name stay, or for good where that is set."""
    row = get_row(_number(user_id))
    policy.require_deletable(current_caller(), row)
    refuse_when_read_only()
    delete(row.id)
    return render_nothing()


@bp.patch("/users/<segment:user_id>/password<suffix:suffix>")
@speaks(operations.SET_PASSWORD)
@requires(is_authenticated)
def set_password(user_id: str) -> Response:
    """Set the password of oneself, or of anyone as an administrator."""
    row = get_row(_number(user_id))
    policy.require_changeable(current_caller(), row, {}, sets_password=True)
    refuse_when_read_only()
    change = read_password_change(request_bytes(request), parts().password_policy)
    requested_at = g.now if change.force_change_at_next_login else None
    return render_item(update(row, {}, change.password, {"password_requested_at": requested_at}))


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
    validate_user(db.session(), parts(), values, None, USER_OF_PORTAL)
    roles = [ROLE_OF_STATUS[values.get("status", STATUS_STUDENT)]]
    return render_item(insert(values | {"roles": roles}, values.get("password"), access_url_id, policy.may_add_to_portal))


@bp.get("/me<suffix:suffix>")
@speaks(operations.SHOW_ME)
@requires(is_authenticated)
def show_me() -> Response:
    """Show who one is."""
    mine = parts().users.select(db.session(), columns_of(ME.readable)).where(User.id == current_caller().id)
    row = db.session().execute(mine).one()
    return render_item(Item.of(ME, ME.readable, row))


def _listing(shown: Properties, parameters: Parameters, *, privileged: bool) -> Listing:
    seen_by = None if privileged else current_caller().id
    columns = columns_of(shown)
    if not parameters.keys() - PAGING:
        return parts().lists.seen_by(columns, shared_maker_of(shown), seen_by)
    filters = read_filters(parts().users, parameters, privileged=privileged)
    return parts().lists.filtered(columns, maker_of(shown), filters, seen_by)


def _edit(user_id: str) -> Response:
    caller, row = current_caller(), get_row(_number(user_id))
    policy.require_changeable(caller, row, {}, sets_password=False)
    refuse_when_read_only()
    values = read_changes(USER, request_object(), policy.writable_by(caller))
    validate_user(db.session(), parts(), values, row)
    return render_item(update(row, values, values.get("plainPassword"), {}))
