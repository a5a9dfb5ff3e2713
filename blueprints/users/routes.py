"""/api/users and /api/users/{id}."""

import re
from functools import partial
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from blueprints.parts import parts, refuse_when_read_only
from blueprints.users import operations, policy
from blueprints.users.changes import delete, get_row, insert, update
from blueprints.users.passwords import warn_of_ignored_password
from blueprints.users.resource import USER, in_name_form, read_filters
from blueprints.users.writing import validate_user
from models import db
from models.campus import find_portal
from models.roles import roles_to_store
from rest.body import read_changes, wrong_type
from rest.negotiation import render_collection, render_item, render_nothing, request_object, speaks
from rest.pagination import PAGING, Listing, paginate, read_paging
from rest.paths import read_id
from rest.problem import UnreadableRequest
from rest.query import Parameters, parse_query
from rest.representation import Collection, PageLink, maker_of, shared_maker_of
from rest.resource import Properties
from security.access import Rule, current_caller, current_item, is_authenticated, requires

bp = Blueprint("users", __name__)

_PORTAL_IRI = re.compile(r"/api/access_urls/([0-9]+)", re.ASCII)


def _id_in_path(user_id: str) -> int:
    return read_id(user_id)


@bp.get("/users<suffix:suffix>")
@speaks(operations.LIST)
@requires(is_authenticated)
def list_users() -> Response:
    """List the users that the caller may see, with filters, order and pages."""
    privileged = policy.may_see_everyone(current_caller())
    query = request.query_string.decode(errors="replace")
    parameters = parse_query(query)
    paging = read_paging(parameters, parts().settings.max_items_per_page)
    shown = in_name_form(USER.readable if privileged else USER.public, current_caller().portal.name_form)
    page = paginate(_listing(shown, parameters, privileged=privileged), paging)
    return render_collection(Collection(USER, page, PageLink(request.path, query)))


@bp.post("/users<suffix:suffix>")
@speaks(operations.CREATE)
@requires(policy.may_create_users)
def create_user() -> Response:
    """Create a user, who can sign in at once if the body has a password."""
    refuse_when_read_only()
    document = request_object()
    values = read_changes(USER, document, policy.writable_by(current_caller()))
    portal_id, rule = _require_portal_of_new_user(document)
    validate_user(db.session(), parts(), values, None)
    policy.require_creatable(current_caller(), rule, roles_to_store(values.get("roles", ())))
    warn_of_ignored_password(document)
    return render_item(insert(values, values.get("plainPassword"), portal_id, rule))


@bp.get("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.SHOW)
@requires(is_authenticated, item=_id_in_path)
def show_user(user_id: str) -> Response:
    """Show a user."""
    user = current_item()
    if user is None:
        raise NotFound("Not Found")
    policy.require_visible(db.session, current_caller(), read_id(user_id))
    return render_item(user)


@bp.put("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.REPLACE)
@requires(is_authenticated)
def replace_user(user_id: str) -> Response:
    """Change the properties in the body. As in Chamilo 2.0, all others keep their values."""
    return _edit(user_id)


@bp.patch("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.UPDATE)
@requires(is_authenticated)
def update_user(user_id: str) -> Response:
    """Change the properties in the body (RFC 7396)."""
    return _edit(user_id)


@bp.delete("/users/<segment:user_id><suffix:suffix>")
@speaks(operations.DELETE)
@requires(is_authenticated)
def delete_user(user_id: str) -> Response:
    """Delete a user: by default the row and the user name stay (docs/compatibility.md#soft-delete)."""
    row = get_row(read_id(user_id))
    policy.require_deletable(current_caller(), row)
    refuse_when_read_only()
    delete(row.id)
    return render_nothing()


def _listing(shown: Properties, parameters: Parameters, *, privileged: bool) -> Listing:
    rows = policy.rows_in_lists(current_caller())
    if not parameters.keys() - PAGING:
        return parts().lists.unfiltered(shown.columns, shared_maker_of(USER, shown), rows)
    matching = partial(parts().extra_fields.matching, db.session()) if privileged else None
    filters = read_filters(parts().users, parameters, privileged=privileged, matching=matching)
    return parts().lists.filtered(shown.columns, maker_of(USER, shown), filters, rows)


def _edit(user_id: str) -> Response:
    caller, row = current_caller(), get_row(read_id(user_id))
    policy.require_changeable(caller, row, {}, sets_password=False)
    refuse_when_read_only()
    values = read_changes(USER, request_object(), policy.writable_by(caller))
    validate_user(db.session(), parts(), values, row)
    return render_item(update(row, values, values.get("plainPassword"), {}))


def _require_portal_of_new_user(document: dict[str, Any]) -> tuple[int, Rule]:
    """Return the id of the portal that a new user joins, and the rule that the caller must pass.

    The portal is that of the request or, on a campus, `currentUrl` in the body (docs/compatibility.md#current-url).
    Raises UnreadableRequest if `currentUrl` names no portal, AccessDenied if the caller does not manage it.
    """
    named = document.get("currentUrl") if parts().users.is_campus else None
    if named is None:
        return current_caller().portal.id, policy.may_create_users
    portal_id = _read_portal(named)
    rule = policy.in_portal(policy.may_create_users, portal_id)
    policy.require_creatable(current_caller(), rule, ())
    return portal_id, rule


def _read_portal(iri: Any) -> int:
    if not isinstance(iri, str):
        raise wrong_type('"currentUrl" attribute', "string", iri)
    match = _PORTAL_IRI.fullmatch(iri)
    if match is None:
        raise UnreadableRequest(f'Invalid IRI "{iri}".')
    portal = find_portal(db.session(), read_id(match[1]))
    if portal is None:
        raise UnreadableRequest(f'Item not found for "{iri}".')
    return int(portal.id)
