"""POST /api/token/invalidate and /api/token/invalidate-all."""

from http import HTTPStatus

from flask import Blueprint, Response

from blueprints.auditing import note
from blueprints.parts import parts, refuse_when_read_only
from models import db
from models.token_validity import end_all_tokens, revoke
from models.user_table import ACCOUNT
from rest.operation import Operation, Shape, documented
from security.access import current_caller, requires
from security.bearer import Caller

bp = Blueprint("signing_out", __name__)

_FAILURES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)

INVALIDATE = Operation(
    id="token_invalidate_post",
    tag="Login Check",
    summary="Ends the token of the request.",
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    failures=_FAILURES,
)
INVALIDATE_ALL = Operation(
    id="token_invalidate_all_post",
    tag="Login Check",
    summary="Ends all tokens and sessions of the user who asks.",
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    failures=_FAILURES,
)


def may_sign_out(_caller: Caller) -> bool:
    """Whoever bears a token may end it."""
    return True


@bp.post("/token/invalidate")
@requires(may_sign_out)
@documented(INVALIDATE)
def invalidate_token() -> Response:
    """End the token of the request, and the session that it belongs to, if any."""
    refuse_when_read_only()
    caller, ours = current_caller(), parts()
    revoke(db.session(), caller.token.key, caller.token.expires_at + ours.settings.jwt_clock_skew_seconds, ours.clock())
    note("token_ended", username=caller.username, user_id=caller.id)
    db.session.commit()
    return Response(status=HTTPStatus.NO_CONTENT)


@bp.post("/token/invalidate-all")
@requires(may_sign_out)
@documented(INVALIDATE_ALL)
def invalidate_all_tokens() -> Response:
    """End every token and session of the caller, this one too."""
    refuse_when_read_only()
    caller = current_caller()
    # The row is held: a sign-in that is under way issues its token before this, or after.
    parts().users.lock(db.session(), caller.id, ACCOUNT)
    end_all_tokens(db.session(), caller.id, caller.username, parts().clock())
    note("all_tokens_ended", username=caller.username, user_id=caller.id)
    db.session.commit()
    return Response(status=HTTPStatus.NO_CONTENT)
