"""application/ld+json: items and Hydra collections (https://www.hydra-cg.com/spec/latest/core/)."""

from typing import Any

from rest.representation import Collection, Item
from rest.resource import Resource


def item(item: Item) -> Any:
    """Render one item."""
    return item.as_json(_document)


def collection(collection: Collection) -> dict[str, Any]:
    """Render one page of a collection."""
    resource = collection.resource
    body: dict[str, Any] = {
        "@context": f"/api/contexts/{resource.name}",
        "@id": resource.iri,
        "@type": "hydra:Collection",
        "hydra:totalItems": collection.page.total_items,
        "hydra:member": [member.as_json(_node) for member in collection.members],
    }
    if collection.page.last != 1 or collection.link.has_parameters:
        body["hydra:view"] = _view(collection)
    if resource.search:
        body["hydra:search"] = _search(resource, collection.link.path)
    return body


def _document(item: Item) -> dict[str, Any]:
    return {"@context": f"/api/contexts/{item.resource.name}"} | _node(item)


def _node(item: Item) -> dict[str, Any]:
    return {"@id": item.iri, "@type": item.resource.iri_type, **item.fields}


def _view(collection: Collection) -> dict[str, Any]:
    page, link = collection.page, collection.link
    if page.last == 1:
        return {"@id": link.without_page(), "@type": "hydra:PartialCollectionView"}
    view = {
        "@id": link.to_page(page.number),
        "@type": "hydra:PartialCollectionView",
        "hydra:first": link.to_page(1),
        "hydra:last": link.to_page(page.last),
    }
    if page.number > 1:
        view["hydra:previous"] = link.to_page(page.number - 1)
    if page.number < page.last:
        view["hydra:next"] = link.to_page(page.number + 1)
    return view


def _search(resource: Resource, path: str) -> dict[str, Any]:
    listed = [filter_ for filter_ in resource.search if filter_.listed]
    return {
        "@type": "hydra:IriTemplate",
        "hydra:template": f"{path}{{?{','.join(filter_.variable for filter_ in listed)}}}",
        "hydra:variableRepresentation": "BasicRepresentation",
        "hydra:mapping": [
            {"@type": "IriTemplateMapping", "variable": filter_.variable, "property": filter_.property, "required": False}
            for filter_ in listed
        ],
    }
