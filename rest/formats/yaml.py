"""application/x-yaml: the same fields as plain JSON."""

from typing import Any

import yaml

from rest.format import Format
from rest.resource import texts


def encode(value: Any) -> bytes:
    """Encode a document as UTF-8."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**31 - 1, encoding="utf-8")


# The writer of libyaml is ten times as fast as PyYAML's own, but not every platform has libyaml.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

FORMAT = Format(
    name="yaml",
    media_types=("application/x-yaml",),
    item=lambda item: texts(item.fields),
    # An empty page is an empty mapping: PHP cannot tell it from an empty list.
    collection=lambda collection: [texts(member.fields) for member in collection.members] or {},
    encode=encode,
)
