"""GET and DELETE /api/me/sessions, and DELETE /api/me/sessions/{id}, if refresh tokens are enabled."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from blueprints.auth.credentials import declare
from blueprints.auth.refreshing import record_session_end
from blueprints.auth.sign_out import INVALIDATE_ALL, end_everything_of
from blueprints.parts import parts
from models import db
from models.refresh_token import SignInSession, live_sessions_of
from models.transactions import commit
from rest.answer import answer_json
from rest.operation import documented
from rest.resource import format_date_time
from rest.schema import TEXT, object_schema
from security.access import current_caller, has_signed_in, is_authenticated, requires
from security.refresh import SESSION_ID

bp = Blueprint("sessions", __name__)

_ID = {"type": "string", "pattern": f"^{SESSION_ID.pattern}$"}
_DATE_TIME = TEXT | {"format": "date-time"}
_PROPERTIES = {
    "id": _ID,
    "createdAt": _DATE_TIME,
    "lastUsedAt": _DATE_TIME,
    "expiresAt": _DATE_TIME | {"description": "When the session ends unless it is refreshed before"},
    "address": TEXT | {"description": "The address of the client that signed in"},
    "userAgent": TEXT | {"description": "The client that signed in"},
    "current": {"type": "boolean", "description": "Whether the token of the request belongs to this session"},
}

_EXAMPLE: dict[str, Any] = {
    "id": "0123456789abcdef0123456789abcdef",
    "createdAt": "2026-09-22T10:00:00+00:00",
    "lastUsedAt": "2026-09-22T11:30:00+00:00",
    "expiresAt": "2026-10-22T11:30:00+00:00",
    "address": "192.0.2.7",
    "userAgent": "curl/8.14.1",
    "current": True,
}

END_SESSIONS = replace(
    INVALIDATE_ALL,
    id="me_sessions_delete",
    summary="Ends all sessions and tokens of the signed-in user.",
    description="Signs out everywhere, the request's own session included.",
)
END_SESSION = replace(
    END_SESSIONS,
    id="me_sessions_id_delete",
    summary="Ends a session of the signed-in user and its tokens.",
    description="Signs out on one device: the session's tokens are refused from then on.",
    id_schema=_ID,
    id_example=_EXAMPLE["id"],
    failures=(*END_SESSIONS.failures, HTTPStatus.NOT_FOUND),
)
LIST_SESSIONS = declare(
    id="me_sessions_get",
    summary="Lists the sessions of the signed-in user.",
    description="Lists the live sessions of the signed-in user, the newest first.",
    response_example=[_EXAMPLE],
    response_schema={"type": "array", "items": object_schema(**_PROPERTIES)},
    failures=END_SESSIONS.failures,
)


@bp.get("/me/sessions")
@requires(is_authenticated)
@documented(LIST_SESSIONS)
def list_sessions() -> Response:
    """List the caller's live sessions, the newest first."""
    caller = current_caller()
    own_id = caller.access_token.session_id if caller.has_signed_in else None
    alive = live_sessions_of(db.session(), caller.id, parts().clock())
    return answer_json([_shown(session, is_current=session.id == own_id) for session in alive])


@bp.delete("/me/sessions")
@requires(has_signed_in)
@documented(END_SESSIONS)
def end_sessions() -> Response:
    """End every session and token of the caller, the current ones included."""
    end_everything_of(current_caller())
    return Response(status=HTTPStatus.NO_CONTENT)


@bp.delete("/me/sessions/<segment:session_id>")
@requires(has_signed_in)
@documented(END_SESSION)
def end_one_session(session_id: str) -> Response:
    """End a session of the caller and its tokens."""
    caller, ours, session = current_caller(), parts(), db.session()

    def write() -> None:
        ours.guard.begin(session, caller, caller.id)
        if not ours.sessions.end(session, session_id, caller.id, ours.clock()):
            raise NotFound("Not Found")
        record_session_end(caller.username, caller.id, session_id, reason="ended by its user")

    commit(session, write)
    return Response(status=HTTPStatus.NO_CONTENT)


def _shown(session: SignInSession, *, is_current: bool) -> dict[str, Any]:
    return {
        "id": session.id,
        "createdAt": format_date_time(session.created_at),
        "lastUsedAt": format_date_time(session.last_used_at),
        "expiresAt": format_date_time(session.expires_at),
        "address": session.address,
        "userAgent": session.user_agent,
        "current": is_current,
    }
