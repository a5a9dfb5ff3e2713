"""GET and DELETE /api/me/sessions, DELETE /api/me/sessions/{id}, where refresh tokens are on: where one is signed in."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from blueprints.auth.refreshing import record_session_end
from blueprints.auth.sign_out import INVALIDATE_ALL, end_everything_of
from blueprints.parts import parts
from models import db
from models.refresh_token import SignInSession, live_sessions_of
from models.transactions import commit
from rest.answer import answer_json
from rest.operation import Operation, documented
from rest.resource import format_date_time
from rest.schema import TEXT
from security.access import current_caller, is_authenticated, requires
from security.refresh import SESSION_ID

bp = Blueprint("sessions", __name__)

_ID = {"type": "string", "pattern": f"^{SESSION_ID.pattern}$"}
_DATE_TIME = TEXT | {"format": "date-time"}
_PROPERTIES = {
    "id": _ID,
    "createdAt": _DATE_TIME,
    "lastUsedAt": _DATE_TIME,
    "expiresAt": _DATE_TIME | {"description": "Where nobody refreshes it before"},
    "address": TEXT | {"description": "Where the sign-in came from"},
    "userAgent": TEXT | {"description": "What signed in"},
    "current": {"type": "boolean", "description": "Whether the token of the request is of this session"},
}

END_SESSIONS = replace(INVALIDATE_ALL, id="me_sessions_delete", summary="Ends all sessions and tokens of the user who asks.")
END_SESSION = replace(
    END_SESSIONS,
    id="me_sessions_id_delete",
    summary="Ends a session of the user who asks, and its tokens.",
    id_schema=_ID,
    failures=(*END_SESSIONS.failures, HTTPStatus.NOT_FOUND),
)
LIST_SESSIONS = Operation(
    id="me_sessions_get",
    tag="Login Check",
    summary="Lists the sessions of the user who asks.",
    response_schema={
        "type": "array",
        "items": {"type": "object", "properties": _PROPERTIES, "required": list(_PROPERTIES)},
    },
    failures=END_SESSIONS.failures,
)


@bp.get("/me/sessions")
@requires(is_authenticated)
@documented(LIST_SESSIONS)
def list_sessions() -> Response:
    """List the caller's sessions that are alive, the newest first."""
    caller = current_caller()
    alive = live_sessions_of(db.session(), caller.id, parts().clock())
    shown = [_shown(session, is_current=session.id == caller.token.session_id) for session in alive]
    return answer_json(shown)


@bp.delete("/me/sessions")
@requires(is_authenticated)
@documented(END_SESSIONS)
def end_sessions() -> Response:
    """End every session of the caller, this one too, with all their tokens."""
    end_everything_of(current_caller())
    return Response(status=HTTPStatus.NO_CONTENT)


@bp.delete("/me/sessions/<segment:session_id>")
@requires(is_authenticated)
@documented(END_SESSION)
def end_one_session(session_id: str) -> Response:
    """End one session of the caller with its tokens."""
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
