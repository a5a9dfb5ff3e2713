"""POST /api/authentication_token: a user name and a password for an access token."""

import logging
from http import HTTPStatus

from flask import Blueprint, Response, g, request

from blueprints.auth.credentials import read_credentials
from blueprints.parts import parts
from models import db
from models.sign_in_record import record_failure, record_success
from models.user import renew_hash, shown_roles
from rest.encoding import encode_json
from rest.operation import Operation, documented
from security.access import public
from security.errors import BadCredentials
from security.sign_in import authenticate

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
                db.session(), credentials.username, credentials.password, g.now, parts().settings.password_hash_cost
            )
    except BadCredentials as refusal:
        audit_log.info("sign-in refused", extra={"username": credentials.username, "address": address, "reason": refusal.reason})
        record_failure(db.session(), credentials.username, address, g.now)
        db.session.commit()
        raise
    record_success(db.session(), signed_in.account, address, g.now)
    if signed_in.new_hash is not None:
        renew_hash(db.session(), signed_in.account, signed_in.new_hash)
    db.session.commit()
    token = parts().tokens.issue(signed_in.account.username, shown_roles(signed_in.account))
    return Response(encode_json({"token": token}), content_type="application/json", headers={"Cache-Control": "no-store"})
