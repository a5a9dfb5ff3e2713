"""What a format is: how answers in it are rendered and written, and how the documents describe them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rest.encoding import encode_json
from rest.representation import Collection, Item
from rest.resource import Resource

Schema = dict[str, Any]


def no_schemas(_resource: Resource) -> dict[str, Schema]:
    """Return no schemas: nothing of this format has a name of its own."""
    return {}


def plain_text(_resource: Resource) -> Schema:
    """Describe an answer that JSON Schema cannot look into."""
    return {"type": "string"}


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """A format for answers. Its name is also its suffix in a path; the first of its media types is sent.

    `item` and `collection` return what `encode` turns into bytes. `schemas` returns the named schemas of a resource in this
    format; `item_schema` and `collection_schema` describe its answers, and may refer to those by `#/components/schemas/…`.
    """

    name: str
    media_types: tuple[str, ...]
    item: Callable[[Item], Any]
    collection: Callable[[Collection], Any]
    encode: Callable[[Any], bytes] = encode_json
    schemas: Callable[[Resource], dict[str, Schema]] = no_schemas
    item_schema: Callable[[Resource], Schema] = plain_text
    collection_schema: Callable[[Resource], Schema] = plain_text
