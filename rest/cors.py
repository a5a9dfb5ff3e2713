"""Cross-origin requests (Fetch standard, section 3.2) with a list of allowed origins, as nelmio's bundle answers them."""

import re
from re import Pattern

from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed

METHODS = "GET, OPTIONS, POST, PUT, PATCH, DELETE"
# The first five are Chamilo's, in its order. The fifth changes nothing here, but Chamilo's own pages always send it.
HEADERS = "content-type, authorization, preload, fields, x-prefer-html-errors, if-match, if-none-match, x-request-id"
# Scripts need no permission for the last four.
_SENDABLE = {*HEADERS.split(", "), "accept", "accept-language", "content-language", "origin"}
EXPOSED = "link"
EXPOSED_WITH_TOTAL = "link, x-total-count"
MAX_AGE_SECONDS = 3600


def cors_headers(origin: str, allowed: Pattern[str] | None, exposed: str = EXPOSED) -> dict[str, str]:
    """Return the header fields that let scripts of an origin read an answer. An origin that is not allowed gets none."""
    if allowed is None or not allowed.search(origin):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": exposed,
    }


def preflight_headers(origin: str, allowed: Pattern[str] | None) -> dict[str, str]:
    """Return the header fields that answer a preflight request. An origin that is not allowed gets none."""
    headers = cors_headers(origin, allowed)
    if not headers:
        return {}
    del headers["Access-Control-Expose-Headers"]
    return headers | {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
    }


def refused_preflight(method: str, headers: str) -> HTTPException | None:
    """Return the error for a preflight request that asks for a method or header field that scripts may not use, else None."""
    if method.upper() not in METHODS.split(", "):
        return MethodNotAllowed(METHODS.split(", "), "Method Not Allowed")
    asked = re.split(", *", headers.strip().lower()) if headers else []
    refused = [name for name in asked if name not in _SENDABLE]
    return BadRequest(f"Unauthorized header {refused[0]}") if refused else None
