"""The declaration of a resource, which decides how answers are rendered, bodies validated, and documents written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any

#: The most entries that a property of the kind TEXTS_BY_NAME may have, since each may need a look-up.
MOST_TEXTS = 500


class Kind(StrEnum):
    """The type of a property on the wire."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE_TIME = "date-time"
    STRINGS = "array"
    #: Texts by name; each may be null. PHP has one type for objects and lists, so a list has the names 0, 1 and so on.
    TEXTS_BY_NAME = "object"


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a resource.

    `attributes` names the columns that it needs. `value` computes it from a row; by default it is the first column. It may be
    None, and a time must be an aware datetime. Every caller sees `public` properties, and privileged callers see all `readable`
    ones. `element_pattern` is a regular expression for each text of a list in a body. `max_length` counts characters,
    `max_bytes` bytes of UTF-8. `iri` is the property's term in another vocabulary. A property that is not `tagged` has no effect
    on the entity tag.
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


class Properties(tuple[Property, ...]):  # noqa: SLOT001 - a cached property needs `__dict__`
    """Properties of a resource, in the order of answers. Each selection is made only once, so its identity serves as its hash."""

    __hash__ = object.__hash__

    @cached_property
    def readers(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """Return the name of each property and the function that reads it from a row."""
        return tuple((prop.name, prop.value or attrgetter(prop.attributes[0])) for prop in self)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that the properties need, `id` first."""
        return tuple(dict.fromkeys(("id", *(name for prop in self for name in prop.attributes))))


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource: its names in answers, and its properties, in the order of answers.

    `iri` is the path of the collection or, if the resource `is_single`, of the only item. `iri_type` is its class in a
    vocabulary. `group`, like API Platform's serialization groups, is part of the schemas' names, such as `user` in
    `User-user.read`. By default it is the name in lower case.
    """

    name: str
    iri: str
    iri_type: str
    properties: Sequence[Property]
    search: Sequence["Filter"] = field(default_factory=tuple)
    accept_patch: Sequence[str] = ()
    is_single: bool = False
    group: str = ""

    def item_iri(self, id_: int) -> str:
        """Return the path of an item."""
        return self.iri if self.is_single else f"{self.iri}/{id_}"

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
    """A query parameter of a collection. `hydra:search` shows it only if it is `listed`."""

    variable: str
    property: str | None
    listed: bool = True
    is_boolean: bool = False
    is_list: bool = False
    description: str = ""


def fields(properties: Properties, row: Any) -> dict[str, Any]:
    """Return the properties of a row in the order of answers, without those that are None."""
    return {name: value for name, read in properties.readers if (value := read(row)) is not None}


def texts(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with times as text, for a format that has no type for them."""
    return {name: format_date_time(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def format_date_time(moment: datetime) -> str:
    """Format an aware UTC datetime as `2026-09-22T10:00:00+00:00` (RFC 3339)."""
    return moment.isoformat(timespec="seconds")
