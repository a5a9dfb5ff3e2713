"""JSON Schema (2020-12) of a resource, built from the declaration that also validates and renders it."""

from typing import Any

from rest.resource import MOST_TEXTS, Kind, Property, Resource

Schema = dict[str, Any]

_TYPES: dict[Kind, Schema] = {
    Kind.STRING: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE_TIME: {"type": "string", "format": "date-time"},
    Kind.STRINGS: {"type": "array", "items": {"type": "string"}},
    Kind.TEXTS_BY_NAME: {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
}

# A text with a NUL is refused (docs/compatibility.md#nul-character). The second pattern also requires a visible character.
_NO_NUL, _NOT_BLANK = r"^[^\u0000]*$", r"^[^\u0000]*[^\s\u0000][^\u0000]*$"

# Times in RFC 3339's form that the server accepts: years 1000 to 9999, offsets up to 14:59 (docs/compatibility.md#finite-dates).
# The server also accepts other forms.
_FINITE = r"^[1-9][0-9]{3}-[^ ]*([Zz]|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"

#: Any text.
TEXT: Schema = {"type": "string"}

#: The largest id: the column is a signed 32-bit integer.
MAX_ID = 2**31 - 1

#: The schema of an id.
ID: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}

#: An id that no user has. If a reader sends an example unchanged, it changes nobody.
EXAMPLE_ID = 1_234_567_890

#: The beginning of each reference to a schema.
SCHEMAS = "#/components/schemas/"

#: A link, absolute or relative.
IRI: Schema = {"type": "string", "format": "iri-reference"}


def reference(name: str) -> Schema:
    """Refer to a named schema of the document."""
    return {"$ref": f"{SCHEMAS}{name}"}


def object_schema(**properties: Schema) -> Schema:
    """Describe an object that has all of these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def schema_name(resource: Resource, suffix: str = "read", infix: str = "") -> str:
    """Name a schema as API Platform does, such as `User.jsonld-user.read`. By default it is that of an item in an answer."""
    return f"{resource.name}{infix}-{resource.group or resource.name.lower()}.{suffix}"


def with_properties(more: Schema, schema: Schema) -> Schema:
    """Return an object schema with more properties, placed before its own."""
    return schema | {"properties": more | schema["properties"]}


def read_schema(resource: Resource) -> Schema:
    """Describe an item in an answer. Every answer has the public properties that cannot be null; all others may be missing."""
    return {
        "type": "object",
        "externalDocs": {"url": resource.iri_type},
        "properties": {prop.name: _described(prop) | ({} if prop.writable else {"readOnly": True}) for prop in resource.readable},
        "required": [prop.name for prop in resource.public if not prop.nullable],
        "additionalProperties": False,
    }


def write_schema(resource: Resource, *, complete: bool) -> Schema:
    """Describe a body. A `complete` one must have the properties that must not be blank."""
    required = [prop.name for prop in resource.writable if prop.not_blank] if complete else []
    properties = {prop.name: _written(prop) for prop in resource.writable}
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _written(prop: Property) -> Schema:
    schema = _described(prop)
    if prop.kind is Kind.STRING:
        schema["pattern"] = _NOT_BLANK if prop.not_blank and not prop.email else _NO_NUL
    if prop.kind is Kind.DATE_TIME:
        schema["pattern"] = _FINITE
    if prop.kind is Kind.STRINGS:
        schema["items"] = {"type": "string", "pattern": prop.element_pattern or _NO_NUL}
    if prop.kind is Kind.TEXTS_BY_NAME:
        text = {"type": ["string", "null"], "pattern": _NO_NUL}
        schema |= {"additionalProperties": text, "propertyNames": {"pattern": _NO_NUL}, "maxProperties": MOST_TEXTS}
    if prop.email:
        schema |= {"format": "email"}
    if prop.max_length is not None:
        schema["maxLength"] = prop.max_length
    if prop.choices:
        schema["enum"] = [*prop.choices, *([None] if prop.nullable else [])]
    if prop.nullable:
        schema["type"] = [schema["type"], "null"]
    if prop.is_password:
        schema |= {"writeOnly": True, "format": "password"}
    return schema


def _described(prop: Property) -> Schema:
    schema = dict(_TYPES[prop.kind])
    if prop.description:
        schema["description"] = prop.description
    if prop.example is not None:
        schema["examples"] = [prop.example]
    return schema
