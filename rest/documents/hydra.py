"""The Hydra documentation and the JSON-LD contexts, built from the declarations of the operations."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rest.documents.hydra_forms import HYDRA, HydraForm
from rest.documents.openapi import TITLE
from rest.operation import Operation, RoutedOperation, Shape
from rest.resource import Kind, Property, Resource

Document = dict[str, Any]

DOCUMENTATION = "/api/docs.jsonld"

_RANGES = {
    Kind.STRING: "xmls:string",
    Kind.INTEGER: "xmls:integer",
    Kind.BOOLEAN: "xmls:boolean",
    Kind.DATE_TIME: "xmls:dateTime",
    Kind.STRINGS: "xmls:string",
    Kind.TEXTS_BY_NAME: "xmls:string",
}

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
    links = {
        _entry(resource): {"@id": f"Entrypoint/{_entry(resource)}", "@type": "@id"}
        for resource in resources
        if not resource.is_single
    }
    plain = {"@context": _vocabulary(origin)}
    return {"Entrypoint": {"@context": _vocabulary(origin) | links}, **dict.fromkeys(form.contexts, plain)}


def build_entrypoint(resources: Iterable[Resource]) -> Document:
    """Build the entrypoint, which links to the collection of each resource."""
    links = {_entry(resource): resource.iri for resource in resources if not resource.is_single}
    return {"@context": "/api/contexts/Entrypoint", "@id": "/api", "@type": "Entrypoint", **links}


def build_documentation(routed: Sequence[RoutedOperation], origin: str, form: HydraForm) -> Document:
    """Build the ApiDocumentation (https://www.hydra-cg.com/spec/latest/core/#documenting-a-web-api)."""
    # Hydra has no terms for an operation whose body is not the resource.
    operations = [(one.method, one.operation) for one in routed if one.operation.resource and one.operation.body is None]
    resources = resources_of(routed).values()
    return {
        "@context": form.in_context(_documentation_context(origin)),
        "@id": DOCUMENTATION,
        "@type": "hydra:ApiDocumentation",
        "hydra:title": TITLE,
        "hydra:entrypoint": "/api",
        "hydra:supportedClass": [
            *(_class(resource, operations, form) for resource in resources),
            _entrypoint_class([resource for resource in resources if not resource.is_single], operations, form),
            *form.failure_classes,
        ],
    }


def _vocabulary(origin: str) -> Document:
    return {"@vocab": f"{origin}{DOCUMENTATION}#", "hydra": HYDRA}


def _documentation_context(origin: str) -> Document:
    as_id = {"@type": "@id"}
    return _vocabulary(origin) | {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
        "xmls": "http://www.w3.org/2001/XMLSchema#",
        "owl": "http://www.w3.org/2002/07/owl#",
        "schema": "https://schema.org/",
        "domain": {"@id": "rdfs:domain", **as_id},
        "range": {"@id": "rdfs:range", **as_id},
        "subClassOf": {"@id": "rdfs:subClassOf", **as_id},
        "expects": {"@id": "hydra:expects", **as_id},
        "returns": {"@id": "hydra:returns", **as_id},
    }


def _entry(resource: Resource) -> str:
    return resource.name[0].lower() + resource.name[1:]


def _class(resource: Resource, operations: list[tuple[str, Operation]], form: HydraForm) -> Document:
    own = [
        (method, operation) for method, operation in operations if operation.resource is resource and not operation.of_collection
    ]
    return {
        "@id": form.class_id(resource),
        "@type": "hydra:Class",
        "rdfs:label": resource.name,
        "hydra:title": resource.name,
        "hydra:supportedProperty": [_property(resource, prop, form) for prop in resource.properties if prop.name != "id"],
        "hydra:supportedOperation": [_operation(method, operation, form) for method, operation in own],
    }


def _property(resource: Resource, prop: Property, form: HydraForm) -> Document:
    described: Document = {
        "@type": "hydra:SupportedProperty",
        "hydra:property": {
            "@id": prop.iri or f"#{resource.name}/{prop.name}",
            "@type": "rdf:Property",
            "rdfs:label": prop.name,
            "domain": form.class_id(resource),
            "range": _RANGES[prop.kind],
        },
        "hydra:title": prop.name,
        "hydra:required": prop.not_blank,
        "hydra:readable": prop.readable,
        "hydra:writeable": prop.writable,
    }
    return described | ({"hydra:description": prop.description} if prop.description else {})


def _operation(method: str, operation: Operation, form: HydraForm) -> Document:
    class_id = form.class_id(operation.resource) if operation.resource else ""
    returns = {Shape.ITEM: class_id, Shape.COLLECTION: "hydra:Collection", Shape.NOTHING: "owl:Nothing"}
    return {
        "@type": ["hydra:Operation", _ACTIONS[method]] if method in _ACTIONS else "hydra:Operation",
        **({"expects": class_id} if operation.takes else {}),
        "hydra:method": method,
        "hydra:title": operation.summary,
        "rdfs:label": operation.summary,
        "returns": returns[operation.shape],
    }


def _entrypoint_class(resources: list[Resource], operations: list[tuple[str, Operation]], form: HydraForm) -> Document:
    return {
        "@id": "#Entrypoint",
        "@type": "hydra:Class",
        "hydra:title": "The API entrypoint",
        "hydra:supportedProperty": [_collection_link(resource, operations, form) for resource in resources],
        "hydra:supportedOperation": {
            "@type": "hydra:Operation",
            "hydra:method": "GET",
            "hydra:title": "The API entrypoint.",
            "rdfs:label": "The API entrypoint.",
            "returns": "#EntryPoint",
        },
    }


def _collection_link(resource: Resource, operations: list[tuple[str, Operation]], form: HydraForm) -> Document:
    title = f"The collection of {resource.name} resources"
    own = [(method, operation) for method, operation in operations if operation.resource is resource and operation.of_collection]
    return {
        "@type": "hydra:SupportedProperty",
        "hydra:property": {
            "@id": f"#Entrypoint/{_entry(resource)}",
            "@type": "hydra:Link",
            "domain": "#Entrypoint",
            "rdfs:label": title,
            "rdfs:range": [
                {"@id": "hydra:Collection"},
                {
                    "owl:equivalentClass": {
                        "owl:onProperty": {"@id": "hydra:member"},
                        "owl:allValuesFrom": {"@id": form.class_id(resource)},
                    }
                },
            ],
            "hydra:supportedOperation": [_operation(method, operation, form) for method, operation in own],
        },
        "hydra:title": title,
        "hydra:readable": True,
        "hydra:writeable": False,
    }
