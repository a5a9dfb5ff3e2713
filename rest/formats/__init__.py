"""The formats of answers: one module and one row each."""

from rest.format import Format
from rest.formats import csv, hal, jsonapi, jsonld, plain_json, xml, yaml

#: By name, in the server's own order, which decides between media types that a client likes equally.
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in (jsonld, hal, jsonapi, plain_json, xml, yaml, csv)}
