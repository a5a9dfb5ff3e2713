"""Errors while reading a request, and the only functions that turn errors into bodies (docs/compatibility.md#errors)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, Unauthorized, UnprocessableEntity
from werkzeug.http import HTTP_STATUS_CODES

TITLE = "An error occurred"

# API Platform's text, which clients compare.
_PROBLEM_TYPE = "https://tools.ietf.org/html/rfc2616#section-10"

JSON, JSON_LD, PROBLEM = "application/json", "application/ld+json", "application/problem+json"

#: The media types of the documents of failures.
REPRESENTATIONS = frozenset((JSON_LD, PROBLEM))

_UTF_8 = "; charset=utf-8"

Body = Mapping[str, Any]
Fields = tuple[tuple[str, str], ...]

_VARY: Fields = (("Vary", "Accept"),)
_OF_JSON_LD: Fields = (*_VARY, ("Link", '<http://www.w3.org/ns/hydra/error>; rel="http://www.w3.org/ns/json-ld#error"'))


class FailureBody(NamedTuple):
    """The body of a failure, its content type, and the header fields that its form adds."""

    body: Body
    content_type: str = JSON
    fields: Fields = ()


class InvalidKey(BadRequest):
    """400 without a document: a key of the body is missing, or its value has a wrong type."""

    error_code = "invalid_body"


class MalformedJson(BadRequest):
    """400 without a document: the body is not a JSON object."""

    error_code = "malformed_json"


class UnreadableRequest(BadRequest):
    """400 for a body that cannot be read; clients see the description."""

    error_code = "invalid_body"


class MalformedBody(UnreadableRequest):
    """400 for a body that is not JSON."""

    error_code = "malformed_json"


class UnreadableQuery(UnreadableRequest):
    """400 for a query that cannot be read."""

    error_code = "invalid_query"


class Violation(NamedTuple):
    """A constraint that a property breaks. The code is Symfony's, which clients use to tell constraints apart."""

    property_path: str
    message: str
    code: str


class OperationFailed(InternalServerError):
    """500 of an operation on a resource."""

    description = "Internal Server Error"


class ValidationFailed(UnprocessableEntity):
    """422 with every violation of a readable body."""

    error_code = "validation_failed"

    def __init__(self, violations: list[Violation]) -> None:
        """Take the violations in the order in which clients see them."""
        super().__init__("\n".join(f"{violation.property_path}: {violation.message}" for violation in violations))
        self.violations = violations


def plain_body(error: HTTPException) -> FailureBody:
    """Return the body of a failure that gets no document.

    The body is `{"error"}`. For an authentication failure it is `{"code", "message"}`, or `{"message"}` if there is no challenge.
    """
    description = describe(error)
    if isinstance(error, Unauthorized):
        code = {"code": error.code} if error.www_authenticate else {}
        return FailureBody(code | {"message": description})
    return FailureBody({"error": description})


def describe(error: HTTPException) -> str:
    """Return the text of a failure for clients."""
    return error.description or HTTP_STATUS_CODES.get(error.code or 500, "")


def document_of_2(error: HTTPException, as_problem_json: bool) -> FailureBody:
    """Return Chamilo 2's document of an unreadable or invalid request: Hydra's form, or a problem document (RFC 7807)."""
    violations, description = _violations(error), describe(error)
    if as_problem_json:
        return FailureBody({"type": _PROBLEM_TYPE, "title": TITLE, "detail": description} | violations, PROBLEM + _UTF_8)
    name = "ConstraintViolationList" if violations else "Error"
    body = {
        "@context": f"/api/contexts/{name}",
        "@type": "hydra:Error" if name == "Error" else name,
        "hydra:title": TITLE,
        "hydra:description": description,
    }
    return FailureBody(body | violations, JSON_LD + _UTF_8)


def document_of_3(error: HTTPException, as_problem_json: bool) -> FailureBody:
    """Return Chamilo 3's document of a failure: a problem document (RFC 9457), to which Hydra's form adds its own terms."""
    violations, detail = _violations(error), describe(error)
    if violations:
        what = f"validation_errors/{_codes(violations['violations'])}"
        told = {"status": error.code, **violations, "detail": detail, "type": f"/{what}"}
    else:
        what = f"errors/{error.code}"
        told = {"detail": detail, "status": error.code, "type": f"/{what}"}
    if as_problem_json:
        return FailureBody(told | {"title": TITLE} if violations else {"title": TITLE} | told, PROBLEM + _UTF_8, _VARY)
    return FailureBody(in_hydra_form(f"/api/{what}", TITLE, told), PROBLEM + _UTF_8, _OF_JSON_LD)


def in_hydra_form(iri: str, title: str, told: Body) -> Body:
    """Add the members of JSON-LD and Hydra to those of a problem document, as Chamilo 3 does."""
    name = "ConstraintViolation" if "violations" in told else "Error"
    return {
        "@context": f"/api/contexts/{name}",
        "@id": iri,
        "@type": "hydra:Error" if name == "Error" else name,
        **told,
        "hydra:description": told["detail"],
        "hydra:title": title,
    }


def _violations(error: HTTPException) -> dict[str, list[Body]]:
    violations: list[Violation] = getattr(error, "violations", [])
    told: list[Body] = [{"propertyPath": path, "message": message, "code": code} for path, message, code in violations]
    return {"violations": told} if told else {}


def _codes(violations: list[Body]) -> str:
    codes = [violation["code"] for violation in violations]
    return codes[0] if len(codes) == 1 else ";".join(f"{place}={code}" for place, code in enumerate(codes))
