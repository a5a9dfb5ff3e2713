"""What can go wrong between a request and its answer, and the only place where a failure becomes a body (contract 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import BadRequest, HTTPException, Unauthorized, UnprocessableEntity
from werkzeug.http import HTTP_STATUS_CODES

TITLE = "An error occurred"

# Fixed by API Platform: clients match it as text.
_PROBLEM_TYPE = "https://tools.ietf.org/html/rfc2616#section-10"

JSON, JSON_LD, PROBLEM = "application/json", "application/ld+json; charset=utf-8", "application/problem+json; charset=utf-8"


class UnreadableRequest(BadRequest):
    """A body or a query that cannot be read: 400 in the third shape; `description` goes on the wire."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One constraint that one property breaks; the code is Symfony's, so that clients can tell constraints apart."""

    property_path: str
    message: str
    code: str


class ValidationFailed(UnprocessableEntity):
    """A body that can be read and breaks constraints: 422 with all of them."""

    def __init__(self, violations: list[Violation]) -> None:
        """Take the violations in the order in which they are shown."""
        super().__init__("\n".join(f"{violation.property_path}: {violation.message}" for violation in violations))
        self.violations = violations


def problem_body(error: HTTPException, as_problem_json: bool) -> tuple[Mapping[str, Any], str]:
    """Return the body of a failure and its content type.

    Authentication failures are `{"code", "message"}`, failures of reading and validating are `hydra:Error` or
    `ConstraintViolationList`, or a problem document where `as_problem_json`, and all else is `{"error"}`.
    """
    description = error.description or HTTP_STATUS_CODES.get(error.code or 500, "")
    if isinstance(error, Unauthorized):
        return {"code": error.code, "message": description}, JSON
    if not isinstance(error, UnreadableRequest | ValidationFailed):
        return {"error": description}, JSON
    violations = [
        {"propertyPath": violation.property_path, "message": violation.message, "code": violation.code}
        for violation in getattr(error, "violations", [])
    ]
    if as_problem_json:
        body = {"type": _PROBLEM_TYPE, "title": TITLE, "detail": description}
        return body | ({"violations": violations} if violations else {}), PROBLEM
    name = "ConstraintViolationList" if violations else "Error"
    body = {
        "@context": f"/api/contexts/{name}",
        "@type": name if violations else f"hydra:{name}",
        "hydra:title": TITLE,
        "hydra:description": description,
    }
    return body | ({"violations": violations} if violations else {}), JSON_LD
