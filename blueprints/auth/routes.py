"""POST /api/authentication_token."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from flask import Blueprint, Response, g, request

from blueprints.auditing import record_event, record_now
from blueprints.auth.codes import demand_code
from blueprints.auth.credentials import BODY_FAILURES, EXAMPLE_JWT, declare, read_credentials
from blueprints.auth.refreshing import answer_with_token, begin_session_of
from blueprints.parts import parts, portal_at_hand, requester_of
from models import db
from models.roles import roles_to_show
from models.sign_in_record import record_failure, record_success
from rest.negotiation import dialect_at_hand
from rest.operation import documented
from rest.schema import TEXT, object_schema
from security.access import public
from security.bearer import require_portal
from security.errors import AuthenticationFailure, CodeRequired, TooManyAttempts
from security.throttle.limiter import FAILURES_TO_REPORT

bp = Blueprint("auth", __name__)

CREATE_TOKEN = declare(
    id="login_check_post",
    summary="Creates a user token.",
    description="Exchanges a user name and a password for a token, which other operations need.",
    request_schema={
        "type": "object",
        "properties": {
            "username": TEXT,
            "password": TEXT | {"format": "password", "writeOnly": True},
            "totp": TEXT | {"writeOnly": True, "description": "The code of a second factor, ignored if the user has none."},
        },
        "required": ["username", "password"],
    },
    response_schema=object_schema(token=TEXT | {"readOnly": True}),
    response_example={"token": EXAMPLE_JWT},
    example={"username": "alice", "password": "a long enough secret"},
    failures=(*BODY_FAILURES, HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE),
    failure_texts={HTTPStatus.UNAUTHORIZED: "Invalid credentials."},
)


@bp.post("/authentication_token")
@public
@documented(CREATE_TOKEN)
def create_token() -> Response:
    """Exchange a user name and a password for an access token."""
    ours, credentials, address = parts(), read_credentials(request, dialect_at_hand()), request.remote_addr or ""
    requester = requester_of(credentials.username)
    ours.hashing.require_room(requester)
    with _recorded_sign_in(credentials.username):
        with ours.limiter.attempt(address, credentials.username):
            username, password = credentials.username, credentials.password
            signed_in = ours.sign_ins.authenticate(db.session(), username, password, requester, g.now)
            require_portal(signed_in.account, portal_at_hand())
            second_factor = demand_code(signed_in.account, credentials.totp)
        account = ours.sign_ins.admit(db.session(), signed_in.account)
    now, roles = ours.clock(), roles_to_show(account.roles)
    if ours.sign_ins.may_write:
        record_success(db.session(), account, signed_in.new_hash, address, now)
    grant = begin_session_of(account, signed_in.new_hash or account.password, now)
    record_event("sign_in", username=account.username, user_id=account.id, details={"second_factor": second_factor})
    db.session.commit()
    token = ours.tokens.issue(account.username, roles, issued_at=now, session_id=grant.session_id if grant else None)
    return answer_with_token(token, grant)


@contextmanager
def _recorded_sign_in(username: str) -> Iterator[None]:
    """Record in the audit why a sign-in is refused.

    Chamilo's table gets the failure, too, unless the throttle refused the sign-in or only the code was missing.
    """
    try:
        yield
    except TooManyAttempts as refusal:
        db.session.rollback()
        # Anybody may send such requests endlessly: write no row, and log one line for each full window.
        if refusal.is_first:
            record_now("sign_in_refused", has_row=False, username=username, reason=refusal.description)
        raise
    except AuthenticationFailure as refusal:
        db.session.rollback()
        record_now("sign_in_refused", username=username, reason=getattr(refusal, "reason", refusal.description))
        if not isinstance(refusal, CodeRequired):
            _count_failure(username)
        raise


def _count_failure(username: str) -> None:
    """Record a failure in Chamilo's table, if the server may write, and report a user name with very many failures."""
    if parts().limiter.is_to_report(username):
        record_now("sign_in_failures", has_row=False, username=username, details={"in_an_hour": FAILURES_TO_REPORT})
    if not parts().settings.read_only:
        record_failure(db.session(), username, request.remote_addr or "", g.now)
        db.session.commit()
