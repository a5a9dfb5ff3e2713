"""What a format is given to render: an item, or a page of a collection with the links between its pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

from rest.encoding import Fragment, compact, encode_json
from rest.pagination import Page
from rest.query import Parameters, build_query, parse_query
from rest.resource import Properties, Resource, fields

# A sign-in is no change of the item: a client that holds a tag while it signs in again must not lose it.
_APART = "lastLogin"


class Item:
    """One item as a caller sees it: its fields by wire name, in the wire's order. It does not change.

    What is made of it is kept, since the same item may be shown many times.
    """

    def __init__(self, resource: Resource, iri: str, fields: dict[str, Any]) -> None:
        """Take the resource, the item's path, and its fields."""
        self.resource, self.iri, self.fields = resource, iri, fields
        self._made: dict[Callable[[Item], Any], Fragment] = {}

    @classmethod
    def of(cls, resource: Resource, properties: Properties, row: Any) -> Self:
        """Take the properties that the caller sees from a row."""
        return cls(resource, resource.item_iri(row), fields(properties, row))

    def as_json(self, render: Callable[["Item"], Any]) -> Fragment:
        """Return what a function renders it as, as a piece of JSON."""
        made = self._made.get(render)
        if made is None:
            made = self._made[render] = Fragment(compact(encode_json(render(self))))
        return made

    @cached_property
    def digest(self) -> str:
        """Return 32 hexadecimal digits that tell its content from any other."""
        content = {name: value for name, value in self.fields.items() if name != _APART}
        return sha256(encode_json(content)).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PageLink:
    """Links to the pages of a collection: the request's path and raw query, its parameters in byte order, `page` last."""

    path: str
    query: str

    @property
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
