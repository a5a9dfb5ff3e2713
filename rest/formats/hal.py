"""application/hal+json: items with `_links`, collections with `_embedded` (draft-kelly-json-hal). Bodies are refused."""

from typing import Any, NoReturn

from rest.format import BodyType, Format
from rest.problem import UnreadableRequest
from rest.representation import Collection, Item
from rest.resource import Resource
from rest.schema import Schema, read_schema, reference, schema_name, with_properties


def _document(item: Item) -> dict[str, Any]:
    return {"_links": {"self": {"href": item.iri}}} | item.fields


def collection(collection: Collection) -> dict[str, Any]:
    """Render a page of a collection. As in Chamilo, an empty page has neither `item` links nor `_embedded`."""
    links: dict[str, Any] = {name: {"href": href} for name, href in collection.page_links().items()}
    body: dict[str, Any] = {
        "_links": links,
        "totalItems": collection.page.total_items,
        "itemsPerPage": collection.page.paging.items_per_page,
    }
    if collection.members:
        links["item"] = [{"href": member.iri} for member in collection.members]
        body["_embedded"] = {"item": [member.as_json(_document) for member in collection.members]}
    return body


def _name(resource: Resource) -> str:
    return schema_name(resource, infix=".jsonhal")


def _collection_schema(resource: Resource) -> Schema:
    members = {"type": "array", "items": reference(_name(resource))}
    properties: Schema = {
        "_links": {"type": "object"},
        "_embedded": {"type": "object", "properties": {"item": members}},
        "totalItems": {"type": "integer", "minimum": 0},
        "itemsPerPage": {"type": "integer", "minimum": 0},
    }
    return {"type": "object", "properties": properties, "required": ["_links", "totalItems", "itemsPerPage"]}


def _refuse_body(_document: dict[str, Any]) -> NoReturn:
    raise UnreadableRequest("jsonhal is a read-only format.")


MEDIA_TYPE = "application/hal+json"

FORMAT = Format(
    name="jsonhal",
    media_types=(MEDIA_TYPE,),
    item=lambda item: item.as_json(_document),
    collection=collection,
    # As in Chamilo, a HAL body gets 400, while an unknown media type gets 415 (docs/compatibility.md#formats).
    body=BodyType(MEDIA_TYPE, _refuse_body, listed=False),
    schemas=lambda resource: {_name(resource): with_properties({"_links": {"type": "object"}}, read_schema(resource))},
    item_schema=lambda resource: reference(_name(resource)),
    collection_schema=_collection_schema,
)
