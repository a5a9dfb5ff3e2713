"""application/ld+json: items and Hydra collections (https://www.hydra-cg.com/spec/latest/core/)."""

from typing import Any

from rest.format import BodyType, Format
from rest.representation import Collection, Item
from rest.resource import Resource
from rest.schema import IRI, Schema, read_schema, reference, schema_name, with_properties


def collection(collection: Collection) -> dict[str, Any]:
    """Render a page of a collection."""
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


_LINKS = {"first": "hydra:first", "last": "hydra:last", "prev": "hydra:previous", "next": "hydra:next"}


def _view(collection: Collection) -> dict[str, Any]:
    links = collection.page_links()
    if collection.page.number > collection.page.last:
        links.pop("next", None)
    view = {"@id": links.pop("self"), "@type": "hydra:PartialCollectionView"}
    return view | {_LINKS[name]: href for name, href in links.items()}


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


_NODE: Schema = {"@context": {"type": "string"}, "@id": IRI, "@type": {"type": "string"}}


def _name(resource: Resource) -> str:
    return schema_name(resource, infix=BODY.infix)


def _collection_schema(resource: Resource) -> Schema:
    properties: Schema = {
        **_NODE,
        "hydra:member": {"type": "array", "items": reference(_name(resource))},
        "hydra:totalItems": {"type": "integer", "minimum": 0},
        "hydra:view": {"type": "object", "properties": dict.fromkeys(("@id", *_LINKS.values()), IRI)},
        "hydra:search": {"type": "object"},
    }
    return {"type": "object", "properties": properties, "required": ["hydra:member", "hydra:totalItems"]}


BODY = BodyType("application/ld+json", infix=".jsonld")

FORMAT = Format(
    name="jsonld",
    media_types=(BODY.media_type,),
    unlisted_media_types=("text/html",),  # browsers
    item=lambda item: item.as_json(_document),
    collection=collection,
    body=BODY,
    schemas=lambda resource: {_name(resource): with_properties(_NODE, read_schema(resource))},
    item_schema=lambda resource: reference(_name(resource)),
    collection_schema=_collection_schema,
)
