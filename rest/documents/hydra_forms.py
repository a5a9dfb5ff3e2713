"""The parts of the Hydra documentation that differ between Chamilo 2 and 3: class names, contexts, classes of failures."""

from collections.abc import Callable
from typing import Any, NamedTuple

from rest.documents import Document
from rest.resource import Resource

HYDRA = "http://www.w3.org/ns/hydra/core#"


class HydraForm(NamedTuple):
    """How one version of Chamilo writes the documentation.

    `class_id` returns the `@id` of a resource's class. `in_context` adds terms to the `@context` of the documentation.
    `failure_classes` are the classes of failures, and `contexts` the names of their contexts.
    """

    class_id: Callable[[Resource], str]
    in_context: Callable[[Document], Any]
    failure_classes: tuple[Document, ...]
    contexts: tuple[str, ...]


def describe_property(iri: str, name: str, domain: str, range_: str) -> Document:
    """Describe a property: its IRI, its name, the class that has it, and the type of its values."""
    return {"@id": iri, "@type": "rdf:Property", "rdfs:label": name, "domain": domain, "range": range_}


def _failure_property(owner: str, name: str, range_: str) -> Document:
    return {
        "@type": "hydra:SupportedProperty",
        "hydra:property": describe_property(f"#{owner}/{name}", name, f"#{owner}", range_),
        "hydra:title": name,
        "hydra:readable": True,
        "hydra:writeable": False,
    }


_CLASSES_OF_2 = (
    {
        "@id": "#ConstraintViolation",
        "@type": "hydra:Class",
        "hydra:title": "A constraint violation",
        "hydra:supportedProperty": [
            _failure_property("ConstraintViolation", name, "xmls:string") for name in ("propertyPath", "message", "code")
        ],
    },
    {
        "@id": "#ConstraintViolationList",
        "@type": "hydra:Class",
        "subClassOf": "hydra:Error",
        "hydra:title": "A constraint violation list",
        "hydra:supportedProperty": [_failure_property("ConstraintViolationList", "violations", "#ConstraintViolation")],
    },
)

# In Chamilo 3, `ConstraintViolation` is the name of the list, and its elements have no class.
_CLASSES_OF_3 = (
    {
        "@id": "#ConstraintViolation",
        "@type": "hydra:Class",
        "subClassOf": "hydra:Error",
        "rdfs:label": "ConstraintViolation",
        "hydra:title": "ConstraintViolation",
        "hydra:supportedProperty": [
            _failure_property("ConstraintViolation", name, "xmls:integer" if name == "status" else "xmls:string")
            for name in ("status", "violations", "detail", "type", "title")
        ],
    },
)

_LINKS = ("apiDocumentation", "entrypoint", "supportedProperty", "supportedOperation", "member", "view", "first", "last")
_TERMS = ("title", "description", "method", "required", "readable", "writeable", "totalItems", "template", "mapping", "variable")

#: The terms of https://www.hydra-cg.com/spec/latest/core/ that documents of an API use; Chamilo 3 writes them out.
_HYDRA_CONTEXT: Document = {
    "hydra": HYDRA,
    **{name: f"hydra:{name}" for name in _TERMS},
    **{name: {"@id": f"hydra:{name}", "@type": "@id"} for name in (*_LINKS, "next", "previous")},
    **{name: {"@id": f"hydra:{name}", "@type": "@vocab"} for name in ("supportedClass", "property", "expects", "returns")},
}

OF_2 = HydraForm(
    class_id=lambda resource: resource.iri_type,
    in_context=lambda terms: terms,
    failure_classes=_CLASSES_OF_2,
    contexts=("Error", "ConstraintViolationList"),
)

OF_3 = HydraForm(
    class_id=lambda resource: f"#{resource.name}",
    in_context=lambda terms: [_HYDRA_CONTEXT, terms],
    failure_classes=_CLASSES_OF_3,
    contexts=("Error", "ConstraintViolation"),
)
