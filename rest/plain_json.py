"""application/json: the bare fields; a collection is a list of them."""

from typing import Any

from rest.representation import Collection, Item


def item(item: Item) -> dict[str, Any]:
    """Render one item."""
    return item.fields


def collection(collection: Collection) -> list[dict[str, Any]]:
    """Render one page of a collection; how many there are in all is not said."""
    return [member.fields for member in collection.members]
