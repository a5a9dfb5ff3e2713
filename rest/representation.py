"""The objects that formats render: an item, or a page of a collection with links to other pages."""

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from itertools import chain, count
from sys import getsizeof
from typing import Any, Self

from orjson import Fragment

from rest.encoding import compact, encode_json
from rest.pagination import Page
from rest.query import Parameters, build_query, parse_query
from rest.remembered import OF_ITEMS
from rest.resource import Properties, Resource, fields

_numbers = count(1)

# The bytes of an item without its fields: the instance, its dictionary, its path, its number and its digest.
_BYTES_OF_ITEM = 600


class Item:
    """An item as a caller sees it, with its fields by name, in the order of answers. Do not change it.

    An item that several requests share has a unique `number`, the key of its cache entries in `rest.remembered`. An item with
    number 0 serves a single request and is not cached.
    """

    def __init__(self, resource: Resource, iri: str, fields: dict[str, Any]) -> None:
        """Take the resource, the item's path, and its fields."""
        self.resource, self.iri, self.fields = resource, iri, fields
        self.number = 0

    @classmethod
    def of(cls, resource: Resource, properties: Properties, row: Any) -> Self:
        """Make an item from a row, with the properties that the caller sees."""
        return cls(resource, resource.item_iri(row.id), fields(properties, row))

    def shared(self) -> Self:
        """Give this item its unique number, and return the item."""
        self.number = next(_numbers)
        return self

    def __sizeof__(self) -> int:
        """Return the bytes of the item and everything that it holds, for caches bounded in bytes."""
        values = self.fields.values()
        elements = chain.from_iterable(value for value in values if isinstance(value, list))
        return _BYTES_OF_ITEM + getsizeof(self.fields) + sum(map(getsizeof, values)) + sum(map(getsizeof, elements))

    def as_json(self, render: Callable[["Item"], Any]) -> Fragment:
        """Return the result of a render function, encoded as JSON and cached if the item is shared."""
        key = (render, self.number) if self.number else None
        return Fragment(OF_ITEMS.get(key, lambda: compact(encode_json(render(self)))))

    @cached_property
    def digest(self) -> str:
        """Return a digest of the fields for entity tags, in 32 hexadecimal digits."""
        untagged = self.resource.untagged
        content = {name: value for name, value in self.fields.items() if name not in untagged}
        return sha256(encode_json(content)).hexdigest()[:32]


@cache
def maker_of(resource: Resource, properties: Properties) -> Callable[[tuple[Any, ...]], Item]:
    """Return a function that makes an item from the values of `properties.columns`."""
    row = namedtuple("Row", properties.columns)  # type: ignore[misc]  # noqa: PYI024 - the names are data
    return lambda values: Item.of(resource, properties, row._make(values))


@cache
def shared_maker_of(resource: Resource, properties: Properties) -> Callable[[tuple[Any, ...]], Item]:
    """Return a function like that of `maker_of`, for items that several requests share."""
    make = maker_of(resource, properties)
    return lambda values: make(values).shared()


@dataclass(frozen=True)
class PageLink:
    """Links to the pages of a collection. They repeat the path and the query of the request, sorted by name, with `page` last."""

    path: str
    query: str

    @cached_property
    def parameters(self) -> Parameters:
        """Return the parameters that links repeat, sorted by the bytes of their names."""
        parameters = parse_query(self.query)
        parameters.pop("page", None)
        return dict(sorted(parameters.items(), key=lambda pair: pair[0].encode()))

    @property
    def has_parameters(self) -> bool:
        """Tell whether links repeat any parameter; `pagination` alone does not count, as in Chamilo."""
        return bool(self.parameters.keys() - {"pagination"})

    def to_page(self, number: int) -> str:
        """Return the link to a page."""
        return f"{self.path}?{build_query({**self.parameters, 'page': str(number)})}"

    def without_page(self) -> str:
        """Return the link to a collection that has a single page."""
        query = build_query(self.parameters)
        return f"{self.path}?{query}" if query else self.path


@dataclass(frozen=True, slots=True)
class Collection:
    """A page of the items of a resource."""

    resource: Resource
    page: Page
    link: PageLink

    @property
    def members(self) -> Sequence[Item]:
        """Return the items of the page."""
        return self.page.items

    def page_links(self) -> dict[str, str]:
        """Return the links `self`, `first`, `last`, `prev` and `next` of HAL and JSON:API; a single page has only `self`.

        As in Chamilo, a page past the end still has `next`, unlike in Hydra.
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
