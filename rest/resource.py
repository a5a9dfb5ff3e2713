"""The declaration of a resource: one object that renders it, validates what is written to it, and documents it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any


class Kind(StrEnum):
    """The type of a property on the wire."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE_TIME = "date-time"
    STRINGS = "array"


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a resource: where it comes from, who sees it, what may be written to it.

    `attributes` names what it needs of a row; `value` makes the wire's value of them, where it is not just the first.
    `element_pattern` is a regular expression for each text of a list that is written. `max_length` counts characters,
    `max_bytes` those of UTF-8; `iri` is its term in a vocabulary, where it is not our own.
    """

    name: str
    kind: Kind
    attributes: tuple[str, ...] = ()
    value: Callable[[Any], Any] | None = None
    readable: bool = True
    public: bool = False
    writable: bool = False
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
        """Return what gives the value of this property of a row; None where there is none, an aware datetime for a time."""
        return self.value or attrgetter(self.attributes[0])


class Properties(tuple[Property, ...]):  # noqa: SLOT001 - a cached property needs a place
    """Some properties of a resource, in the order of the wire. Made once each, and so told apart by identity."""

    __hash__ = object.__hash__

    @cached_property
    def readers(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """Return what reads each of them from a row."""
        return tuple((prop.name, prop.read) for prop in self)


@dataclass(frozen=True, eq=False)
class Resource:
    """A kind of thing with a URL of its own: its names on the wire and its properties, in the order of the wire.

    `is_single` means that there is one, at `iri` itself, instead of a collection.
    """

    name: str
    iri: str
    iri_type: str
    properties: Sequence[Property]
    search: Sequence["Filter"] = field(default_factory=tuple)
    accept_patch: Sequence[str] = ()
    is_single: bool = False

    def item_iri(self, row: Any) -> str:
        """Return the path of one item."""
        return self.iri if self.is_single else f"{self.iri}/{row.id}"

    @cached_property
    def readable(self) -> Properties:
        """Return what someone sees who may see all."""
        return Properties(prop for prop in self.properties if prop.readable)

    @cached_property
    def public(self) -> Properties:
        """Return what everyone sees."""
        return Properties(prop for prop in self.properties if prop.public)

    @cached_property
    def writable(self) -> Properties:
        """Return what a body may set."""
        return Properties(prop for prop in self.properties if prop.writable)


@dataclass(frozen=True, slots=True)
class Filter:
    """One query parameter of a collection, as `hydra:search` lists it; an unlisted one works all the same."""

    variable: str
    property: str | None
    listed: bool = True
    is_boolean: bool = False
    is_list: bool = False
    description: str = ""


def fields(properties: Properties, row: Any) -> dict[str, Any]:
    """Return the properties of a row in the wire's order; those without a value are left out."""
    return {name: value for name, read in properties.readers if (value := read(row)) is not None}


def texts(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields for a format that has no times of its own: they are texts."""
    return {name: format_date_time(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def format_date_time(moment: datetime) -> str:
    """Write an aware UTC datetime as `2026-09-22T10:00:00+00:00` (RFC 3339)."""
    return moment.isoformat(timespec="seconds")
