"""POST /api/authentication_token: a user name and a password for an access token."""

from flask import Blueprint, Response, g, request

from blueprints.auth.credentials import read_credentials
from blueprints.parts import parts
from models import db
from models.sign_in_record import record_failure, record_success
from models.user import renew_hash, shown_roles
from rest.encoding import encode_json
from security.access import public
from security.errors import BadCredentials
from security.sign_in import authenticate

bp = Blueprint("auth", __name__)


@bp.post("/authentication_token")
@public
def create_token() -> Response:
    """Exchange a user name and a password for an access token."""
    credentials, address = read_credentials(request), request.remote_addr or ""
    try:
        with parts().limiter.attempt(address, credentials.username):
            signed_in = authenticate(
                db.session, credentials.username, credentials.password, g.now, parts().settings.password_hash_cost
            )
    except BadCredentials:
        record_failure(db.session, credentials.username, address, g.now)
        db.session.commit()
        raise
    record_success(db.session, signed_in.account, address, g.now)
    if signed_in.new_hash is not None:
        renew_hash(db.session, signed_in.account, signed_in.new_hash)
    db.session.commit()
    token = parts().tokens.issue(signed_in.account.username, shown_roles(signed_in.account))
    return Response(encode_json({"token": token}), content_type="application/json", headers={"Cache-Control": "no-store"})
