"""The formats that an OpenAPI document shows: all, or a single one, whose suffix then ends the paths."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from rest.dialect import CHAMILO_2, Dialect
from rest.format import BodyType, Format, leading_first
from rest.formats import FORMATS
from rest.operation import RoutedOperation


@dataclass(frozen=True)
class Selection:
    """The formats of a document. With `only`, each body and each answer has one media type, and paths end in its suffix.

    `dialect` decides the forms of failures. `server_url` is the base of the paths. Some generated clients put it before each
    path unchanged, so `/` would lead to `//api`.
    """

    only: Format | None = None
    server_url: str = "/"
    dialect: Dialect = CHAMILO_2

    @property
    def formats(self) -> list[Format]:
        """Return the formats of answers, the one for client generators first."""
        return [self.only] if self.only else leading_first(FORMATS.values())

    def path(self, routed: RoutedOperation) -> str:
        """Return the path template of an operation."""
        return f"{routed.path}.{self.only.name}" if self.only and routed.takes_suffix else routed.path

    def schema_name(self, name: str) -> str:
        """Return the name of a schema. Some client generators mistake what precedes a dot for the name of a module."""
        return name.replace(".", "-") if self.only else name

    def bodies(self, takes: Iterable[BodyType]) -> list[BodyType]:
        """Return the body types to show. If none is of the only format, show the operation's first, such as a merge patch."""
        listed = [body_type for body_type in leading_first(takes) if body_type.listed]
        if self.only is None:
            return listed
        return [body_type for body_type in listed if body_type is self.only.body] or listed[:1]

    def failures(self, status: HTTPStatus) -> dict[str, str] | None:
        """Return the names of a failure's schemas by media type, or None if its form does not depend on the format."""
        known = self.dialect.failure_schemas
        if self.only is None:
            return known.of_all.get(status)
        return (known.of_json if self.only.problem_json else known.of_json_ld).get(status)
