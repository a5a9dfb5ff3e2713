"""POST /api/token/invalidate and /api/token/invalidate-all."""

from dataclasses import replace
from http import HTTPStatus

from flask import Blueprint, Response, request

from blueprints.auditing import record_event
from blueprints.auth.credentials import BODY_FAILURES, declare, read_object, require_json, text_of
from blueprints.auth.refreshing import record_session_end
from blueprints.parts import parts, refuse_when_read_only
from models import db
from models.token_validity import end_all_tokens, revoke
from models.transactions import commit
from rest.operation import Shape, documented
from security.access import current_caller, has_signed_in, requires
from security.bearer import Caller
from security.refresh import find_session

_FAILURES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)

INVALIDATE = declare(
    id="token_invalidate_post",
    summary="Ends the token of the request.",
    description="Signs out: from then on the token is refused.",
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    failures=_FAILURES,
)
INVALIDATE_SESSION = replace(
    INVALIDATE,
    summary="Ends the token of the request and its session, and the session of the refresh token in the body.",
    description="Signs out: from then on the tokens are refused. A refresh token that is unknown or another user's is ignored.",
    request_schema={"type": "object", "properties": {"refresh_token": {"type": "string"}}},
    needs_body=False,
    example={"refresh_token": "a refresh token of the session"},
    failures=(*_FAILURES, *BODY_FAILURES),
)
INVALIDATE_ALL = replace(
    INVALIDATE,
    id="token_invalidate_all_post",
    summary="Ends all tokens and sessions of the signed-in user.",
    description="Signs out everywhere, the request's own token included.",
)


def sign_out_blueprint(*, has_sessions: bool) -> Blueprint:
    """Return the routes of this module. With sessions, the body of /token/invalidate may have a refresh token."""
    bp = Blueprint("sign_out", __name__)

    @bp.post("/token/invalidate")
    @requires(has_signed_in)
    @documented(INVALIDATE_SESSION if has_sessions else INVALIDATE)
    def end_token() -> Response:
        """End the token of the request, its session, and the session of a refresh token in the body.

        A refresh token that is unknown or belongs to another user is ignored (RFC 7009, section 2.2).
        """
        refuse_when_read_only()
        return _end(_read_refresh_token() if has_sessions else None)

    @bp.post("/token/invalidate-all")
    @requires(has_signed_in)
    @documented(INVALIDATE_ALL)
    def invalidate_all_tokens() -> Response:
        """End every token and session of the caller, the current ones included."""
        refuse_when_read_only()
        end_everything_of(current_caller())
        return Response(status=HTTPStatus.NO_CONTENT)

    return bp


def end_everything_of(caller: Caller) -> None:
    """End every token and session of a caller."""
    ours, session = parts(), db.session()

    def write() -> None:
        # Locks the row until commit, so that a concurrent sign-in issues its token either before or after this.
        ours.guard.begin(session, caller, caller.id)
        end_all_tokens(session, caller.id, caller.username, ours.clock())
        record_event("all_tokens_ended", username=caller.username, user_id=caller.id)

    commit(session, write)


def _end(refresh_token: str | None) -> Response:
    """End the token of the request, its session, and the session of a refresh token of the caller."""
    caller, ours, session = current_caller(), parts(), db.session()
    token = caller.access_token

    def write() -> None:
        ours.guard.begin(session, caller, caller.id)
        now = ours.clock()
        named = find_session(session, refresh_token, caller.id) if refresh_token else None
        for session_id in {ended for ended in (token.session_id, named) if ended}:
            if ours.sessions.end(session, session_id, caller.id, now):
                record_session_end(caller.username, caller.id, session_id, reason="signed out")
        revoke(session, token.key, token.expires_at + ours.settings.jwt_clock_skew_seconds, now)
        record_event("token_ended", username=caller.username, user_id=caller.id)

    commit(session, write)
    # A sign-in within the same second would issue an identical token, which is revoked now.
    if 0 < (wait := token.issued_at + 1 - ours.clock().timestamp()) <= 1:
        ours.sleep(wait)
    return Response(status=HTTPStatus.NO_CONTENT)


def _read_refresh_token() -> str | None:
    """Read the refresh token of a body, if there is one. Raises 415 and 400 as a sign-in does."""
    if not request.content_length and "Transfer-Encoding" not in request.headers:
        return None
    require_json(request)
    document = read_object(request)
    return None if document.get("refresh_token") is None else text_of(document, "refresh_token")
