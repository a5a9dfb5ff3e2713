"""The OpenAPI 3.1 document, from the declarations of the operations behind the routes."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from rest.body import JSON, JSON_API, JSON_LD, BodyType
from rest.documents.failures import FAILURES, NEGOTIATED
from rest.format import Format
from rest.formats import FORMATS
from rest.operation import Operation, RoutedOperation, Shape
from rest.pagination import DEFAULT_ITEMS_PER_PAGE
from rest.resource import Filter, Resource
from rest.schema import MAX_ID, example_body, reference, write_schema

Document = dict[str, Any]

TITLE, VERSION = "Chamilo Api", "1.0.0"


def build_openapi(operations: Iterable[RoutedOperation]) -> Document:
    """Describe every declared operation."""
    paths: Document = {}
    bodies: Document = {}
    resources: dict[str, Resource] = {}
    for path, method, operation, is_public in operations:
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, public=is_public)
        if operation.resource:
            resources[operation.resource.name] = operation.resource
            bodies |= _own_bodies(operation, operation.resource)
    schemas = dict(FAILURES)
    for resource in resources.values():
        schemas |= _schemas(resource)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "description": "Sign in, and manage users.",
            "version": VERSION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": ""}],
        "paths": paths,
        "components": {
            "schemas": schemas | bodies,
            "securitySchemes": {"JWT": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"JWT": []}],
        "tags": [{"name": "Login Check", "description": "Signing in"}, {"name": "User", "description": "Users"}],
    }


def _operation(path: str, operation: Operation, *, public: bool) -> Document:
    described: Document = {"operationId": operation.id, "tags": [operation.tag], "summary": operation.summary}
    if parameters := [*_path_parameters(path, operation), *_query_parameters(operation)]:
        described["parameters"] = parameters
    if body := _request_body(operation):
        described["requestBody"] = body
    described["responses"] = {str(operation.status.value): _success(operation)} | {
        str(status.value): _failure(status, operation) for status in sorted(operation.failures)
    }
    if public:
        described["security"] = []
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
        _query("itemsPerPage", "The number of items per page; 0 for the total alone; cast as PHP casts", per_page),
        *(
            _query(filter_.variable, _filter_description(filter_), _filter_schema(filter_))
            for filter_ in operation.resource.search
        ),
    ]


def _query(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": description, "required": False, "schema": schema}


def _filter_schema(filter_: Filter) -> Document:
    return {"type": "array", "items": {"type": "string"}} if filter_.is_list else {"type": "string"}


def _filter_description(filter_: Filter) -> str:
    if filter_.description:
        return filter_.description
    if filter_.variable.startswith("order["):
        return "asc or desc; anything else orders nothing"
    if filter_.is_boolean:
        return "true, 1, false or 0; anything else filters nothing"
    return "a part of it, whatever its case and accents"


def _request_body(operation: Operation) -> Document | None:
    if operation.request_schema is not None:
        content: Document = {"application/json": {"schema": operation.request_schema, "example": operation.example}}
    elif operation.takes and operation.resource:
        content = {
            body_type.media_type: _body_content(body_type, operation, operation.resource)
            for body_type in sorted(operation.takes, key=lambda taken: taken.media_type != "application/json")
            if body_type.listed
        }
    else:
        return None
    return {"content": content, "required": operation.needs_body}


def _body_content(body_type: BodyType, operation: Operation, resource: Resource) -> Document:
    body = operation.body or resource
    example = body_type.example(resource, example_body(body, complete=operation.complete))
    return {"schema": reference(_body_name(body_type, operation, resource)), "example": example}


def _body_name(body_type: BodyType, operation: Operation, resource: Resource) -> str:
    """Name the schema of a body: by what is written of the resource, or by the operation whose body says something else."""
    kind = operation.id if operation.body else f"user.{'write' if operation.complete else 'patch'}"
    return f"{resource.name}{body_type.infix}-{kind}"


def _own_bodies(operation: Operation, resource: Resource) -> Document:
    """Describe bodies that say something else. They have names, since generators lose nameless ones of several media types."""
    if operation.body is None:
        return {}
    written = write_schema(operation.body, complete=operation.complete)
    return {
        _body_name(body_type, operation, resource): body_type.schema(written, complete=operation.complete)
        for body_type in operation.takes
        if body_type.listed
    }


def _success(operation: Operation) -> Document:
    if operation.response_schema is not None:
        return {"description": operation.summary, "content": {"application/json": {"schema": operation.response_schema}}}
    if operation.shape is Shape.NOTHING or operation.resource is None:
        return {"description": operation.summary}
    content = {
        media_type: {"schema": _answer_schema(format_, operation.shape, operation.resource)}
        for format_ in _formats()
        for media_type in format_.media_types
    }
    return {"description": operation.summary, "content": content}


def _formats() -> list[Format]:
    """Return the formats, plain JSON first: generators of clients take the first that they are shown."""
    return sorted(FORMATS.values(), key=lambda format_: format_.name != "json")


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


def _schemas(resource: Resource) -> Document:
    """Return what has a name of a resource: how each format shows it, and what each media type may say of it."""
    schemas: Document = {}
    for format_ in _formats():
        schemas |= format_.schemas(resource)
    for kind, complete in (("write", True), ("patch", False)) if resource.writable else ():
        written = write_schema(resource, complete=complete)
        for body_type in (JSON, JSON_LD, JSON_API):
            schemas[f"{resource.name}{body_type.infix}-user.{kind}"] = body_type.schema(written, complete=complete)
    return schemas
