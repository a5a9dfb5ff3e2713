"""What a format is given to render: an item, or a page of a collection with the links between its pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain, count
from sys import getsizeof
from typing import Any, Self

from rest.encoding import Fragment, compact, encode_json
from rest.pagination import Page
from rest.query import Parameters, build_query, parse_query
from rest.remembered import OF_ITEMS
from rest.resource import Properties, Resource, fields

# A sign-in is no change of the item: a client that holds a tag while it signs in again must not lose it.
_APART = "lastLogin"


_numbers = count(1)

# The instance, its dictionary, its path, its number and its digest.
_BYTES_OF_ITEM = 600


class Item:
    """One item as a caller sees it: its fields by wire name, in the wire's order. It does not change.

    A `number` is given to an item that several requests share. No other item ever has it, so `rest.remembered` uses it as
    the key of what was made of the item. An item whose number is 0 serves one request, and nothing of it is remembered.
    """

    def __init__(self, resource: Resource, iri: str, fields: dict[str, Any]) -> None:
        """Take the resource, the item's path, and its fields."""
        self.resource, self.iri, self.fields = resource, iri, fields
        self.number = 0

    @classmethod
    def of(cls, resource: Resource, properties: Properties, row: Any) -> Self:
        """Take the properties that the caller sees from a row."""
        return cls(resource, resource.item_iri(row), fields(properties, row))

    def shared(self) -> Self:
        """Give the item a number, and return it."""
        self.number = next(_numbers)
        return self

    def __sizeof__(self) -> int:
        """Return the bytes of the item with everything that it holds, for caches that are bounded in bytes."""
        values = self.fields.values()
        elements = chain.from_iterable(value for value in values if isinstance(value, list))
        return _BYTES_OF_ITEM + getsizeof(self.fields) + sum(map(getsizeof, values)) + sum(map(getsizeof, elements))

    def as_json(self, render: Callable[["Item"], Any]) -> Fragment:
        """Return what a function renders it as, as a piece of JSON."""
        key = (render, self.number) if self.number else None
        return Fragment(OF_ITEMS.get(key, lambda: compact(encode_json(render(self)))))

    @cached_property
    def digest(self) -> str:
        """Return 32 hexadecimal digits that tell its content from any other."""
        content = {name: value for name, value in self.fields.items() if name != _APART}
        return sha256(encode_json(content)).hexdigest()[:32]


@dataclass(frozen=True)
class PageLink:
    """Links to the pages of a collection: the request's path and raw query, its parameters in byte order, `page` last."""

    path: str
    query: str

    @cached_property
    def parameters(self) -> Parameters:
        """Return the parameters of the query that a link repeats."""
        parameters = parse_query(self.query)
        parameters.pop("page", None)
        return dict(sorted(parameters.items(), key=lambda pair: pair[0].encode()))

    @property
    def has_parameters(self) -> bool:
        """Tell whether the request had parameters that a link must repeat; `pagination` alone is none."""
        return bool(self.parameters.keys() - {"pagination"})

    def to_page(self, number: int) -> str:
        """Return the link to one page."""
        return f"{self.path}?{build_query({**self.parameters, 'page': str(number)})}"

    def without_page(self) -> str:
        """Return the link to the collection where it has one page only."""
        query = build_query(self.parameters)
        return f"{self.path}?{query}" if query else self.path


@dataclass(frozen=True, slots=True)
class Collection:
    """One page of a resource's items."""

    resource: Resource
    page: Page
    link: PageLink

    @property
    def members(self) -> Sequence[Item]:
        """Return the items."""
        return self.page.items

    def page_links(self) -> dict[str, str]:
        """Return the links `self`, `first`, `last`, `prev` and `next` of HAL and JSON:API; `self` alone of a single page.

        Past the end there is a `next` still, as recorded; Hydra's own links are without.
        """
        page, link = self.page, self.link
        if page.last == 1:
            return {"self": link.without_page()}
        links = {"self": link.to_page(page.number), "first": link.to_page(1), "last": link.to_page(page.last)}
        if page.number > 1:
            links["prev"] = link.to_page(page.number - 1)
        if page.number != page.last:
            links["next"] = link.to_page(page.number + 1)
        return links
