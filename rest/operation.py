"""The declaration of an operation: what it takes and answers, for its view, for negotiation and for the documents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple

from flask.typing import RouteCallable

from rest.body import BodyType
from rest.resource import Resource

Schema = Mapping[str, Any]

_ATTRIBUTE = "operation"


class Shape(StrEnum):
    """What a resource's operation answers with."""

    ITEM = "item"
    COLLECTION = "collection"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """An operation under one method of one path.

    A resource's operation has `resource`, `shape` and `takes`, and `body` where a body says something else than the
    resource; another one has the JSON schemas of its bodies, and of the id in its path where that is no number, and says
    whether it `needs_body`. `complete` means that a body must say all that must not be
    blank, `refuses_plainly` that one which cannot be read is answered with `{"error"}`, whatever is accepted. `failures`
    are the statuses that it may answer with beside `status`.
    """

    id: str
    tag: str
    summary: str
    status: HTTPStatus = HTTPStatus.OK
    failures: tuple[HTTPStatus, ...] = ()
    resource: Resource | None = None
    shape: Shape = Shape.ITEM
    takes: tuple[BodyType, ...] = ()
    body: Resource | None = None
    complete: bool = False
    refuses_plainly: bool = False
    request_schema: Schema | None = None
    needs_body: bool = True
    response_schema: Schema | None = None
    example: Any = None
    id_schema: Schema | None = None

    @property
    def of_collection(self) -> bool:
        """Tell whether it is an operation on the collection: listing it, or adding to it."""
        return self.shape is Shape.COLLECTION or self.status is HTTPStatus.CREATED


class RoutedOperation(NamedTuple):
    """An operation with the path template and the method that it is served under, and whether it needs no token."""

    path: str
    method: str
    operation: Operation
    is_public: bool


def documented(operation: Operation) -> Callable[[RouteCallable], RouteCallable]:
    """Decorate a view with its declaration."""

    def decorate(view: RouteCallable) -> RouteCallable:
        setattr(view, _ATTRIBUTE, operation)
        return view

    return decorate


def operation_of(view: RouteCallable) -> Operation | None:
    """Return the declaration of a view; None where it has none."""
    return getattr(view, _ATTRIBUTE, None)
