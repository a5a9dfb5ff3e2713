"""What is the same for every request: its id and time, the headers of its answer, its failures, its log line."""

import logging
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from random import getrandbits
from typing import Any

from flask import Flask, Response, request
from flask.globals import app_ctx, request_ctx
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, NotFound, ServiceUnavailable

from blueprints.routing import raw_path
from config import Settings
from config.logging import log_request, request_id
from models import db
from models.outages import code_of, is_outage, is_time_limit
from rest.answer import Answer
from rest.cors import cors_headers, preflight_headers
from rest.encoding import encode_json
from rest.negotiation import wants_problem_json
from rest.problem import problem_body
from security.keys.pair import UnusableKey

logger = logging.getLogger("poort")

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

_ALLOW_ORDER = ("GET", "POST", "PUT", "PATCH", "DELETE")

RETRY_AFTER_SECONDS = 5

#: On every answer, also of what never reaches the application. A page sets its own policy (blueprints/docs/explorer.py).
#: Strict-Transport-Security is said where TLS ends: deploy/nginx.conf.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def register_request_hooks(app: Flask, settings: Settings, clock: Callable[[], datetime]) -> None:
    """Register what is done around every request of an application."""

    @app.before_request
    def begin() -> Response | None:
        # Each use of a proxy looks it up again: it is done once.
        here, environ = app_ctx.g, request_ctx.request.environ
        here.now, here.started = clock(), time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id.set(given if given and _REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}")
        if environ["REQUEST_METHOD"] == "OPTIONS" and _is_preflight(environ):
            return Response(status=204, headers=preflight_headers(environ["HTTP_ORIGIN"], settings.cors_allow_origin))
        return None

    @app.after_request
    def finish(response: Response) -> Response:
        here, current = app_ctx.g, request_ctx.request
        headers, environ = response.headers, current.environ
        headers.extend((("X-Request-Id", request_id.get()), *_missing(response)))
        if settings.app_enable_api_entrypoint and ("negotiated" in here or "documented" in here) and _is_representation(response):
            link = f"<{current.scheme}://{current.host}/api/docs.jsonld>"
            headers.add("Link", f'{link}; rel="http://www.w3.org/ns/hydra/core#apiDocumentation"')
        if "HTTP_ORIGIN" in environ:
            if environ["REQUEST_METHOD"] != "OPTIONS":
                headers.update(cors_headers(environ["HTTP_ORIGIN"], settings.cors_allow_origin))
            response.vary.add("Origin")
        caller = here.get("caller")
        log_request(
            environ["REQUEST_METHOD"],
            current.url_rule.rule if current.url_rule else None,
            response.status_code,
            round((time.perf_counter() - here.started) * 1000, 2),
            caller.id if caller else None,
        )
        return response

    # Registered after Flask-SQLAlchemy's own, and so run before it.
    app.teardown_appcontext(_give_connection_back)
    app.register_error_handler(HTTPException, _answer_failure)
    for unreachable in (DBAPIError, PendingRollbackError, PoolTimeout):
        app.register_error_handler(unreachable, _answer_unreachable)
    app.register_error_handler(UnusableKey, _answer_without_keys)
    app.register_error_handler(Exception, _answer_unexpected)


def _give_connection_back(_error: BaseException | None) -> None:
    """End the session. A connection that broke since the answer was made must not turn the answer into a 500."""
    try:
        db.session.remove()
    except DBAPIError as reason:
        logger.warning("a connection was lost after its last use: %s", type(reason.orig).__name__)
        db.session.registry.clear()


def _answer_failure(error: HTTPException) -> Response:
    app_ctx.g.setdefault("failure", error)  # for whoever counts them
    if error.response is not None:  # a redirect, or an answer that was made on purpose
        return error.response  # type: ignore[return-value]
    if request.routing_exception is error:
        redirect = _redirect_without_slash(error)
        if redirect is not None:
            return redirect
        error.description = _route_not_found(error)
    body, content_type = problem_body(error, wants_problem_json())
    response = Response(encode_json(body), error.code, content_type=content_type)
    for name, value in error.get_headers():
        if name not in {"Content-Type", "Content-Length"}:
            response.headers[name] = value
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = _allowed(error)
    return response


def _answer_unreachable(error: DBAPIError | PendingRollbackError | PoolTimeout) -> Response:
    if isinstance(error, DBAPIError) and not is_outage(error):
        return _answer_unexpected(error)
    app_ctx.g.failure = error
    kind = "a statement ran into its time limit" if is_time_limit(error) else type(getattr(error, "orig", error)).__name__
    logger.error("the database cannot be used: %s", kind, extra={"code": code_of(error)})
    return _answer_failure(ServiceUnavailable("The database cannot be reached at the moment.", retry_after=RETRY_AFTER_SECONDS))


def _answer_without_keys(error: UnusableKey) -> Response:
    app_ctx.g.failure = error
    logger.error("no token can be signed or verified: %s", error)
    return _answer_failure(ServiceUnavailable("The keys cannot be used at the moment.", retry_after=RETRY_AFTER_SECONDS))


def _answer_unexpected(error: Exception) -> Response:
    logger.error("unexpected failure of %s", request.endpoint, exc_info=error)
    return _answer_failure(InternalServerError("Internal Server Error"))


def _route_not_found(error: HTTPException) -> str:
    """Say which route there is none of, as Symfony says it: the raw path, without the query."""
    text = f'No route found for "{request.method} {request.host_url.rstrip("/")}{raw_path(request.environ)}"'
    return f"{text}: Method Not Allowed (Allow: {_allowed(error)})" if isinstance(error, MethodNotAllowed) else text


def _allowed(error: MethodNotAllowed) -> str:
    return ", ".join(method for method in _ALLOW_ORDER if method in (error.valid_methods or ()))


def _redirect_without_slash(error: HTTPException) -> Response | None:
    """Redirect a GET with a slash too many to the path without it, where there is such a route."""
    path = request.path.rstrip("/")
    if not isinstance(error, NotFound) or request.method not in {"GET", "HEAD"} or not path or path == request.path:
        return None
    adapter = request_ctx.url_adapter
    if adapter is None or not adapter.test(path, "GET"):
        return None
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    target = f"{request.host_url.rstrip('/')}{raw_path(request.environ).rstrip('/')}{query}"
    return Response(status=301, headers={"Location": target})


def _is_representation(response: Response) -> bool:
    """Tell whether an answer is an item, a page, a document, or a failure in the third shape: not `{"error"}`."""
    return response.status_code < 400 or response.mimetype in {"application/ld+json", "application/problem+json"}  # noqa: PLR2004


def _missing(response: Response) -> Iterable[tuple[str, str]]:
    """Return the safe header fields that a response does not set itself; those of a resource set one."""
    if isinstance(response, Answer):
        return _SAFE_FOR_ANSWERS
    return [(name, value) for name, value in SAFE_HEADERS.items() if name not in response.headers]


_SAFE_FOR_ANSWERS = tuple((name, value) for name, value in SAFE_HEADERS.items() if name != "Cache-Control")


def _is_preflight(environ: dict[str, Any]) -> bool:
    return "HTTP_ORIGIN" in environ and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
