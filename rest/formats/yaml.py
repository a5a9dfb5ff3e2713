"""application/x-yaml: the same fields as plain JSON."""

import re
from typing import Any

import yaml

from rest.format import Format
from rest.resource import texts


def encode(value: Any) -> bytes:
    """Encode a document as UTF-8."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**31 - 1, encoding="utf-8")


# The writer of libyaml is ten times as fast as PyYAML's own, but not every platform has libyaml.
class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    pass


# PyYAML quotes the texts that YAML 1.1 takes for a number or a boolean, except `y` and `n`. YAML 1.2 (section 10.3.2) takes more
# texts for numbers, and then a phone number such as 0899 loses its zero. As in Chamilo, all of these are quoted.
_NUMBER = re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+)$")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))

FORMAT = Format(
    name="yaml",
    media_types=("application/x-yaml",),
    item=lambda item: texts(item.fields),
    # An empty page is an empty mapping: PHP cannot tell it from an empty list.
    collection=lambda collection: [texts(member.fields) for member in collection.members] or {},
    encode=encode,
)
