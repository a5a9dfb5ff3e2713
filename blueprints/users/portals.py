"""The portal of a new user: the one of the request, or `currentUrl` in the body (docs/compatibility.md#current-url)."""

import re
from typing import Any

from blueprints.parts import parts
from blueprints.users import policy
from models import db
from models.campus import find_portal
from rest.body import php_type
from rest.paths import read_id
from rest.problem import UnreadableRequest
from security.access import Rule, current_caller

_PORTAL_IRI = re.compile(r"/api/access_urls/([0-9]+)", re.ASCII)


def require_portal_of_new_user(document: dict[str, Any]) -> tuple[int, Rule]:
    """Return the id of the portal that a new user joins, and the rule that the caller must pass.

    Raises UnreadableRequest if `currentUrl` names no portal, AccessDenied if the caller does not manage it.
    """
    named = document.get("currentUrl") if parts().users.is_campus else None
    if named is None:
        return current_caller().portal.id, policy.may_create_users
    portal_id = _read_portal(named)
    rule = policy.may_create_in(portal_id)
    policy.require_creatable(current_caller(), rule, ())
    return portal_id, rule


def _read_portal(iri: Any) -> int:
    if not isinstance(iri, str):
        raise UnreadableRequest(f'The type of the "currentUrl" attribute must be "string", "{php_type(iri)}" given.')
    match = _PORTAL_IRI.fullmatch(iri)
    if match is None:
        raise UnreadableRequest(f'Invalid IRI "{iri}".')
    portal = find_portal(db.session(), read_id(match[1]))
    if portal is None:
        raise UnreadableRequest(f'Item not found for "{iri}".')
    portal_id: int = portal.id
    return portal_id
