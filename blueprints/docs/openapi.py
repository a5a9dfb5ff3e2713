"""The OpenAPI 3.1 document, from the declarations of the operations behind the routes."""

from http import HTTPStatus
from typing import Any

from flask import Flask

from blueprints.docs.declared import declared_operations
from blueprints.docs.failures import FAILURES, NEGOTIATED
from rest.body import BodyType
from rest.negotiation import FORMATS
from rest.operation import Operation, Shape
from rest.pagination import DEFAULT_ITEMS_PER_PAGE
from rest.resource import Filter, Resource
from rest.schema import example_body, read_schema, write_schema
from security.access import is_public

Document = dict[str, Any]

TITLE, VERSION = "Chamilo Api", "1.0.0"

_LARGEST_ID = 2**31 - 1

_IRI = {"type": "string", "format": "iri-reference"}

_JSON_API_OBJECT: Document = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "type": {"type": "string"}, "attributes": {"type": "object"}},
    "required": ["id", "type", "attributes"],
}

_INFIXES = {"application/vnd.api+json": ".jsonapi", "application/ld+json": ".jsonld"}


def build_openapi(app: Flask) -> Document:
    """Describe every declared operation of an application."""
    paths: Document = {}
    bodies: Document = {}
    resources: dict[str, Resource] = {}
    for path, method, view, operation in declared_operations(app):
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, public=is_public(view))
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
    schema = operation.id_schema or {"type": "integer", "minimum": 1, "maximum": _LARGEST_ID}
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
        *(_query(filter_.variable, _filter_description(filter_), {"type": "string"}) for filter_ in operation.resource.search),
    ]


def _query(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": description, "required": False, "schema": schema}


def _filter_description(filter_: Filter) -> str:
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
    example: Any = example_body(body, complete=operation.complete)
    as_json_api = body_type.media_type == "application/vnd.api+json"
    if as_json_api:
        example = {"data": {"type": resource.name, "attributes": example}}
    return {"schema": {"$ref": f"#/components/schemas/{_body_name(body_type, operation, resource)}"}, "example": example}


def _body_name(body_type: BodyType, operation: Operation, resource: Resource) -> str:
    """Name the schema of a body: by what is written of the resource, or by the operation whose body says something else."""
    kind = operation.id if operation.body else f"user.{'write' if operation.complete else 'patch'}"
    return f"{resource.name}{_INFIXES.get(body_type.media_type, '')}-{kind}"


def _own_bodies(operation: Operation, resource: Resource) -> Document:
    """Describe bodies that say something else. They have names, since generators lose nameless ones of several media types."""
    if operation.body is None:
        return {}
    written = write_schema(operation.body, complete=operation.complete)
    as_json_api = _json_api_body(written, complete=operation.complete)
    return {
        _body_name(body_type, operation, resource): as_json_api if body_type.media_type == "application/vnd.api+json" else written
        for body_type in operation.takes
        if body_type.listed
    }


def _success(operation: Operation) -> Document:
    if operation.response_schema is not None:
        return {"description": operation.summary, "content": {"application/json": {"schema": operation.response_schema}}}
    if operation.shape is Shape.NOTHING or operation.resource is None:
        return {"description": operation.summary}
    by_type = {media_type: format_.name for format_ in FORMATS.values() for media_type in format_.media_types}
    ordered = sorted(by_type, key=lambda media_type: media_type != "application/json")
    describe = _collection_schema if operation.shape is Shape.COLLECTION else _item_schema
    content = {media_type: {"schema": describe(operation.resource, by_type[media_type])} for media_type in ordered}
    return {"description": operation.summary, "content": content}


def _item_schema(resource: Resource, format_name: str) -> Document:
    if format_name in {"csv", "xml", "yaml"}:
        return {"type": "string"}
    infix = "" if format_name == "json" else f".{format_name}"
    return {"$ref": f"#/components/schemas/{resource.name}{infix}-user.read"}


def _collection_schema(resource: Resource, format_name: str) -> Document:
    member = _item_schema(resource, format_name)
    if format_name == "jsonld":
        properties: Document = {
            "hydra:member": {"type": "array", "items": member},
            "hydra:totalItems": {"type": "integer", "minimum": 0},
            "hydra:view": {
                "type": "object",
                "properties": dict.fromkeys(("@id", "hydra:first", "hydra:last", "hydra:previous", "hydra:next"), _IRI),
            },
            "hydra:search": {"type": "object"},
        }
        return {"type": "object", "properties": properties, "required": ["hydra:member", "hydra:totalItems"]}
    if format_name == "jsonhal":
        properties = {
            "_links": {"type": "object"},
            "_embedded": {"type": "object", "properties": {"item": {"type": "array", "items": member}}},
            "totalItems": {"type": "integer", "minimum": 0},
            "itemsPerPage": {"type": "integer", "minimum": 0},
        }
        return {"type": "object", "properties": properties, "required": ["_links", "totalItems", "itemsPerPage"]}
    if format_name == "jsonapi":
        members = {"type": "array", "items": {"$ref": f"#/components/schemas/{resource.name}.jsonapi"}}
        properties = {"links": {"type": "object"}, "meta": {"type": "object"}, "data": members}
        return {"type": "object", "properties": properties, "required": ["links", "meta", "data"]}
    return member if member == {"type": "string"} else {"type": "array", "items": member}


def _failure(status: HTTPStatus, operation: Operation) -> Document:
    if status is HTTPStatus.UNAUTHORIZED:
        schemas = {"application/json": "AuthenticationFailure"}
    elif operation.resource and status in NEGOTIATED and not (status is HTTPStatus.BAD_REQUEST and operation.refuses_plainly):
        schemas = NEGOTIATED[status]
    else:
        schemas = {"application/json": "Error"}
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}} for media_type, name in schemas.items()}
    return {"description": status.phrase, "content": content}


def _schemas(resource: Resource) -> Document:
    name, read = resource.name, read_schema(resource)
    schemas: Document = {
        f"{name}-user.read": read,
        f"{name}.jsonld-user.read": _with({"@context": {"type": "string"}, "@id": _IRI, "@type": {"type": "string"}}, read),
        f"{name}.jsonhal-user.read": _with({"_links": {"type": "object"}}, read),
        f"{name}.jsonapi": _JSON_API_OBJECT,
    }
    schemas[f"{name}.jsonapi-user.read"] = {
        "type": "object",
        "properties": {"data": {"$ref": f"#/components/schemas/{name}.jsonapi"}},
        "required": ["data"],
    }
    for kind, complete in (("write", True), ("patch", False)) if resource.writable else ():
        written = write_schema(resource, complete=complete)
        schemas |= {f"{name}-user.{kind}": written, f"{name}.jsonld-user.{kind}": written}
        schemas[f"{name}.jsonapi-user.{kind}"] = _json_api_body(written, complete=complete)
    return schemas


def _json_api_body(attributes: Document, *, complete: bool) -> Document:
    # `id` and `type` of a body are not looked at.
    data = {"type": "object", "properties": {"id": {}, "type": {}, "attributes": attributes}}
    data |= {"required": ["attributes"]} if complete else {}
    return {"type": "object", "properties": {"data": data}} | ({"required": ["data"]} if complete else {})


def _with(more: Document, schema: Document) -> Document:
    return schema | {"properties": more | schema["properties"]}
