"""The formats of answers and bodies (docs/compatibility.md#formats): one module and one row each."""

from rest.format import BodyType, Format
from rest.formats import csv, hal, jsonapi, jsonld, plain_json, xml, yaml

#: By name. When a client accepts several media types equally, the first of this order is sent.
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in (jsonld, hal, jsonapi, plain_json, xml, yaml, csv)}

#: The usual body types of an operation, in the order in which the text of 415 names them.
BODY_TYPES: tuple[BodyType, ...] = tuple(format_.body for format_ in FORMATS.values() if format_.body)
