"""application/vnd.api+json: JSON:API documents (https://jsonapi.org/format/1.0/), as API Platform writes them."""

from typing import Any

from rest.format import Format, Schema
from rest.problem import UnreadableRequest
from rest.representation import Collection, Item
from rest.resource import Resource
from rest.schema import reference


def item(item: Item) -> dict[str, Any]:
    """Render one item."""
    return {"data": item.as_json(_resource_object)}


def collection(collection: Collection) -> dict[str, Any]:
    """Render one page of a collection."""
    page = collection.page
    return {
        "links": collection.page_links(),
        "meta": {"totalItems": page.total_items, "itemsPerPage": page.paging.items_per_page, "currentPage": page.number},
        "data": [member.as_json(_resource_object) for member in collection.members],
    }


def attributes(document: dict[str, Any]) -> dict[str, Any]:
    """Take the attributes out of a document that was sent; where there are none, nothing is said. Raises UnreadableRequest."""
    data = document.get("data", {})
    sent = data.get("attributes", {}) if isinstance(data, dict) else None
    if not isinstance(sent, dict):
        raise UnreadableRequest('"data" and its "attributes" must be objects.')
    return sent


def body_schema(attributes: Schema, *, complete: bool) -> Schema:
    """Describe a document that is sent; its `id` and `type` are not looked at."""
    data: Schema = {"type": "object", "properties": {"id": {}, "type": {}, "attributes": attributes}}
    data |= {"required": ["attributes"]} if complete else {}
    return {"type": "object", "properties": {"data": data}} | ({"required": ["data"]} if complete else {})


def example(resource: Resource, attributes: Schema) -> Schema:
    """Return an example of a document that is sent."""
    return {"data": {"type": resource.name, "attributes": attributes}}


def _resource_object(item: Item) -> dict[str, Any]:
    # `id` is JSON:API's own word, the IRI here; the property of that name steps aside.
    attributes = {("_id" if name == "id" else name): value for name, value in item.fields.items()}
    return {"id": item.iri, "type": item.resource.name, "attributes": attributes}


def _name(resource: Resource) -> str:
    return f"{resource.name}.jsonapi"


def _schemas(resource: Resource) -> dict[str, Schema]:
    document = {
        "type": "object",
        "properties": {"data": reference(_name(resource))},
        "required": ["data"],
    }
    return {_name(resource): _RESOURCE_OBJECT, f"{_name(resource)}-user.read": document}


def _item_schema(resource: Resource) -> Schema:
    return reference(f"{_name(resource)}-user.read")


def _collection_schema(resource: Resource) -> Schema:
    members = {"type": "array", "items": reference(_name(resource))}
    properties: Schema = {"links": {"type": "object"}, "meta": {"type": "object"}, "data": members}
    return {"type": "object", "properties": properties, "required": ["links", "meta", "data"]}


_RESOURCE_OBJECT: Schema = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "type": {"type": "string"}, "attributes": {"type": "object"}},
    "required": ["id", "type", "attributes"],
}

FORMAT = Format(
    "jsonapi",
    ("application/vnd.api+json",),
    item,
    collection,
    schemas=_schemas,
    item_schema=_item_schema,
    collection_schema=_collection_schema,
)
