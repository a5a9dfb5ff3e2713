"""/api/access_urls/{id}/user: creates users of a portal, completely or not at all (docs/compatibility.md#portal-user-atomic)."""

import logging
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response
from werkzeug import exceptions

from blueprints.mail import Registration
from blueprints.parts import parts, refuse_when_read_only
from blueprints.users import operations, policy
from blueprints.users.changes import insert
from blueprints.users.resource import USER_OF_PORTAL
from blueprints.users.writing import user_violations
from models import db
from models.campus import find_portal
from models.extra_fields import UnknownExtraField
from models.roles import ROLE_OF_STATUS
from models.user import STATUS_STUDENT
from models.user_email import is_email_taken
from rest.body import read_changes, require_none
from rest.negotiation import render_item, request_object, speaks
from rest.paths import read_id
from rest.problem import ValidationFailed
from rest.representation import Item
from security.access import Rule, current_caller, requires

bp = Blueprint("portal_users", __name__)

logger = logging.getLogger(__name__)

_LENGTHS = {prop.name: prop.max_length for prop in USER_OF_PORTAL.writable if prop.max_length is not None}


class NameTaken(exceptions.Conflict):
    """Another user has the user name."""

    description = "username_already_exists"
    error_code = "username_taken"


class EmailTaken(exceptions.Conflict):
    """Another user has the e-mail address."""

    description = "email_already_exists"
    error_code = "email_taken"


class NoMailServer(exceptions.NotImplemented):
    """The request asks for a mail, but the server has no mail server."""

    description = "Sending mail is not configured."
    error_code = "mail_not_configured"


class PortalNotFound(exceptions.NotFound):
    """There is no such portal."""

    description = "Access URL not found."
    error_code = "portal_not_found"


class ExtraFieldNotFound(exceptions.BadRequest):
    """A body has a value for an extra field that does not exist."""

    error_code = "extra_field_not_found"


@bp.post("/access_urls/<segment:url_id>/user<suffix:suffix>")
@speaks(operations.ADD_TO_PORTAL)
@requires(policy.may_add_to_portal)
def add_user_to_portal(url_id: str) -> Response:
    """Create a user in a portal, with the role of the status and values of extra fields, and tell the user by mail."""
    refuse_when_read_only()
    portal = find_portal(db.session(), read_id(url_id))
    if portal is None:
        raise PortalNotFound
    rule = policy.in_portal(policy.may_add_to_portal, portal.id)
    policy.require_creatable(current_caller(), rule, ())
    values = read_user_of_portal(request_object())
    return render_item(create_user_of_portal(values, portal, rule))


def read_user_of_portal(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a new user, with defaults. Raises 400, 409, 422 and 501; the checks are in Chamilo's order."""
    ours, session = parts(), db.session()
    values = read_changes(USER_OF_PORTAL, document, policy.WRITABLE_IN_PORTAL)
    require_none(user_violations(ours, USER_OF_PORTAL, values, None))
    if ours.users.is_taken(session, values["username"]):
        raise NameTaken
    _require_free_email(values["email"])
    _texts_by_field(values)
    if values.get("sendEmail") and ours.mailer is None:
        raise NoMailServer
    return values | _defaults(values)


def create_user_of_portal(values: dict[str, Any], portal: Any, rule: Rule) -> Item:
    """Insert a user with the values of extra fields, and send the mail. Raises 400, 401, 403, 409 and 503.

    The transaction repeats each check whose outcome may have changed, except, on a campus, the check of the e-mail address.
    """

    def complete(user_id: int) -> None:
        if not parts().users.is_campus:  # a campus has no index on addresses, and reading all users once is enough
            _require_free_email(values["email"], user_id)
        if texts := _texts_by_field(values):  # an old campus lacks the tables, so touch them only if needed
            parts().extra_fields.write_values(db.session(), user_id, texts, parts().clock())

    try:
        user = insert(values, values.get("password"), portal.id, rule, complete)
    except ValidationFailed:  # another transaction took the name
        raise NameTaken from None
    if values.get("sendEmail", True):
        _send_mail(user.fields["id"], values, portal.url)
    return user


def _require_free_email(email: str, own_id: int | None = None) -> None:
    if is_email_taken(db.session(), email, own_id, is_campus=parts().users.is_campus):
        raise EmailTaken


def _texts_by_field(values: Mapping[str, Any]) -> dict[int, str | None]:
    """Return the texts of extra fields by the id of the field. Raises 400 if there is no such field."""
    texts: dict[str, str | None] = values.get("extraFields") or {}
    try:
        fields = parts().extra_fields.resolve(db.session(), texts)
    except UnknownExtraField as unknown:
        raise ExtraFieldNotFound(f"ExtraField '{unknown}' not found for users.") from None
    return {fields[name]: text for name, text in texts.items()}


def _defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status, its role, and a locale and time zone: by default, those of the request's portal."""
    ours, of_portal = parts(), current_caller().portal.settings
    status = values.get("status") or STATUS_STUDENT
    fallback = ("en", "Europe/Paris") if ours.users.is_campus else (ours.settings.default_locale, ours.settings.default_timezone)
    return {
        "status": status,
        "roles": [ROLE_OF_STATUS[status]],
        "locale": values.get("locale") or _fitting("locale", of_portal.get("platform_language")) or fallback[0],
        "timezone": values.get("timezone") or _fitting("timezone", of_portal.get("timezone")) or fallback[1],
    }


def _fitting(name: str, setting: str | None) -> str | None:
    """Return a setting if it fits into the column, else None. Some language names of Chamilo 1.11 are too long for it."""
    return setting if setting and len(setting) <= _LENGTHS[name] else None


def _send_mail(user_id: int, values: Mapping[str, Any], url: str) -> None:
    mailer = parts().mailer
    if mailer is None:
        logger.info("no mail is sent to a new user: MAILER_DSN is not set", extra={"user_id": user_id})
        return
    site_name = current_caller().portal.settings.get("site_name") or ""
    mailer.send(Registration(user_id, values["email"], values["username"], site_name, url))
