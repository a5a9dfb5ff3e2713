"""The OpenAPI 3.1 document, built from the declarations of the operations."""

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from rest.documents import Document
from rest.documents.examples import answer_example, failure_in
from rest.documents.failures import FAILURES_WITH_API_KEYS
from rest.documents.parameters import parameters_of
from rest.documents.selection import Selection
from rest.error_codes import HEADER
from rest.format import TOTAL_HEADER, BodyType, Format
from rest.operation import Operation, RoutedOperation, Shape
from rest.problem import JSON
from rest.resource import Resource
from rest.schema import SCHEMAS, TEXT, reference, schema_name, write_schema

#: Chamilo's own title; clients show it.
TITLE = "Chamilo Api"


_INFO: Document = {
    "title": TITLE,
    "description": (
        "Sign in, and manage users.\n\nTo generate a client, use the document of plain JSON, "
        "[`/api/docs.jsonopenapi?suffix=json`](/api/docs.jsonopenapi?suffix=json). Its paths end in `.json`, so a client "
        "needs no `Accept` header."
    ),
    "contact": {"name": "Poort"},
    "license": {"name": "MIT", "identifier": "MIT"},
}

_SCHEMES: Document = {
    "JWT": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of a sign-in"},
}

_KEY_SCHEMES: Document = {
    "ApiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "chamilo_ext_…", "description": "An API key of a user"}
}

_ERROR_CODE, _TOTAL = "ErrorCode", "TotalCount"

_HEADERS: Document = {
    _ERROR_CODE: {"description": "A stable word for the cause", "required": True, "schema": TEXT, "example": "token_expired"},
    _TOTAL: {"description": "The number of all items", "schema": {"type": "integer", "minimum": 0}, "example": 1},
}


def build_openapi(operations: Sequence[RoutedOperation], selection: Selection, *, version: str, takes_api_keys: bool) -> Document:
    """Describe every declared operation. With `takes_api_keys`, describe API keys as a second way to authenticate."""
    declared = [routed.operation for routed in operations]
    paths = _paths(operations, selection, takes_api_keys=takes_api_keys)
    schemes = _SCHEMES | _KEY_SCHEMES if takes_api_keys else _SCHEMES
    failures = selection.dialect.failure_schemas.schemas | (FAILURES_WITH_API_KEYS if takes_api_keys else {})
    schemas = failures | _resource_schemas(declared, selection) | _body_schemas(declared, selection)
    document = {
        "openapi": "3.1.0",
        "info": _INFO | {"version": version},
        "servers": [{"url": selection.server_url, "description": "This server"}],
        "paths": paths,
        "components": {
            "schemas": {selection.schema_name(name): schema for name, schema in _used(schemas, paths)},
            "headers": _HEADERS,
            "securitySchemes": schemes,
        },
        "security": [{name: []} for name in schemes],
        "tags": [tag._asdict() for tag in dict.fromkeys(operation.tag for operation in declared)],
    }
    renamed: Document = _renamed(document, {f"{SCHEMAS}{name}": f"{SCHEMAS}{selection.schema_name(name)}" for name in schemas})
    return renamed


def _paths(operations: Iterable[RoutedOperation], selection: Selection, *, takes_api_keys: bool) -> Document:
    paths: Document = {}
    for routed in operations:
        described = _operation(routed, selection, takes_api_keys=takes_api_keys)
        paths.setdefault(selection.path(routed), {})[routed.method.lower()] = described
    return paths


def _operation(routed: RoutedOperation, selection: Selection, *, takes_api_keys: bool) -> Document:
    operation = routed.operation
    described: Document = {
        "operationId": operation.id,
        "tags": [operation.tag.name],
        "summary": operation.summary,
        "description": operation.description,
    }
    if parameters := parameters_of(routed.path, operation):
        described["parameters"] = parameters
    if body := _request_body(operation, selection):
        described["requestBody"] = body
    described["responses"] = {str(operation.status.value): _success(operation, selection)} | {
        str(status.value): _failure(status, operation, selection) for status in sorted(operation.failures)
    }
    if routed.is_public:
        described["security"] = []
    elif routed.needs_sign_in and takes_api_keys:
        described["security"] = [{name: []} for name in _SCHEMES]
    return described


def _request_body(operation: Operation, selection: Selection) -> Document | None:
    if operation.request_schema is not None:
        content: Document = {JSON: {"schema": operation.request_schema, "example": operation.example}}
    elif operation.takes and operation.resource:
        content = {
            body_type.media_type: _body_content(body_type, operation, operation.resource)
            for body_type in selection.bodies(operation.takes)
        }
    else:
        return None
    return {"content": content, "required": operation.needs_body}


def _body_content(body_type: BodyType, operation: Operation, resource: Resource) -> Document:
    schema = reference(_body_name(body_type, operation, resource))
    return {"schema": schema} | ({"example": body_type.example(resource, operation.example)} if operation.example else {})


def _body_name(body_type: BodyType, operation: Operation, resource: Resource) -> str:
    """Name the schema of a body after the resource, or after the operation if the operation declares a body of its own."""
    if operation.body:
        return f"{resource.name}{body_type.infix}-{operation.id}"
    return schema_name(resource, "write" if operation.complete else "patch", body_type.infix)


def _body_schemas(operations: Iterable[Operation], selection: Selection) -> Document:
    """Describe the bodies that operations take. Each gets a name, since client generators lose schemas without one."""
    return {
        _body_name(body_type, operation, operation.resource): body_type.schema(
            write_schema(operation.body or operation.resource, complete=operation.complete), complete=operation.complete
        )
        for operation in operations
        if operation.resource
        for body_type in selection.bodies(operation.takes)
    }


def _success(operation: Operation, selection: Selection) -> Document:
    described: Document = {"description": operation.summary}
    if operation.response_schema is not None:
        content = {"schema": operation.response_schema, "example": operation.response_example}
        described["content"] = {JSON: content}
    elif operation.shape is not Shape.NOTHING and operation.resource:
        if operation.shape is Shape.COLLECTION and any(format_.total_in_header for format_ in selection.formats):
            described["headers"] = {TOTAL_HEADER: {"$ref": f"#/components/headers/{_TOTAL}"}}
        described["content"] = {
            media_type: _answer(format_, operation, operation.resource)
            for format_ in selection.formats
            for media_type in format_.media_types
        }
    return described


def _answer(format_: Format, operation: Operation, resource: Resource) -> Document:
    describe = format_.collection_schema if operation.shape is Shape.COLLECTION else format_.item_schema
    return {"schema": describe(resource), "example": answer_example(operation, resource, format_)}


def _failure(status: HTTPStatus, operation: Operation, selection: Selection) -> Document:
    plainly = operation.resource is None or (status is HTTPStatus.BAD_REQUEST and operation.refuses_plainly)
    schemas = None if plainly else selection.failures(status)
    if schemas is None:
        schemas = {JSON: "AuthenticationFailure" if status is HTTPStatus.UNAUTHORIZED else "Error"}
    content = {
        media_type: {"schema": reference(name), "example": _failure_example(status, operation, media_type, name, selection)}
        for media_type, name in schemas.items()
    }
    headers = {HEADER: {"$ref": f"#/components/headers/{_ERROR_CODE}"}}
    return {"description": status.phrase, "headers": headers, "content": content}


def _failure_example(status: HTTPStatus, operation: Operation, media_type: str, name: str, selection: Selection) -> Any:
    failure = failure_in(status, operation, media_type)
    return selection.dialect.body_of(failure, lambda: not name.endswith(".jsonld")).body


def _resource_schemas(operations: Iterable[Operation], selection: Selection) -> Document:
    """Describe each resource as every format shows it."""
    schemas: Document = {}
    for resource in dict.fromkeys(operation.resource for operation in operations if operation.resource):
        for format_ in selection.formats:
            schemas |= format_.schemas(resource)
    return schemas


def _used(schemas: Document, paths: Document) -> list[tuple[str, Document]]:
    """Return the schemas to which paths refer, directly or through other schemas, in the order of `schemas`."""
    names, found = set(_references(paths)), set[str]()
    while names:
        found |= names
        names = {inner for name in names for inner in _references(schemas[name])} - found
    return [(name, schema) for name, schema in schemas.items() if name in found]


def _references(value: Any) -> Iterator[str]:
    """Yield the names of the schemas to which a part of the document refers."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(inner, str) and inner.startswith(SCHEMAS):
            yield inner.removeprefix(SCHEMAS)
        yield from _references(inner)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """Copy a part of the document, and replace texts as `names` says. Without a copy, shared parts would get anchors in YAML."""
    if isinstance(value, dict):
        return {key: _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value
