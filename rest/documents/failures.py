"""JSON Schema of the bodies of failures (contract 4), by name, and which of them a status of a resource has."""

from http import HTTPStatus
from typing import Any

Document = dict[str, Any]

#: The bodies of failures, by the name of their schema (contract 4).
FAILURES: Document = {
    "AuthenticationFailure": {
        "type": "object",
        "properties": {"code": {"type": "integer", "const": 401}, "message": {"type": "string"}},
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

# Failures in the third shape, by status: media type to schema.
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
