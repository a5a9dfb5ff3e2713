"""POST /api/authentication_token: a user name and a password for an access token."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, g, request

from blueprints.auth.credentials import read_credentials
from blueprints.parts import parts
from models import db
from models.sign_in_record import record_failure, record_success
from models.user import shown_roles
from rest.encoding import encode_json
from rest.operation import Operation, documented
from security.access import public
from security.errors import AuthenticationFailure, TooManyAttempts
from security.sign_in import SignInRules, authenticate

bp = Blueprint("auth", __name__)
audit_log = logging.getLogger("poort.audit")

_TEXT = {"type": "string"}

CREATE_TOKEN = Operation(
    id="login_check_post",
    tag="Login Check",
    summary="Creates a user token.",
    request_schema={
        "type": "object",
        "properties": {"username": _TEXT, "password": _TEXT | {"format": "password", "writeOnly": True}},
        "required": ["username", "password"],
    },
    response_schema={"type": "object", "properties": {"token": _TEXT | {"readOnly": True}}, "required": ["token"]},
    example={"username": "alice", "password": "a long enough secret"},
    failures=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)


@bp.post("/authentication_token")
@public
@documented(CREATE_TOKEN)
def create_token() -> Response:
    """Exchange a user name and a password for an access token."""
    credentials, address = read_credentials(request), request.remote_addr or ""
    try:
        with parts().limiter.attempt(address, credentials.username):
            signed_in = authenticate(
                db.session(), parts().users, credentials.username, credentials.password, g.now, _sign_in_rules()
            )
    except AuthenticationFailure as refusal:
        reason = getattr(refusal, "reason", refusal.description)
        audit_log.info("sign-in refused", extra={"username": credentials.username, "address": address, "reason": reason})
        if not isinstance(refusal, TooManyAttempts):
            _record(record_failure, credentials.username, address)
        raise
    if signed_in.has_second_factor:
        audit_log.info("second factor not asked", extra={"username": credentials.username, "address": address})
    _record(record_success, signed_in.account, signed_in.new_hash, address)
    token = parts().tokens.issue(signed_in.account.username, shown_roles(signed_in.account))
    return Response(encode_json({"token": token}), content_type="application/json", headers={"Cache-Control": "no-store"})


def _sign_in_rules() -> SignInRules:
    settings = parts().settings
    return SignInRules(
        hash_cost=settings.password_hash_cost,
        rehashes=settings.password_rehash and not settings.read_only,
        access_url_id=settings.access_url_id if parts().users.is_campus else None,
    )


def _record(write: Callable[..., None], *what: Any) -> None:
    """Write the traces of a sign-in in one short transaction, unless this server writes nothing."""
    if not parts().settings.read_only:
        write(db.session(), *what, g.now)
        db.session.commit()
