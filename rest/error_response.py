"""Responses to requests that fail, and to paths without a route (docs/compatibility.md#routing)."""

from collections.abc import Callable

from flask import Request, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter

from rest.dialect import Dialect
from rest.encoding import encode_json
from rest.error_codes import HEADER, ROUTE_NOT_FOUND, error_code
from rest.paths import origin_of, raw_path

# The order of methods in Symfony's `Allow`.
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def error_response(
    error: HTTPException, request: Request, routes: MapAdapter | None, dialect: Dialect, *, as_problem_json: Callable[[], bool]
) -> Response:
    """Answer a failed request. A GET with a superfluous slash at the end is redirected if `routes` has the path without it."""
    if error.response is not None:  # a redirect of Werkzeug's
        return error.response  # type: ignore[return-value]
    code = error_code(error)
    if request.routing_exception is error:
        if isinstance(error, NotFound):
            if routes and _exists_without_slash(request, routes):
                return _redirect_without_slash(request)
            code = ROUTE_NOT_FOUND
        error.description = _route_not_found(error, request)
    body, content_type, fields = dialect.body_of(error, as_problem_json)
    headers = [(HEADER, code), *fields]
    response = Response(encode_json(body), error.code, content_type=content_type, headers=headers)
    for name, value in error.get_headers():
        if name not in {"Content-Type", "Content-Length"}:
            response.headers[name] = value
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = _allowed(error)
    return response


def _route_not_found(error: HTTPException, request: Request) -> str:
    """Return Symfony's text, with the raw path and without the query."""
    text = f'No route found for "{request.method} {origin_of(request)}{raw_path(request.environ)}"'
    return f"{text}: Method Not Allowed (Allow: {_allowed(error)})" if isinstance(error, MethodNotAllowed) else text


def _allowed(error: MethodNotAllowed) -> str:
    return ", ".join(method for method in _METHODS if method in (error.valid_methods or ()))


def _exists_without_slash(request: Request, routes: MapAdapter) -> bool:
    path = request.path.rstrip("/")
    return request.method in {"GET", "HEAD"} and path not in {"", request.path} and routes.test(path, "GET")


def _redirect_without_slash(request: Request) -> Response:
    query = f"?{request.query_string.decode(errors='replace')}" if request.query_string else ""
    target = f"{origin_of(request)}{raw_path(request.environ).rstrip('/')}{query}"
    return Response(status=301, headers={"Location": target})
