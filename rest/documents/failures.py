"""JSON Schemas of failures (docs/compatibility.md#errors) and, for failures that depend on `Accept`, their media types."""

from http import HTTPStatus
from typing import NamedTuple

from rest.documents import Document
from rest.problem import JSON, JSON_LD, PROBLEM
from rest.schema import TEXT, object_schema, reference


class FailureSchemas(NamedTuple):
    """The schemas of failures by name, and which of them describe unreadable and invalid requests (400 and 422).

    The last three fields map a status and a media type to the name of a schema: `of_all` in a document of all formats, `of_json`
    in a document of plain JSON only, and `of_json_ld` in a document of any other single format.
    """

    schemas: Document
    of_all: dict[HTTPStatus, dict[str, str]]
    of_json: dict[HTTPStatus, dict[str, str]]
    of_json_ld: dict[HTTPStatus, dict[str, str]]


def _texts(*names: str) -> Document:
    return dict.fromkeys(names, TEXT)


_NOTHING_ELSE = {"additionalProperties": False}

_PLAIN: Document = {
    "AuthenticationFailure": object_schema(code={"type": "integer", "enum": [401]}, message=TEXT) | _NOTHING_ELSE,
    "Error": object_schema(error=TEXT) | _NOTHING_ELSE,
    "Violation": object_schema(propertyPath=TEXT, message=TEXT, code=TEXT),
}
_VIOLATIONS: Document = {"violations": {"type": "array", "items": reference("Violation")}}
_STATUS: Document = {"status": {"type": "integer"}}


def _schemas(hydra: Document, problem: Document, list_name: str) -> Document:
    return _PLAIN | {
        "Error.jsonld": object_schema(**hydra),
        "Problem": object_schema(**problem),
        f"{list_name}.jsonld": object_schema(**hydra | _VIOLATIONS),
        list_name: object_schema(**problem | _VIOLATIONS),
    }


def _chosen(problem: str, violations: str, media_type: str) -> dict[HTTPStatus, dict[str, str]]:
    return {HTTPStatus.BAD_REQUEST: {media_type: problem}, HTTPStatus.UNPROCESSABLE_ENTITY: {media_type: violations}}


#: In Chamilo 2, each form of a failure has a media type of its own.
OF_2 = FailureSchemas(
    _schemas(
        _texts("@context", "@type", "hydra:title", "hydra:description"),
        _texts("type", "title", "detail"),
        "ConstraintViolationList",
    ),
    {
        HTTPStatus.BAD_REQUEST: {PROBLEM: "Problem", JSON_LD: "Error.jsonld", JSON: "Error"},
        HTTPStatus.UNPROCESSABLE_ENTITY: {PROBLEM: "ConstraintViolationList", JSON_LD: "ConstraintViolationList.jsonld"},
    },
    _chosen("Problem", "ConstraintViolationList", PROBLEM),
    _chosen("Error.jsonld", "ConstraintViolationList.jsonld", JSON_LD),
)

#: In Chamilo 3, both forms have the same media type, so the schema for it must accept either.
OF_3 = FailureSchemas(
    _schemas(
        _texts("@context", "@id", "@type", "detail") | _STATUS | _texts("type", "hydra:description", "hydra:title"),
        _texts("title", "detail") | _STATUS | _texts("type"),
        "ConstraintViolation",
    )
    | {
        "Problem.any": {"anyOf": [reference("Problem"), reference("Error.jsonld")]},
        "ConstraintViolation.any": {"anyOf": [reference("ConstraintViolation"), reference("ConstraintViolation.jsonld")]},
    },
    {
        HTTPStatus.BAD_REQUEST: {PROBLEM: "Problem.any", JSON: "Error"},
        HTTPStatus.UNPROCESSABLE_ENTITY: {PROBLEM: "ConstraintViolation.any"},
    },
    _chosen("Problem", "ConstraintViolation", PROBLEM),
    _chosen("Error.jsonld", "ConstraintViolation.jsonld", PROBLEM),
)

#: Replaces a schema if API keys are accepted: the answer to a refused key has no `code` (docs/compatibility.md#api-keys).
FAILURES_WITH_API_KEYS: Document = {"AuthenticationFailure": _PLAIN["AuthenticationFailure"] | {"required": ["message"]}}
