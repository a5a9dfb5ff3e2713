"""The references of an OpenAPI document."""

from collections.abc import Iterator
from typing import Any


def references(node: Any) -> Iterator[str]:
    """Return every `$ref` in a document."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)


def dangling_references(document: Any) -> set[str]:
    """Return the references that lead nowhere."""
    known = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
    return set(references(document)) - known
