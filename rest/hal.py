"""application/hal+json: items with `_links`, collections with `_embedded` (draft-kelly-json-hal)."""

from typing import Any

from rest.representation import Collection, Item


def item(item: Item) -> Any:
    """Render one item."""
    return item.as_json(_document)


def _document(item: Item) -> dict[str, Any]:
    return {"_links": {"self": {"href": item.iri}}} | item.fields


def collection(collection: Collection) -> dict[str, Any]:
    """Render one page of a collection; an empty page has neither `item` links nor `_embedded`, as recorded."""
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
