"""The Hydra documentation and the JSON-LD contexts, built from the declarations of the operations."""

from collections.abc import Iterable, Mapping, Sequence

from rest.documents import Document
from rest.documents.hydra_forms import HYDRA, HydraForm, describe_property
from rest.documents.openapi import TITLE
from rest.operation import RoutedOperation, Shape
from rest.resource import Kind, Property, Resource

DOCUMENTATION = "/api/docs.jsonld"

# The types of values that are not texts.
_RANGES = {Kind.INTEGER: "xmls:integer", Kind.BOOLEAN: "xmls:boolean", Kind.DATE_TIME: "xmls:dateTime"}

_ACTIONS = {
    "GET": "schema:FindAction",
    "POST": "schema:CreateAction",
    "PUT": "schema:ReplaceAction",
    "DELETE": "schema:DeleteAction",
}


def resources_of(routed: Iterable[RoutedOperation]) -> dict[str, Resource]:
    """Return the resources of operations by name."""
    return {one.operation.resource.name: one.operation.resource for one in routed if one.operation.resource}


def build_context(resource: Resource, origin: str) -> Document:
    """Build the context of a resource, with a term for each property."""
    terms = {prop.name: prop.iri or f"{resource.name}/{prop.name}" for prop in resource.properties if prop.name != "id"}
    return {"@context": _vocabulary(origin) | terms}


def build_fixed_contexts(resources: Iterable[Resource], origin: str, form: HydraForm) -> Mapping[str, Document]:
    """Build the contexts of the entrypoint and of errors."""
    links = {name: {"@id": f"Entrypoint/{name}", "@type": "@id"} for name in _collections(resources)}
    plain = {"@context": _vocabulary(origin)}
    return {"Entrypoint": {"@context": _vocabulary(origin) | links}, **dict.fromkeys(form.contexts, plain)}


def build_entrypoint(resources: Iterable[Resource]) -> Document:
    """Build the entrypoint, which links to the collection of each resource."""
    links = {name: resource.iri for name, resource in _collections(resources).items()}
    return {"@context": "/api/contexts/Entrypoint", "@id": "/api", "@type": "Entrypoint", **links}


def build_documentation(routed: Sequence[RoutedOperation], origin: str, form: HydraForm) -> Document:
    """Build the ApiDocumentation (https://www.hydra-cg.com/spec/latest/core/#documenting-a-web-api)."""
    resources = resources_of(routed).values()
    # Hydra has no terms for an operation whose body is not the resource.
    routed = [one for one in routed if one.operation.body is None]
    links = [_collection_link(name, one, routed, form.class_id(one)) for name, one in _collections(resources).items()]
    return {
        "@context": form.in_context(_documentation_context(origin)),
        "@id": DOCUMENTATION,
        "@type": "hydra:ApiDocumentation",
        "hydra:title": TITLE,
        "hydra:entrypoint": "/api",
        "hydra:supportedClass": [
            *(_class(resource, routed, form.class_id(resource)) for resource in resources),
            _entrypoint_class(links),
            *form.failure_classes,
        ],
    }


def _vocabulary(origin: str) -> Document:
    return {"@vocab": f"{origin}{DOCUMENTATION}#", "hydra": HYDRA}


def _documentation_context(origin: str) -> Document:
    links = ("rdfs:domain", "rdfs:range", "rdfs:subClassOf", "hydra:expects", "hydra:returns")
    return _vocabulary(origin) | {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
        "xmls": "http://www.w3.org/2001/XMLSchema#",
        "owl": "http://www.w3.org/2002/07/owl#",
        "schema": "https://schema.org/",
        **{term.partition(":")[2]: {"@id": term, "@type": "@id"} for term in links},
    }


def _collections(resources: Iterable[Resource]) -> dict[str, Resource]:
    """Return the resources that have a collection, by the names of their links in the entrypoint."""
    return {resource.name[0].lower() + resource.name[1:]: resource for resource in resources if not resource.is_single}


def _class(resource: Resource, routed: Iterable[RoutedOperation], class_id: str) -> Document:
    own = [one for one in routed if one.operation.resource is resource and not one.operation.of_collection]
    return {
        "@id": class_id,
        "@type": "hydra:Class",
        "rdfs:label": resource.name,
        "hydra:title": resource.name,
        "hydra:supportedProperty": [_property(resource, prop, class_id) for prop in resource.properties if prop.name != "id"],
        "hydra:supportedOperation": [_operation(one, class_id) for one in own],
    }


def _property(resource: Resource, prop: Property, class_id: str) -> Document:
    iri, range_ = prop.iri or f"#{resource.name}/{prop.name}", _RANGES.get(prop.kind, "xmls:string")
    described: Document = {
        "@type": "hydra:SupportedProperty",
        "hydra:property": describe_property(iri, prop.name, class_id, range_),
        "hydra:title": prop.name,
        "hydra:required": prop.not_blank,
        "hydra:readable": prop.readable,
        "hydra:writeable": prop.writable,
    }
    return described | ({"hydra:description": prop.description} if prop.description else {})


def _operation(routed: RoutedOperation, class_id: str) -> Document:
    method, operation = routed.method, routed.operation
    returns = {Shape.ITEM: class_id, Shape.COLLECTION: "hydra:Collection", Shape.NOTHING: "owl:Nothing"}
    return {
        "@type": ["hydra:Operation", _ACTIONS[method]] if method in _ACTIONS else "hydra:Operation",
        **({"expects": class_id} if operation.takes else {}),
        "hydra:method": method,
        "hydra:title": operation.summary,
        "rdfs:label": operation.summary,
        "returns": returns[operation.shape],
    }


def _entrypoint_class(links: list[Document]) -> Document:
    return {
        "@id": "#Entrypoint",
        "@type": "hydra:Class",
        "hydra:title": "The API entrypoint",
        "hydra:supportedProperty": links,
        "hydra:supportedOperation": {
            "@type": "hydra:Operation",
            "hydra:method": "GET",
            "hydra:title": "The API entrypoint.",
            "rdfs:label": "The API entrypoint.",
            "returns": "#EntryPoint",
        },
    }


def _collection_link(name: str, resource: Resource, routed: Iterable[RoutedOperation], class_id: str) -> Document:
    title = f"The collection of {resource.name} resources"
    own = [one for one in routed if one.operation.resource is resource and one.operation.of_collection]
    return {
        "@type": "hydra:SupportedProperty",
        "hydra:property": {
            "@id": f"#Entrypoint/{name}",
            "@type": "hydra:Link",
            "domain": "#Entrypoint",
            "rdfs:label": title,
            "rdfs:range": [
                {"@id": "hydra:Collection"},
                {"owl:equivalentClass": {"owl:onProperty": {"@id": "hydra:member"}, "owl:allValuesFrom": {"@id": class_id}}},
            ],
            "hydra:supportedOperation": [_operation(one, class_id) for one in own],
        },
        "hydra:title": title,
        "hydra:readable": True,
        "hydra:writeable": False,
    }
