"""JSON Schemas of failures (docs/compatibility.md#errors), by name, and the media types of those that depend on `Accept`."""

from http import HTTPStatus
from typing import Any, NamedTuple

from rest.schema import reference

Document = dict[str, Any]

_PROBLEM, _JSON_LD, _JSON = "application/problem+json", "application/ld+json", "application/json"


class FailureSchemas(NamedTuple):
    """The schemas of all failures by name, and those of failures to read and to validate a request.

    `of_json` has the names of the latter, by status and media type, where an answer is plain JSON, `of_json_ld` where it is in
    any other format, and `of_all` where the client chooses.
    """

    schemas: Document
    of_all: dict[HTTPStatus, dict[str, str]]
    of_json: dict[HTTPStatus, dict[str, str]]
    of_json_ld: dict[HTTPStatus, dict[str, str]]


def _object(properties: Document, **more: Any) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties), **more}


def _texts(*names: str) -> Document:
    return {name: {"type": "string"} for name in names}


_PLAIN: Document = {
    "AuthenticationFailure": _object(
        {"code": {"type": "integer", "enum": [401]}} | _texts("message"), additionalProperties=False
    ),
    "Error": _object(_texts("error"), additionalProperties=False),
    "Violation": _object(_texts("propertyPath", "message", "code")),
}
_VIOLATIONS: Document = {"violations": {"type": "array", "items": reference("Violation")}}
_STATUS: Document = {"status": {"type": "integer"}}

_HYDRA_OF_2 = _texts("@context", "@type", "hydra:title", "hydra:description")
_PROBLEM_OF_2 = _texts("type", "title", "detail")

_HYDRA_OF_3 = _texts("@context", "@id", "@type", "detail") | _STATUS | _texts("type", "hydra:description", "hydra:title")
_PROBLEM_OF_3 = _texts("title", "detail") | _STATUS | _texts("type")


def _chosen(problem: str, violations: str, media_type: str) -> dict[HTTPStatus, dict[str, str]]:
    return {HTTPStatus.BAD_REQUEST: {media_type: problem}, HTTPStatus.UNPROCESSABLE_ENTITY: {media_type: violations}}


#: Chamilo 2 has one media type for each form.
OF_2 = FailureSchemas(
    _PLAIN
    | {
        "Error.jsonld": _object(_HYDRA_OF_2),
        "Problem": _object(_PROBLEM_OF_2),
        "ConstraintViolationList.jsonld": _object(_HYDRA_OF_2 | _VIOLATIONS),
        "ConstraintViolationList": _object(_PROBLEM_OF_2 | _VIOLATIONS),
    },
    {
        HTTPStatus.BAD_REQUEST: {_PROBLEM: "Problem", _JSON_LD: "Error.jsonld", _JSON: "Error"},
        HTTPStatus.UNPROCESSABLE_ENTITY: {_PROBLEM: "ConstraintViolationList", _JSON_LD: "ConstraintViolationList.jsonld"},
    },
    _chosen("Problem", "ConstraintViolationList", _PROBLEM),
    _chosen("Error.jsonld", "ConstraintViolationList.jsonld", _JSON_LD),
)

#: Chamilo 3 has one media type for both forms, so that a schema must fit either.
OF_3 = FailureSchemas(
    _PLAIN
    | {
        "Error.jsonld": _object(_HYDRA_OF_3),
        "Problem": _object(_PROBLEM_OF_3),
        "ConstraintViolation.jsonld": _object(_HYDRA_OF_3 | _VIOLATIONS),
        "ConstraintViolation": _object(_PROBLEM_OF_3 | _VIOLATIONS),
        "Problem.any": {"anyOf": [reference("Problem"), reference("Error.jsonld")]},
        "ConstraintViolation.any": {"anyOf": [reference("ConstraintViolation"), reference("ConstraintViolation.jsonld")]},
    },
    {
        HTTPStatus.BAD_REQUEST: {_PROBLEM: "Problem.any", _JSON: "Error"},
        HTTPStatus.UNPROCESSABLE_ENTITY: {_PROBLEM: "ConstraintViolation.any"},
    },
    _chosen("Problem", "ConstraintViolation", _PROBLEM),
    _chosen("Error.jsonld", "ConstraintViolation.jsonld", _PROBLEM),
)

#: What replaces some of them where API keys are taken: a refused key has no code (docs/compatibility.md#api-keys).
FAILURES_WITH_API_KEYS: Document = {
    "AuthenticationFailure": _PLAIN["AuthenticationFailure"] | {"required": ["message"]},
}
