"""Hooks of every request: its id and time, common header fields, JSON for errors, and a line in the log."""

import logging
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from http import HTTPStatus
from random import getrandbits
from typing import Any

from flask import Flask, Response
from flask.globals import app_ctx, request_ctx
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from blueprints.auditing import record_now
from blueprints.parts import parts
from config import Settings
from config.logging import log_request, request_id
from models import db
from models.outages import code_of, is_outage, reason_of
from models.write_probe import refuses_to_write
from rest.answer import Answer
from rest.cors import EXPOSED, EXPOSED_WITH_TOTAL, cors_headers, preflight_headers, refused_preflight
from rest.error_response import error_response
from rest.format import TOTAL_HEADER
from rest.negotiation import dialect_at_hand, wants_problem_json
from rest.paths import origin_of
from rest.problem import REPRESENTATIONS, OperationFailed
from security.client_address import network_of
from security.errors import RefusedApiKey
from security.keys.pair import UnusableKey

logger = logging.getLogger("poort")

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

RETRY_AFTER_SECONDS = 5

# The lowest status of an error.
_ERRORS = 400


class DatabaseUnavailable(ServiceUnavailable):
    """The database is gone, full, locked or too slow."""

    description = "The database cannot be reached at the moment."
    error_code = "database_unavailable"


class KeysUnavailable(ServiceUnavailable):
    """No token can be signed or verified."""

    description = "The keys cannot be used at the moment."
    error_code = "keys_unavailable"


#: Header fields of every answer, also to requests that gunicorn refuses. Pages set a content security policy of their own
#: (blueprints/docs). Strict-Transport-Security is set where TLS ends (deploy/nginx.conf).
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

# An Answer has a `Cache-Control` of its own.
_SAFE_FOR_ANSWERS = tuple((name, value) for name, value in SAFE_HEADERS.items() if name != "Cache-Control")


def register_request_hooks(app: Flask, settings: Settings, clock: Callable[[], datetime]) -> None:
    """Register the functions that run before and after each request, and those that answer errors."""
    app.before_request(partial(_begin, settings, clock))
    app.after_request(partial(_finish, settings))
    # This one replaces Flask-SQLAlchemy's, which looks four times for a session. Most reads have none.
    app.teardown_appcontext_funcs[:] = [_give_connection_back]
    app.register_error_handler(HTTPException, _answer_failure)
    app.register_error_handler(RefusedApiKey, _answer_refused_key)
    for unreachable in (DBAPIError, PendingRollbackError, PoolTimeout):
        app.register_error_handler(unreachable, _answer_unreachable)
    app.register_error_handler(UnusableKey, _answer_without_keys)
    app.register_error_handler(Exception, _answer_unexpected)


def _begin(settings: Settings, clock: Callable[[], datetime]) -> Response | None:
    # Each use of Flask's `g` or `request` looks the context up anew, so do that once.
    here, environ = app_ctx.g, request_ctx.request.environ
    here.now, here.started = clock(), time.perf_counter()
    given = environ.get("HTTP_X_REQUEST_ID", "")
    request_id.set(given if given and _REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}")
    if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ORIGIN" in environ and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
        return _answer_preflight(settings, environ)
    return None


def _answer_preflight(settings: Settings, environ: dict[str, Any]) -> Response:
    asked = environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"], environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    allowed = preflight_headers(environ["HTTP_ORIGIN"], settings.cors_allow_origin)
    refused = refused_preflight(*asked) if allowed else None
    response = _answer_failure(refused) if refused else Response(status=dialect_at_hand().preflight_status)
    response.headers.update(allowed)
    return response


def _finish(settings: Settings, response: Response) -> Response:
    here, request = app_ctx.g, request_ctx.request
    headers, environ = response.headers, request.environ
    headers.extend((("X-Request-Id", request_id.get()), *_missing(response)))
    if response.status_code == HTTPStatus.NO_CONTENT:
        headers.remove("Content-Type")  # Flask sets one
    if settings.app_enable_api_entrypoint and ("negotiated" in here or "documented" in here) and _is_representation(response):
        link = f'<{origin_of(request)}/api/docs.jsonld>; rel="http://www.w3.org/ns/hydra/core#apiDocumentation"'
        if response.status_code < _ERRORS:
            headers.add("Link", link)
        else:
            headers["Link"] = ",".join((*headers.getlist("Link"), link))
    if "HTTP_ORIGIN" in environ:
        if environ["REQUEST_METHOD"] != "OPTIONS":
            exposed = EXPOSED_WITH_TOTAL if TOTAL_HEADER in headers else EXPOSED
            headers.update(cors_headers(environ["HTTP_ORIGIN"], settings.cors_allow_origin, exposed))
        response.vary.add("Origin")
    caller = here.get("caller")
    log_request(
        environ,
        request.url_rule.rule if request.url_rule else None,
        response.status_code,
        round((time.perf_counter() - here.started) * 1000, 2),
        caller.id if caller else None,
    )
    return response


def _missing(response: Response) -> Iterable[tuple[str, str]]:
    """Return the safe header fields that a response does not set itself."""
    if isinstance(response, Answer):
        return _SAFE_FOR_ANSWERS
    return [(name, value) for name, value in SAFE_HEADERS.items() if name not in response.headers]


def _is_representation(response: Response) -> bool:
    return response.status_code < _ERRORS or response.mimetype in REPRESENTATIONS


def _give_connection_back(_error: BaseException | None) -> None:
    """End the session, if there is one. If a connection breaks after an answer was made, the answer must not become a 500."""
    if not db.session.registry.has():
        return
    try:
        db.session.close()
    except DBAPIError as reason:
        logger.warning("a connection was lost after its last use: %s", type(reason.orig).__name__)
    finally:
        db.session.registry.clear()


def _answer_failure(error: HTTPException) -> Response:
    app_ctx.g.setdefault("failure", error)  # for the counters in deploy/metrics
    context: Any = request_ctx
    return error_response(error, context.request, context.url_adapter, dialect_at_hand(), as_problem_json=wants_problem_json)


def _answer_refused_key(error: RefusedApiKey) -> Response:
    # Anybody may send unknown keys endlessly: write no row, and log one line a minute per network.
    network = network_of(request_ctx.request.remote_addr or "")
    record_now("api_key_refused", has_row="user_id" in error.about, once_for=network, reason=error.description, **error.about)
    return _answer_failure(error)


def _answer_unreachable(error: DBAPIError | PendingRollbackError | PoolTimeout) -> Response:
    if isinstance(error, DBAPIError) and not is_outage(error):
        return _answer_unexpected(error)
    app_ctx.g.failure = error
    logger.error("the database cannot be used: %s", reason_of(error), extra={"code": code_of(error)})
    if refuses_to_write(error):
        parts().write_probe.doubt()
    return _answer_failure(DatabaseUnavailable(retry_after=RETRY_AFTER_SECONDS))


def _answer_without_keys(error: UnusableKey) -> Response:
    app_ctx.g.failure = error
    logger.error("no token can be signed or verified: %s", error)
    return _answer_failure(KeysUnavailable(retry_after=RETRY_AFTER_SECONDS))


def _answer_unexpected(error: Exception) -> Response:
    logger.error("unexpected failure of %s", request_ctx.request.endpoint, exc_info=error)
    return _answer_failure(OperationFailed() if "negotiated" in app_ctx.g else InternalServerError("Internal Server Error"))
