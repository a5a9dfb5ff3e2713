"""POST /api/token/refresh, if refresh tokens are enabled, and the sessions that sign-ins begin."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, g, request

from blueprints.auditing import record_event, record_now
from blueprints.auth.credentials import BODY_FAILURES, EXAMPLE_JWT, MOST_BYTES, declare, read_object, require_json
from blueprints.parts import parts, portal_at_hand
from models import db
from models.roles import roles_to_show
from models.user import Account
from rest.answer import answer_json
from rest.operation import documented
from rest.schema import TEXT, object_schema
from security.access import public
from security.client_address import network_of
from security.errors import AuthenticationFailure, MissingRefreshToken, ReusedRefreshToken
from security.refresh import Client, Grant, find_presented

bp = Blueprint("refreshing", __name__)

#: The most requests to refresh a session in a minute, refused ones included.
MOST_REFRESHES = 60

REFRESH_TOKEN = declare(
    id="token_refresh_post",
    summary="Exchanges a refresh token for a new access token and a new refresh token.",
    description="A refresh token works once. Keep the new one: if the old one is used again, the session ends.",
    request_schema=object_schema(refresh_token=TEXT),
    response_schema=object_schema(
        token=TEXT,
        refresh_token=TEXT,
        refresh_token_expiration={"type": "integer", "description": "Seconds since the epoch"},
    ),
    response_example={
        "token": EXAMPLE_JWT,
        "refresh_token": "the next refresh token",
        "refresh_token_expiration": 1_793_000_000,
    },
    example={"refresh_token": "the latest refresh token"},
    failure_texts={HTTPStatus.UNAUTHORIZED: "Invalid JWT Refresh Token"},
    failures=(*BODY_FAILURES, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
)


@bp.post("/token/refresh")
@public
@documented(REFRESH_TOKEN)
def refresh_token() -> Response:
    """Exchange a refresh token for an access token and the next refresh token."""
    require_json(request)
    token, ours, session = read_object(request, MOST_BYTES).get("refresh_token"), parts(), db.session()
    with _recorded_refresh():
        if not isinstance(token, str) or not token:
            raise MissingRefreshToken
        presented = find_presented(session, token, g.now, portal_at_hand())
        ours.limiter.count("refresh", presented.session_id, MOST_REFRESHES)
        refreshed = ours.sessions.refresh(session, presented)
    account, grant = refreshed.account, refreshed.grant
    record_event("token_refreshed", username=account.username, user_id=account.id, details={"session": grant.session_id})
    db.session.commit()
    issued_at, session_id = refreshed.issued_at, grant.session_id
    access_token = ours.tokens.issue(account.username, roles_to_show(account.roles), issued_at=issued_at, session_id=session_id)
    return answer_with_token(access_token, grant)


def begin_session_of(account: Account, password_hash: str, now: datetime) -> Grant | None:
    """Begin a session in the transaction of a sign-in, if refresh tokens are enabled, and end the user's excess sessions."""
    sessions = parts().sessions
    if not sessions.rules.ttl_seconds:
        return None
    for session_id in sessions.make_room(db.session(), account.id, now):
        record_session_end(account.username, account.id, session_id, reason="too many sessions")
    client = Client(request.remote_addr or "", request.user_agent.string)
    return sessions.begin(db.session(), account, password_hash, client, now)


def record_session_end(username: str, user_id: int, session_id: str, reason: str) -> None:
    """Record the end of a session."""
    record_event("session_ended", username=username, user_id=user_id, reason=reason, details={"session": session_id})


def answer_with_token(token: str, grant: Grant | None) -> Response:
    """Answer with an access token and, if there is one, a refresh token. The names are those of gesdinet's Symfony bundle."""
    body: dict[str, Any] = {"token": token}
    if grant is not None:
        body |= {"refresh_token": grant.token, "refresh_token_expiration": int(grant.expires_at.timestamp())}
    return answer_json(body)


@contextmanager
def _recorded_refresh() -> Iterator[None]:
    """Record why a refresh is refused. A reused token also ends its session in the same transaction."""
    try:
        yield
    except ReusedRefreshToken as refusal:
        record_event("refresh_token_reused", reason=refusal.reason, **refusal.about)
        db.session.commit()
        raise
    except AuthenticationFailure as refusal:
        db.session.rollback()
        reason, about = getattr(refusal, "reason", refusal.description), refusal.about
        if about:
            record_now("refresh_refused", once_for=about["details"]["session"], reason=reason, **about)
        else:
            # Anybody may send such tokens endlessly: write no row, and log one line a minute per network.
            record_now("refresh_refused", has_row=False, once_for=network_of(request.remote_addr or ""), reason=reason)
        raise
