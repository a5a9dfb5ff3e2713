"""The formats of answers and bodies (docs/compatibility.md#formats), each in a module of its own."""

from rest.format import BodyType, Format
from rest.formats import csv, hal, jsonapi, jsonld, plain_json, xml, yaml

#: The formats by name. If a client accepts several media types equally, it gets the first in this order.
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in (jsonld, hal, jsonapi, plain_json, xml, yaml, csv)}

#: The usual body types of an operation, in the order in which the text of 415 names them.
BODY_TYPES: tuple[BodyType, ...] = tuple(format_.body for format_ in FORMATS.values() if format_.body)
