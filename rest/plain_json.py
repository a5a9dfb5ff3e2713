"""application/json: the bare fields; a collection is a list of them."""

from typing import Any

from rest.representation import Collection, Item


def item(item: Item) -> Any:
    """Render one item."""
    return item.as_json(_fields)


def collection(collection: Collection) -> list[Any]:
    """Render one page of a collection; how many there are in all is not said."""
    return [member.as_json(_fields) for member in collection.members]


def _fields(item: Item) -> dict[str, Any]:
    return item.fields
