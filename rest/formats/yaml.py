"""application/x-yaml: the bare fields, as plain JSON has them."""

from typing import Any

import yaml

from rest.format import Format
from rest.representation import Collection, Item
from rest.resource import texts


def item(item: Item) -> dict[str, Any]:
    """Render one item."""
    return texts(item.fields)


def collection(collection: Collection) -> Any:
    """Render one page of a collection. An empty one is an empty mapping: PHP cannot tell it from an empty list."""
    return [texts(member.fields) for member in collection.members] or {}


def encode(value: Any) -> bytes:
    """Write a document as UTF-8."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**31 - 1, encoding="utf-8")


# libyaml's writer is ten times as fast, and not everywhere.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


FORMAT = Format("yaml", ("application/x-yaml",), item, collection, encode)
