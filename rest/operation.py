"""The declaration of an operation, which its view, content negotiation and the API's documents all read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple

from flask.typing import RouteCallable

from rest.format import BodyType
from rest.resource import Resource
from rest.schema import Schema

_ATTRIBUTE = "operation"


class Shape(StrEnum):
    """The kind of answer of an operation on a resource."""

    ITEM = "item"
    COLLECTION = "collection"
    NOTHING = "nothing"


class Tag(NamedTuple):
    """A group of operations in the OpenAPI document."""

    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """An operation under one method of one path.

    `status` is the status of success, `failures` are all others. `failure_texts` replaces texts of failures in examples.
    `id_schema` and `id_example` describe the id in the path if it is not a number. `example` is an example of the body. Tools
    fill it in, so it must do no harm if it is sent unchanged.

    An operation on a resource has `resource`, `shape` and `takes`; `body` declares its body if that is not the resource itself.
    A `complete` body must have all properties that must not be blank. With `refuses_plainly`, an unreadable body is answered
    with `{"error"}`, whatever the client accepts.

    Any other operation has `request_schema`, `needs_body`, `response_schema` and `response_example`.
    """

    id: str
    tag: Tag
    summary: str
    description: str
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
    response_example: Any = None
    example: Any = None
    failure_texts: Mapping[HTTPStatus, str] = field(default_factory=dict)
    id_schema: Schema | None = None
    id_example: str = ""

    @property
    def of_collection(self) -> bool:
        """Tell whether the operation lists the collection or adds to it."""
        return self.shape is Shape.COLLECTION or self.status is HTTPStatus.CREATED


class RoutedOperation(NamedTuple):
    """An operation with its path template and method.

    A public operation needs no token. An operation that `needs_sign_in` accepts a token, but no API key. With `takes_suffix`,
    the path may end in the name of a format, such as `.json`.
    """

    path: str
    method: str
    operation: Operation
    is_public: bool
    needs_sign_in: bool
    takes_suffix: bool


def documented(operation: Operation) -> Callable[[RouteCallable], RouteCallable]:
    """Decorate a view with its declaration."""

    def decorate(view: RouteCallable) -> RouteCallable:
        setattr(view, _ATTRIBUTE, operation)
        return view

    return decorate


def operation_of(view: RouteCallable) -> Operation | None:
    """Return the declaration of a view, if it has one."""
    return getattr(view, _ATTRIBUTE, None)
