"""Errors while reading a request, and the only function that turns an error into a body (docs/compatibility.md#errors)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import BadRequest, HTTPException, Unauthorized, UnprocessableEntity
from werkzeug.http import HTTP_STATUS_CODES

TITLE = "An error occurred"

# API Platform's text, which clients compare.
_PROBLEM_TYPE = "https://tools.ietf.org/html/rfc2616#section-10"

JSON, JSON_LD, PROBLEM = "application/json", "application/ld+json; charset=utf-8", "application/problem+json; charset=utf-8"

#: The media types of the errors that are representations of a resource.
REPRESENTATIONS = frozenset(content_type.partition(";")[0] for content_type in (JSON_LD, PROBLEM))

Body = Mapping[str, Any]


class UnreadableRequest(BadRequest):
    """400 for a body that cannot be read; clients see the description."""

    error_code = "invalid_body"


class MalformedBody(UnreadableRequest):
    """400 for a body that is not JSON."""

    error_code = "malformed_json"


class UnreadableQuery(UnreadableRequest):
    """400 for a query that cannot be read."""

    error_code = "invalid_query"


@dataclass(frozen=True, slots=True)
class Violation:
    """A constraint that a property breaks. The code is Symfony's, which clients use to tell constraints apart."""

    property_path: str
    message: str
    code: str


class ValidationFailed(UnprocessableEntity):
    """422 with every violation of a readable body."""

    error_code = "validation_failed"

    def __init__(self, violations: list[Violation]) -> None:
        """Take the violations in the order in which clients see them."""
        super().__init__("\n".join(f"{violation.property_path}: {violation.message}" for violation in violations))
        self.violations = violations


def problem_body(error: HTTPException, as_problem_json: bool) -> tuple[Body, str]:
    """Return the body of an error and its content type.

    An authentication failure is `{"code", "message"}`, without the code if it has no challenge. An unreadable or invalid request
    is a problem document (RFC 9457) or in Hydra's form. Any other error is `{"error"}`.
    """
    description = error.description or HTTP_STATUS_CODES.get(error.code or 500, "")
    if isinstance(error, Unauthorized):
        code = {"code": error.code} if error.www_authenticate else {}
        return code | {"message": description}, JSON
    if not isinstance(error, UnreadableRequest | ValidationFailed):
        return {"error": description}, JSON
    violations = [_violation(violation) for violation in getattr(error, "violations", [])]
    more = {"violations": violations} if violations else {}
    if as_problem_json:
        return {"type": _PROBLEM_TYPE, "title": TITLE, "detail": description} | more, PROBLEM
    return _hydra_error("ConstraintViolationList" if violations else "Error", description) | more, JSON_LD


def _violation(violation: Violation) -> Body:
    return {"propertyPath": violation.property_path, "message": violation.message, "code": violation.code}


def _hydra_error(name: str, description: str) -> dict[str, Any]:
    return {
        "@context": f"/api/contexts/{name}",
        "@type": "hydra:Error" if name == "Error" else name,
        "hydra:title": TITLE,
        "hydra:description": description,
    }
