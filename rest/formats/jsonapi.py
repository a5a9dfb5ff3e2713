"""application/vnd.api+json: JSON:API documents (https://jsonapi.org/format/1.0/), as API Platform writes them."""

from typing import Any

from rest.format import BodyType, Format
from rest.problem import UnreadableRequest
from rest.representation import Collection, Item
from rest.resource import Resource
from rest.schema import TEXT, Schema, object_schema, reference, schema_name


def collection(collection: Collection) -> dict[str, Any]:
    """Render a page of a collection."""
    page = collection.page
    return {
        "links": collection.page_links(),
        "meta": {"totalItems": page.total_items, "itemsPerPage": page.paging.items_per_page, "currentPage": page.number},
        "data": [member.as_json(_resource_object) for member in collection.members],
    }


def attributes(document: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a document in a body, empty if it has none. Raises UnreadableRequest."""
    data = document.get("data", {})
    sent = data.get("attributes", {}) if isinstance(data, dict) else None
    if not isinstance(sent, dict):
        raise UnreadableRequest('"data" and its "attributes" must be objects.')
    return sent


def body_schema(attributes: Schema, *, complete: bool) -> Schema:
    """Describe a document in a body; its `id` and `type` are ignored."""
    data: Schema = {"type": "object", "properties": {"id": {}, "type": {}, "attributes": attributes}}
    data |= {"required": ["attributes"]} if complete else {}
    return {"type": "object", "properties": {"data": data}} | ({"required": ["data"]} if complete else {})


def _resource_object(item: Item) -> dict[str, Any]:
    # JSON:API uses `id` for the IRI, so the property `id` becomes `_id`.
    attributes = {("_id" if name == "id" else name): value for name, value in item.fields.items()}
    return {"id": item.iri, "type": item.resource.name, "attributes": attributes}


def _name(resource: Resource) -> str:
    return f"{resource.name}{BODY.infix}"


def _document_name(resource: Resource) -> str:
    return schema_name(resource, infix=BODY.infix)


def _schemas(resource: Resource) -> dict[str, Schema]:
    return {_name(resource): _RESOURCE_OBJECT, _document_name(resource): object_schema(data=reference(_name(resource)))}


def _collection_schema(resource: Resource) -> Schema:
    members = {"type": "array", "items": reference(_name(resource))}
    return object_schema(links={"type": "object"}, meta={"type": "object"}, data=members)


_RESOURCE_OBJECT = object_schema(id=TEXT, type=TEXT, attributes={"type": "object"})

BODY = BodyType(
    "application/vnd.api+json",
    attributes,
    infix=".jsonapi",
    schema=body_schema,
    example=lambda resource, attributes: {"data": {"type": resource.name, "attributes": attributes}},
)

FORMAT = Format(
    name="jsonapi",
    media_types=(BODY.media_type,),
    item=lambda item: {"data": item.as_json(_resource_object)},
    collection=collection,
    body=BODY,
    schemas=_schemas,
    item_schema=lambda resource: reference(_document_name(resource)),
    collection_schema=_collection_schema,
)
