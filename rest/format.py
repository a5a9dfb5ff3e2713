"""Formats: how answers are rendered and encoded, how bodies are read, and how the OpenAPI document describes both."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rest.encoding import encode_json
from rest.representation import Collection, Item
from rest.resource import Resource

Schema = dict[str, Any]

#: The header field with the total of a collection, for formats whose bodies have no place for a total.
TOTAL_HEADER = "X-Total-Count"


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    return document


def _plain_schema(attributes: Schema, *, complete: bool) -> Schema:  # noqa: ARG001 - JSON:API needs it
    return attributes


def _plain_example(_resource: Resource, attributes: Schema) -> Schema:
    return attributes


def _no_schemas(_resource: Resource) -> dict[str, Schema]:
    return {}


def _text_schema(_resource: Resource) -> Schema:
    return {"type": "string"}


@dataclass(frozen=True, slots=True)
class BodyType:
    """A media type of request bodies, which are JSON.

    `unwrap` finds the properties in the decoded object, or raises UnreadableRequest. A type that is not `listed` is left out of
    the documents and of the text of 415. `infix` is part of the names of its schemas. `schema` and `example` make those of the
    body from those of the properties. For `leads` see `leading_first`.
    """

    media_type: str
    unwrap: Callable[[dict[str, Any]], Any] = _whole
    listed: bool = True
    leads: bool = False
    infix: str = ""
    schema: Callable[..., Schema] = _plain_schema
    example: Callable[[Resource, Schema], Schema] = _plain_example


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
    schemas: Callable[[Resource], dict[str, Schema]] = _no_schemas
    item_schema: Callable[[Resource], Schema] = _text_schema
    collection_schema: Callable[[Resource], Schema] = _text_schema


class _Leading(Protocol):
    @property
    def leads(self) -> bool: ...


Declared = TypeVar("Declared", bound=_Leading)


def leading_first(declared: Iterable[Declared]) -> list[Declared]:
    """Sort formats or body types for the OpenAPI document: client generators use the first media type that they find."""
    return sorted(declared, key=lambda one: not one.leads)
