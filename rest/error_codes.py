"""The words for the causes of failures, which error answers carry in `X-Error-Code` (docs/errors.md).

A class of failures may define a word of its own in the attribute `error_code`. The others use the word for their status.
"""

from werkzeug.exceptions import HTTPException

HEADER = "X-Error-Code"

#: The word of a 404 for a path without a route; any other 404 is about a resource.
ROUTE_NOT_FOUND = "route_not_found"

INTERNAL_ERROR = "internal_error"

#: The words of failures whose class has none of its own, by status.
OF_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "access_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    409: "conflict",
    412: "precondition_failed",
    413: "body_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    417: "expectation_failed",
    422: "validation_failed",
    429: "too_many_requests",
    431: "header_fields_too_large",
    500: INTERNAL_ERROR,
    501: "not_implemented",
    503: "service_unavailable",
}


def error_code(error: HTTPException) -> str:
    """Return the word for a failure."""
    return getattr(error, "error_code", "") or OF_STATUS.get(error.code or 500, INTERNAL_ERROR)
