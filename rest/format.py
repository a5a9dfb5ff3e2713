"""Formats: how answers are rendered and encoded, how bodies are read, and how the OpenAPI document describes both."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from rest.encoding import encode_json
from rest.representation import Collection, Item
from rest.resource import Resource
from rest.schema import TEXT, Schema

#: The header field with the total of a collection, for formats whose bodies have no place for a total.
TOTAL_HEADER = "X-Total-Count"


@dataclass(frozen=True, slots=True)
class BodyType:
    """A media type of request bodies, which are JSON.

    `unwrap` finds the properties in the decoded object, or raises UnreadableRequest. A type that is not `listed` is left out of
    the documents and of the text of 415. `infix` is part of the names of its schemas. `schema` and `example` turn the schema and
    the example of the properties into those of the body. For `leads` see `leading_first`.
    """

    media_type: str
    unwrap: Callable[[dict[str, Any]], Any] = lambda document: document
    listed: bool = True
    leads: bool = False
    infix: str = ""
    schema: Callable[..., Schema] = lambda attributes, **_: attributes
    example: Callable[[Resource, Schema], Schema] = lambda _resource, attributes: attributes


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Format:
    """A format of answers. Its name is also its suffix in a path, and answers carry the first of its media types.

    If a path has no suffix, `unlisted_media_types` also select the format, but the text of 406 does not name them. `item` and
    `collection` return values that `encode` turns into bytes. `body` is the type of request bodies in this format, if any.
    With `problem_json`, unreadable and invalid requests are answered with problem documents (RFC 9457). With `total_in_header`,
    collections carry `X-Total-Count`.

    `schemas` returns the named schemas of a resource in this format. `item_schema` and `collection_schema` describe its
    answers, and may refer to named schemas with `rest.schema.reference`. By default they describe answers as text.
    """

    name: str
    media_types: tuple[str, ...]
    item: Callable[[Item], Any]
    collection: Callable[[Collection], Any]
    encode: Callable[[Any], bytes] = encode_json
    unlisted_media_types: tuple[str, ...] = ()
    body: BodyType | None = None
    problem_json: bool = False
    total_in_header: bool = False
    leads: bool = False
    schemas: Callable[[Resource], dict[str, Schema]] = lambda _resource: {}
    item_schema: Callable[[Resource], Schema] = lambda _resource: TEXT
    collection_schema: Callable[[Resource], Schema] = lambda _resource: TEXT


Declared = TypeVar("Declared", BodyType, Format)


def leading_first(declared: Iterable[Declared]) -> list[Declared]:
    """Sort formats or body types for the OpenAPI document: client generators use the first media type that they find."""
    return sorted(declared, key=lambda one: not one.leads)
