"""What a format is given to render: an item, or a page of a collection with the links between its pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rest.pagination import Page
from rest.query import Parameters, build_query, parse_query
from rest.resource import Property, Resource, fields


@dataclass(frozen=True, slots=True)
class Item:
    """One item as a caller sees it: its fields by wire name, in the wire's order."""

    resource: Resource
    iri: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, resource: Resource, properties: Sequence[Property], row: Any) -> Self:
        """Take the properties that the caller sees from a row."""
        return cls(resource, resource.item_iri(row), fields(properties, row))


@dataclass(frozen=True, slots=True)
class PageLink:
    """Links to the pages of a collection: the path as requested, its parameters in byte order of name, `page` last."""

    path: str
    parameters: Parameters

    @classmethod
    def of(cls, path: str, query: str) -> Self:
        """Take the request's path and raw query."""
        parameters = parse_query(query)
        parameters.pop("page", None)
        return cls(path, dict(sorted(parameters.items(), key=lambda pair: pair[0].encode())))

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
    members: Sequence[Item]
    page: Page
    link: PageLink

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
