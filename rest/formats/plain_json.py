"""application/json: the bare fields; a collection is a list of them."""

from typing import Any

from rest.format import Format, Schema
from rest.representation import Collection, Item
from rest.resource import Resource
from rest.schema import read_schema, reference


def item(item: Item) -> Any:
    """Render one item."""
    return item.as_json(_fields)


def collection(collection: Collection) -> list[Any]:
    """Render one page of a collection; how many there are in all is not said."""
    return [member.as_json(_fields) for member in collection.members]


def _fields(item: Item) -> dict[str, Any]:
    return item.fields


def _name(resource: Resource) -> str:
    return f"{resource.name}-user.read"


def _schemas(resource: Resource) -> dict[str, Schema]:
    return {_name(resource): read_schema(resource)}


def _item_schema(resource: Resource) -> Schema:
    return reference(_name(resource))


def _collection_schema(resource: Resource) -> Schema:
    return {"type": "array", "items": _item_schema(resource)}


FORMAT = Format(
    "json",
    ("application/json",),
    item,
    collection,
    schemas=_schemas,
    item_schema=_item_schema,
    collection_schema=_collection_schema,
)
