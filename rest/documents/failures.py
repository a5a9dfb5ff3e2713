"""JSON Schemas of failures (docs/compatibility.md#errors), by name, and the media types of those that depend on `Accept`."""

from http import HTTPStatus
from typing import Any

Document = dict[str, Any]

FAILURES: Document = {
    "AuthenticationFailure": {
        "type": "object",
        "properties": {"code": {"type": "integer", "enum": [401]}, "message": {"type": "string"}},
        "required": ["code", "message"],
        "additionalProperties": False,
    },
    "Error": {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
        "additionalProperties": False,
    },
    "Violation": {
        "type": "object",
        "properties": {"propertyPath": {"type": "string"}, "message": {"type": "string"}, "code": {"type": "string"}},
        "required": ["propertyPath", "message", "code"],
    },
    "Error.jsonld": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("@context", "@type", "hydra:title", "hydra:description")},
        "required": ["@context", "@type", "hydra:title", "hydra:description"],
    },
    "Problem": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("type", "title", "detail")},
        "required": ["type", "title", "detail"],
    },
}
_VIOLATIONS: Document = {"violations": {"type": "array", "items": {"$ref": "#/components/schemas/Violation"}}}
for _base, _name in (("Error.jsonld", "ConstraintViolationList.jsonld"), ("Problem", "ConstraintViolationList")):
    FAILURES[_name] = {
        "type": "object",
        "properties": FAILURES[_base]["properties"] | _VIOLATIONS,
        "required": [*FAILURES[_base]["required"], "violations"],
    }

#: What replaces some of them where API keys are taken: a refused key has no code (docs/compatibility.md#api-keys).
FAILURES_WITH_API_KEYS: Document = {
    "AuthenticationFailure": FAILURES["AuthenticationFailure"] | {"required": ["message"]},
}

#: Schemas by status and media type of the failures to read and to validate a request.
NEGOTIATED: dict[HTTPStatus, dict[str, str]] = {
    HTTPStatus.BAD_REQUEST: {
        "application/problem+json": "Problem",
        "application/ld+json": "Error.jsonld",
        "application/json": "Error",
    },
    HTTPStatus.UNPROCESSABLE_ENTITY: {
        "application/problem+json": "ConstraintViolationList",
        "application/ld+json": "ConstraintViolationList.jsonld",
    },
}
