"""application/json: the bare fields; a collection is a list of them."""

from typing import Any

from rest.format import BodyType, Format
from rest.representation import Collection, Item
from rest.resource import Resource
from rest.schema import Schema, read_schema, reference, schema_name


def item(item: Item) -> Any:
    """Render an item."""
    return item.as_json(_fields)


def collection(collection: Collection) -> list[Any]:
    """Render a page of a collection as a list; the total is in the header `X-Total-Count`."""
    return [member.as_json(_fields) for member in collection.members]


def _fields(item: Item) -> dict[str, Any]:
    return item.fields


def _name(resource: Resource) -> str:
    return schema_name(resource, "read")


def _schemas(resource: Resource) -> dict[str, Schema]:
    return {_name(resource): read_schema(resource)}


def _item_schema(resource: Resource) -> Schema:
    return reference(_name(resource))


def _collection_schema(resource: Resource) -> Schema:
    return {"type": "array", "items": _item_schema(resource)}


BODY = BodyType("application/json", leads=True)

#: A merge patch (RFC 7396) has the form of plain JSON; it is for bodies only.
MERGE_PATCH = BodyType("application/merge-patch+json")

FORMAT = Format(
    name="json",
    media_types=(BODY.media_type,),
    item=item,
    collection=collection,
    body=BODY,
    problem_json=True,
    total_in_header=True,
    leads=True,
    schemas=_schemas,
    item_schema=_item_schema,
    collection_schema=_collection_schema,
)
