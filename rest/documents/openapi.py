"""The OpenAPI 3.1 document, built from the declarations of the operations."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from rest.documents.failures import FAILURES, FAILURES_WITH_API_KEYS, NEGOTIATED
from rest.format import BodyType, Format, leading_first
from rest.formats import FORMATS
from rest.operation import Operation, RoutedOperation, Shape
from rest.pagination import DEFAULT_ITEMS_PER_PAGE
from rest.resource import Filter, Resource
from rest.schema import MAX_ID, example_body, reference, schema_name, write_schema

Document = dict[str, Any]

#: Chamilo's own title; clients show it.
TITLE = "Chamilo Api"

_HEAD: Document = {
    "openapi": "3.1.0",
    "info": {
        "title": TITLE,
        "description": "Sign in, and manage users.",
        "version": "1.0.0",
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "servers": [{"url": "/", "description": ""}],
}


_SCHEMES: Document = {"JWT": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}

_KEY_SCHEMES: Document = {
    "ApiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "chamilo_ext_…", "description": "An API key of a user"}
}


def build_openapi(operations: Sequence[RoutedOperation], *, takes_api_keys: bool = False) -> Document:
    """Describe every declared operation; with `takes_api_keys`, also the second way to authenticate a request."""
    paths: Document = {}
    for routed in operations:
        paths.setdefault(routed.path, {})[routed.method.lower()] = _operation(routed, takes_api_keys=takes_api_keys)
    declared = [routed.operation for routed in operations]
    schemes = _SCHEMES | _KEY_SCHEMES if takes_api_keys else _SCHEMES
    failures = FAILURES | FAILURES_WITH_API_KEYS if takes_api_keys else FAILURES
    return _HEAD | {
        "paths": paths,
        "components": {
            "schemas": failures | _resource_schemas(declared) | _body_schemas(declared),
            "securitySchemes": schemes,
        },
        "security": [{name: []} for name in schemes],
        "tags": [tag._asdict() for tag in dict.fromkeys(operation.tag for operation in declared)],
    }


def _operation(routed: RoutedOperation, *, takes_api_keys: bool) -> Document:
    path, operation = routed.path, routed.operation
    described: Document = {"operationId": operation.id, "tags": [operation.tag.name], "summary": operation.summary}
    if parameters := [*_path_parameters(path, operation), *_query_parameters(operation)]:
        described["parameters"] = parameters
    if body := _request_body(operation):
        described["requestBody"] = body
    described["responses"] = {str(operation.status.value): _success(operation)} | {
        str(status.value): _failure(status, operation) for status in sorted(operation.failures)
    }
    if routed.is_public:
        described["security"] = []
    elif routed.needs_sign_in and takes_api_keys:
        described["security"] = [{name: []} for name in _SCHEMES]
    return described


def _path_parameters(path: str, operation: Operation) -> list[Document]:
    schema = operation.id_schema or {"type": "integer", "minimum": 1, "maximum": MAX_ID}
    return (
        [{"name": "id", "in": "path", "description": "Identifier", "required": True, "schema": schema}] if "{id}" in path else []
    )


def _query_parameters(operation: Operation) -> list[Document]:
    if operation.shape is not Shape.COLLECTION or operation.resource is None:
        return []
    per_page = {"type": "integer", "default": DEFAULT_ITEMS_PER_PAGE, "minimum": 0}
    return [
        _query("page", "The collection page number", {"type": "integer", "default": 1, "minimum": 1}),
        _query("itemsPerPage", "The number of items per page. 0 returns only the total. Non-numeric text counts as 0.", per_page),
        *(_filter(filter_) for filter_ in operation.resource.search),
    ]


def _query(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": description, "required": False, "schema": schema}


def _filter(filter_: Filter) -> Document:
    schema = {"type": "array", "items": {"type": "string"}} if filter_.is_list else {"type": "string"}
    return _query(filter_.variable, filter_.description or _filter_description(filter_), schema)


def _filter_description(filter_: Filter) -> str:
    if filter_.variable.startswith("order["):
        return "`asc` or `desc`; other values are ignored."
    if filter_.is_boolean:
        return "`true`, `1`, `false` or `0`; other values are ignored."
    return "Matches any part of the text; ignores case and accents."


def _request_body(operation: Operation) -> Document | None:
    if operation.request_schema is not None:
        content: Document = {"application/json": {"schema": operation.request_schema, "example": operation.example}}
    elif operation.takes and operation.resource:
        content = {
            body_type.media_type: _body_content(body_type, operation, operation.resource)
            for body_type in _listed(leading_first(operation.takes))
        }
    else:
        return None
    return {"content": content, "required": operation.needs_body}


def _listed(body_types: Iterable[BodyType]) -> list[BodyType]:
    return [body_type for body_type in body_types if body_type.listed]


def _body_content(body_type: BodyType, operation: Operation, resource: Resource) -> Document:
    body = operation.body or resource
    example = body_type.example(resource, example_body(body, complete=operation.complete))
    return {"schema": reference(_body_name(body_type, operation, resource)), "example": example}


def _body_name(body_type: BodyType, operation: Operation, resource: Resource) -> str:
    """Name the schema of a body: after the resource, or after the operation if its body is declared apart."""
    if operation.body:
        return f"{resource.name}{body_type.infix}-{operation.id}"
    return schema_name(resource, "write" if operation.complete else "patch", body_type.infix)


def _body_schemas(operations: Iterable[Operation]) -> Document:
    """Describe the bodies that operations take. Client generators lose schemas without names."""
    return {
        _body_name(body_type, operation, operation.resource): body_type.schema(
            write_schema(operation.body or operation.resource, complete=operation.complete), complete=operation.complete
        )
        for operation in operations
        if operation.resource
        for body_type in _listed(operation.takes)
    }


def _success(operation: Operation) -> Document:
    if operation.response_schema is not None:
        return {"description": operation.summary, "content": {"application/json": {"schema": operation.response_schema}}}
    if operation.shape is Shape.NOTHING or operation.resource is None:
        return {"description": operation.summary}
    content = {
        media_type: {"schema": _answer_schema(format_, operation.shape, operation.resource)}
        for format_ in leading_first(FORMATS.values())
        for media_type in format_.media_types
    }
    return {"description": operation.summary, "content": content}


def _answer_schema(format_: Format, shape: Shape, resource: Resource) -> Document:
    return format_.collection_schema(resource) if shape is Shape.COLLECTION else format_.item_schema(resource)


def _failure(status: HTTPStatus, operation: Operation) -> Document:
    if status is HTTPStatus.UNAUTHORIZED:
        schemas = {"application/json": "AuthenticationFailure"}
    elif operation.resource and status in NEGOTIATED and not (status is HTTPStatus.BAD_REQUEST and operation.refuses_plainly):
        schemas = NEGOTIATED[status]
    else:
        schemas = {"application/json": "Error"}
    content = {media_type: {"schema": reference(name)} for media_type, name in schemas.items()}
    return {"description": status.phrase, "content": content}


def _resource_schemas(operations: Iterable[Operation]) -> Document:
    """Describe each resource as every format shows it and as every body type writes it."""
    schemas: Document = {}
    formats = leading_first(FORMATS.values())
    for resource in dict.fromkeys(operation.resource for operation in operations if operation.resource):
        for format_ in formats:
            schemas |= format_.schemas(resource)
        for suffix, complete in (("write", True), ("patch", False)) if resource.writable else ():
            written = write_schema(resource, complete=complete)
            for body_type in _listed(format_.body for format_ in formats if format_.body):
                schemas[schema_name(resource, suffix, body_type.infix)] = body_type.schema(written, complete=complete)
    return schemas
