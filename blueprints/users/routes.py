"""/api/users and /api/users/{id}."""

import re
from functools import partial
from http import HTTPStatus

from flask import Blueprint, Response, g, request
from sqlalchemy import select
from werkzeug.exceptions import NotFound

from blueprints.parts import parts, refuse_when_read_only
from blueprints.users import policy
from blueprints.users.changes import delete, get_row, insert, update
from blueprints.users.passwords import read_password_change
from blueprints.users.resource import ME, NEW_PASSWORD, USER, USER_OF_PORTAL, columns_of, maker_of, read_filters, shared_maker_of
from blueprints.users.writing import validate_user
from models import AccessUrl, User, db
from models.roles import ROLE_OF_STATUS, roles_to_store
from models.user import STATUS_STUDENT
from rest.body import HAL, JSON, JSON_API, JSON_LD, MERGE_PATCH, read_changes, request_bytes
from rest.negotiation import render_collection, render_item, render_nothing, request_object, speaks
from rest.operation import Operation, Shape
from rest.pagination import PAGING, Listing, paginate, read_paging
from rest.query import Parameters, parse_query
from rest.representation import Collection, Item, PageLink
from rest.resource import Properties
from rest.schema import MAX_ID
from security.access import current_caller, current_item, is_authenticated, requires
from security.errors import AccessDenied

bp = Blueprint("users", __name__)

# Only canonical numbers name a user, and only those that the column holds.
_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


# The order is that of the texts of 415.
_TAKES, _TAKES_PATCH = (JSON_LD, JSON_API, JSON, HAL), (MERGE_PATCH, JSON_API)

_READING = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.SERVICE_UNAVAILABLE)
_ITEM = (*_READING, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_WRITING = (
    *_READING,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)

LIST = Operation(
    id="api_users_get_collection",
    tag="User",
    summary="Retrieves the collection of User resources.",
    resource=USER,
    shape=Shape.COLLECTION,
    failures=(*_READING, HTTPStatus.BAD_REQUEST),
)
CREATE = Operation(
    id="api_users_post",
    tag="User",
    summary="Creates a User resource.",
    resource=USER,
    takes=_TAKES,
    complete=True,
    status=HTTPStatus.CREATED,
    failures=_WRITING,
)
SHOW = Operation(id="api_users_id_get", tag="User", summary="Retrieves a User resource.", resource=USER, failures=_ITEM)
REPLACE = Operation(
    id="api_users_id_put",
    tag="User",
    summary="Replaces the User resource.",
    resource=USER,
    takes=_TAKES,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED),
)
UPDATE = Operation(
    id="api_users_id_patch",
    tag="User",
    summary="Updates the User resource.",
    resource=USER,
    takes=_TAKES_PATCH,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED),
)
DELETE = Operation(
    id="api_users_id_delete",
    tag="User",
    summary="Removes the User resource.",
    resource=USER,
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    failures=(*_ITEM, HTTPStatus.PRECONDITION_FAILED),
)
ADD_TO_PORTAL = Operation(
    id="api_access_urls_id_user_post",
    tag="User",
    summary="Creates a User resource in a portal.",
    resource=USER,
    takes=_TAKES,
    body=USER_OF_PORTAL,
    complete=True,
    status=HTTPStatus.CREATED,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND),
)
SHOW_ME = Operation(id="api_me_get", tag="User", summary="Retrieves the user who asks.", resource=ME, failures=_READING)
SET_PASSWORD = Operation(
    id="api_users_id_password_patch",
    tag="User",
    summary="Sets the password of a User resource.",
    resource=USER,
    takes=(MERGE_PATCH, JSON),
    body=NEW_PASSWORD,
    complete=True,
    refuses_plainly=True,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND),
)


def _number(user_id: str) -> int:
    """Return the id that a path names; 0, which nothing has, where it is not a canonical number that a column holds."""
    number = int(user_id) if _ID.fullmatch(user_id) else 0
    return number if number <= MAX_ID else 0


@bp.get("/users<suffix:suffix>")
@speaks(LIST)
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
@speaks(CREATE)
@requires(policy.may_create_users)
def create_user() -> Response:
    """Create a user who can sign in at once, where a password is given."""
    refuse_when_read_only()
    values = read_changes(USER, request_object(), policy.writable_by(current_caller()))
    validate_user(db.session(), parts(), values, None)
    policy.require_grantable(current_caller(), roles_to_store(values.get("roles", ())))
    return render_item(insert(values, values.get("plainPassword"), parts().settings.access_url_id, policy.may_create_users))


@bp.get("/users/<segment:user_id><suffix:suffix>")
@speaks(SHOW)
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
@speaks(REPLACE)
@requires(is_authenticated)
def replace_user(user_id: str) -> Response:
    """Set what the body says of one user; as in Chamilo 2.0, what it does not say stays as it is."""
    return _edit(user_id)


@bp.patch("/users/<segment:user_id><suffix:suffix>")
@speaks(UPDATE)
@requires(is_authenticated)
def update_user(user_id: str) -> Response:
    """Set what the body says of one user (RFC 7396)."""
    return _edit(user_id)


@bp.delete("/users/<segment:user_id><suffix:suffix>")
@speaks(DELETE)
@requires(is_authenticated)
def delete_user(user_id: str) -> Response:
    """Delete one user: softly, so that the row and the name stay, or for good where that is set."""
    row = get_row(_number(user_id))
    policy.require_deletable(current_caller(), row)
    refuse_when_read_only()
    delete(row.id)
    return render_nothing()


@bp.patch("/users/<segment:user_id>/password<suffix:suffix>")
@speaks(SET_PASSWORD)
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
@speaks(ADD_TO_PORTAL)
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
@speaks(SHOW_ME)
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
    matching = partial(parts().extra_fields.matching, db.session()) if privileged else None
    filters = read_filters(parts().users, parameters, privileged=privileged, matching=matching)
    return parts().lists.filtered(columns, maker_of(shown), filters, seen_by)


def _edit(user_id: str) -> Response:
    caller, row = current_caller(), get_row(_number(user_id))
    policy.require_changeable(caller, row, {}, sets_password=False)
    refuse_when_read_only()
    values = read_changes(USER, request_object(), policy.writable_by(caller))
    validate_user(db.session(), parts(), values, row)
    return render_item(update(row, values, values.get("plainPassword"), {}))
