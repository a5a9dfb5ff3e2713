"""application/vnd.api+json: JSON:API documents (https://jsonapi.org/format/1.0/), as API Platform writes them."""

from typing import Any

from rest.problem import UnreadableRequest
from rest.representation import Collection, Item


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


def _resource_object(item: Item) -> dict[str, Any]:
    # `id` is JSON:API's own word, the IRI here; the property of that name steps aside.
    attributes = {("_id" if name == "id" else name): value for name, value in item.fields.items()}
    return {"id": item.iri, "type": item.resource.name, "attributes": attributes}
