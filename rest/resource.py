"""The declaration of a resource: one object that renders it, validates bodies, and documents it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any

#: The most entries of a property of the kind TEXTS_BY_NAME: each may cost a look-up.
MOST_TEXTS = 500


class Kind(StrEnum):
    """The type of a property on the wire."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE_TIME = "date-time"
    STRINGS = "array"
    #: Texts by name, each perhaps null. PHP has one type for objects and lists, so a list has the names 0, 1 and so on.
    TEXTS_BY_NAME = "object"


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a resource.

    `attributes` names the columns that it needs; `value` computes it from a row, by default it is the first column. Every caller
    sees a `public` property, privileged callers see a `readable` one. `element_pattern` is a regular expression for each text of
    a written list. `max_length` counts characters, `max_bytes` bytes of UTF-8. `iri` is its term in a foreign vocabulary. If it
    is not `tagged`, changing it does not change the entity tag.
    """

    name: str
    kind: Kind
    attributes: tuple[str, ...] = ()
    value: Callable[[Any], Any] | None = None
    readable: bool = True
    public: bool = False
    writable: bool = False
    tagged: bool = True
    nullable: bool = False
    not_blank: bool = False
    email: bool = False
    is_password: bool = False
    max_length: int | None = None
    max_bytes: int | None = None
    choices: tuple[Any, ...] = ()
    element_pattern: str = ""
    description: str = ""
    example: Any = None
    iri: str = ""

    @property
    def read(self) -> Callable[[Any], Any]:
        """Return a function from a row to the value: None if it is missing, an aware datetime for a time."""
        return self.value or attrgetter(self.attributes[0])


class Properties(tuple[Property, ...]):  # noqa: SLOT001 - a cached property needs a place
    """Properties of a resource, in the order of the wire. Each selection is made once, so identity tells them apart."""

    __hash__ = object.__hash__

    @cached_property
    def readers(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """Return the name of each property and the function that reads it from a row."""
        return tuple((prop.name, prop.read) for prop in self)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that the properties need, `id` first."""
        return tuple(dict.fromkeys(("id", *(name for prop in self for name in prop.attributes))))


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource: its names on the wire and its properties, in the order of the wire.

    `iri` is the path of the collection or, if the resource `is_single`, of the only item. `iri_type` is the class in a
    vocabulary. `group` is part of the schemas' names, as API Platform's serialization group: `user` in `User-user.read`; by
    default it is the name in lower case.
    """

    name: str
    iri: str
    iri_type: str
    properties: Sequence[Property]
    search: Sequence["Filter"] = field(default_factory=tuple)
    accept_patch: Sequence[str] = ()
    is_single: bool = False
    group: str = ""

    def item_iri(self, row: Any) -> str:
        """Return the path of an item."""
        return self.iri if self.is_single else f"{self.iri}/{row.id}"

    @cached_property
    def readable(self) -> Properties:
        """Return the properties that privileged callers see."""
        return Properties(prop for prop in self.properties if prop.readable)

    @cached_property
    def public(self) -> Properties:
        """Return the properties that every caller sees."""
        return Properties(prop for prop in self.properties if prop.public)

    @cached_property
    def writable(self) -> Properties:
        """Return the properties that a body may set."""
        return Properties(prop for prop in self.properties if prop.writable)

    @cached_property
    def untagged(self) -> frozenset[str]:
        """Return the names of the properties that entity tags leave out."""
        return frozenset(prop.name for prop in self.properties if not prop.tagged)


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter of a collection. `hydra:search` leaves an unlisted one out."""

    variable: str
    property: str | None
    listed: bool = True
    is_boolean: bool = False
    is_list: bool = False
    description: str = ""


def fields(properties: Properties, row: Any) -> dict[str, Any]:
    """Return the properties of a row in the order of the wire, without those that are None."""
    return {name: value for name, read in properties.readers if (value := read(row)) is not None}


def texts(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with times as text, for a format that has no type for them."""
    return {name: format_date_time(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def format_date_time(moment: datetime) -> str:
    """Format an aware UTC datetime as `2026-09-22T10:00:00+00:00` (RFC 3339)."""
    return moment.isoformat(timespec="seconds")
