"""Content negotiation: chooses the format by suffix, then by `Accept` as Chamilo does, and renders answers in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache, wraps
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Flask, Response, g, request
from flask.globals import app_ctx, request_ctx
from flask.typing import RouteCallable
from werkzeug.exceptions import NotAcceptable, NotFound, UnsupportedMediaType

from rest import conditional
from rest.answer import Answer
from rest.body import MissingMediaType, read_object, request_bytes, request_media_type
from rest.dialect import Dialect
from rest.encoding import compact
from rest.format import TOTAL_HEADER, BodyType, Format
from rest.formats import FORMATS
from rest.media_ranges import best_match, choose_media_type
from rest.operation import Operation, RoutedOperation, Shape, documented
from rest.problem import JSON, JSON_LD, PROBLEM, Fields
from rest.remembered import OF_ITEMS, OF_PAGES
from rest.representation import Collection, Item

_EXTENSION = "poort-negotiation"

# `Accept` chooses a failure's document from these media types. The first stands for Hydra's form, the others for plain JSON's.
_ERROR_TYPES = (JSON_LD, JSON, PROBLEM)

# A body and its header fields.
Rendered = tuple[bytes, Fields]


class Negotiation(NamedTuple):
    """What negotiation needs to know of an application. `refuse_bad_token` raises if the token of the request is invalid."""

    dialect: Dialect
    fields_of_paths: Mapping[Operation, Fields]
    refuse_bad_token: Callable[[], object]


class Negotiated(NamedTuple):
    """The outcome for the current request: the type of its body, if it has a `Content-Type`, and the format of its answer."""

    operation: Operation
    body_type: BodyType | None
    format: Format
    environ: dict[str, Any]
    negotiation: Negotiation


def install_negotiation(
    app: Flask, dialect: Dialect, routed: Iterable[RoutedOperation], refuse_bad_token: Callable[[], object]
) -> None:
    """Set up negotiation for the views of an application that are decorated with `speaks`."""
    app.extensions[_EXTENSION] = Negotiation(dialect, dialect.fields_of_paths(routed), refuse_bad_token)


class UnknownFormat(NotFound):
    """404: no format has the suffix."""

    error_code = "format_not_found"

    def __init__(self, suffix: str) -> None:
        """Take the suffix."""
        super().__init__(f'Format "{suffix}" is not supported')


def dialect_at_hand() -> Dialect:
    """Return the dialect of the current application."""
    negotiation: Negotiation = app_ctx.app.extensions[_EXTENSION]
    return negotiation.dialect


def speaks(operation: Operation) -> Callable[[RouteCallable], RouteCallable]:
    """Decorate a view of a resource.

    Raises 404, 415 and 406 before authentication. A dialect may refuse invalid tokens first (docs/compatibility.md#precedence).
    """

    def decorate(view: RouteCallable) -> RouteCallable:
        @wraps(view)
        def negotiated(*args: Any, suffix: str | None = None, **kwargs: Any) -> Any:
            environ, negotiation = request_ctx.request.environ, app_ctx.app.extensions[_EXTENSION]
            try:
                require_known(suffix)
                body_type = _body_type(operation.takes)
                chosen = _format(suffix, environ.get("HTTP_ACCEPT", "").strip())
            except (UnknownFormat, UnsupportedMediaType, NotAcceptable):
                if negotiation.dialect.refuses_bad_tokens_first:
                    negotiation.refuse_bad_token()
                raise
            app_ctx.g.negotiated = Negotiated(operation, body_type, chosen, environ, negotiation)
            return view(*args, **kwargs)

        return documented(operation)(negotiated)

    return decorate


def request_body() -> bytes:
    """Read the body of the current request. Raises 415 if the request has no `Content-Type`."""
    if g.negotiated.body_type is None:
        raise MissingMediaType
    return request_bytes(request)


def request_object() -> dict[str, Any]:
    """Read the body of the current request as a JSON object. Raises 415 and rest.problem.UnreadableRequest."""
    return read_object(g.negotiated.body_type, request_body())


def render_item(item: Item) -> Response:
    """Answer with an item, or 304 if the client has it already."""
    operation, _, chosen, environ, negotiation = app_ctx.g.negotiated
    key = (operation, chosen, item.number) if item.number else None
    body, fields = OF_ITEMS.get(key, lambda: _make_item(operation, chosen, item, negotiation))
    location = negotiation.dialect.item_location(environ, item.iri, chosen.name)
    return _conditional(environ, Answer(body, operation.status, (*fields, *location)))


def render_nothing() -> Response:
    """Answer 204."""
    operation, negotiation = g.negotiated.operation, g.negotiated.negotiation
    return Response(status=HTTPStatus.NO_CONTENT, headers=_headers(operation, None, _of_path(operation, negotiation)))


def render_collection(collection: Collection) -> Response:
    """Answer with a page of a collection, or 304 if the client has it already."""
    operation, _, chosen, environ, negotiation = app_ctx.g.negotiated
    key = _page_key(operation, chosen, collection)
    body, fields = OF_PAGES.get(key, lambda: _make_collection(operation, chosen, collection, negotiation))
    location = negotiation.dialect.page_location(environ, collection.resource.iri, chosen.name)
    return _conditional(environ, Answer(body, operation.status, (*fields, *location)))


def _page_key(operation: Operation, chosen: Format, collection: Collection) -> tuple[Any, ...] | None:
    """Return the cache key of a page. If an item has no number, it serves only this request, and the key is None."""
    numbers = tuple([member.number for member in collection.members])
    if not all(numbers):
        return None
    paging, link = collection.page.paging, collection.link
    return (operation, chosen, paging.page, paging.items_per_page, collection.page.total_items, link.path, link.query, numbers)


def _make_item(operation: Operation, chosen: Format, item: Item, negotiation: Negotiation) -> Rendered:
    fields = [*_headers(operation, chosen, _of_path(operation, negotiation))]
    if operation.status is HTTPStatus.CREATED:
        fields.append(("Location", item.iri))
    return _made(chosen.encode(chosen.item(item)), fields, conditional.tag_of_item(item, chosen.name))


def _make_collection(operation: Operation, chosen: Format, collection: Collection, negotiation: Negotiation) -> Rendered:
    fields = [*_headers(operation, chosen, _of_path(operation, negotiation))]
    if chosen.total_in_header:
        fields.append((TOTAL_HEADER, str(collection.page.total_items)))
    return _made(chosen.encode(chosen.collection(collection)), fields, conditional.tag_of_collection(collection, chosen.name))


def _made(body: bytes, fields: Sequence[tuple[str, str]], tag: str) -> Rendered:
    return compact(body), (*fields, ("ETag", f'"{tag}"'), ("Content-Length", str(len(body))))


def _of_path(operation: Operation, negotiation: Negotiation) -> Fields:
    return negotiation.fields_of_paths.get(operation, ())


@cache
def _headers(operation: Operation, chosen: Format | None, of_path: Fields) -> Fields:
    """Return the header fields that all of an operation's answers in a format share. An answer without content has no format."""
    headers = [("Content-Type", f"{chosen.media_types[0]}; charset=utf-8")] if chosen else []
    headers += [("Vary", "Accept"), ("Cache-Control", "no-cache, private")]
    if operation.resource and operation.resource.accept_patch and operation.shape is not Shape.COLLECTION:
        headers.append(("Accept-Patch", ", ".join(operation.resource.accept_patch)))
    return (*headers, *of_path)


def _conditional(environ: dict[str, Any], response: Response) -> Response:
    return conditional.not_modified(request, response) if "HTTP_IF_NONE_MATCH" in environ else response


def wants_problem_json() -> bool:
    """Tell whether a failure gets the document for clients of plain JSON. The suffix decides, or else `Accept`.

    Failures have fewer forms than other answers, so there may be none in the format that the client prefers.
    """
    named = FORMATS.get((request.view_args or {}).get("suffix") or "")
    offered = [media_type for media_type in _ERROR_TYPES if named and media_type in named.media_types] or list(_ERROR_TYPES)
    return (best_match(request.headers.get("Accept", ""), offered) or offered[0]) in _ERROR_TYPES[1:]


def require_known(suffix: str | None) -> None:
    """Raise UnknownFormat for the suffix of no format."""
    if suffix is not None and suffix not in FORMATS:
        raise UnknownFormat(suffix)


def _body_type(takes: tuple[BodyType, ...]) -> BodyType | None:
    if not takes:
        return None
    by_media_type = {body_type.media_type: body_type for body_type in takes}
    listed = [body_type.media_type for body_type in takes if body_type.listed]
    try:
        return by_media_type[request_media_type(request, by_media_type, listed)]
    except MissingMediaType:  # as in Chamilo, this is refused only when the body is read
        return None


# Clients send few different `Accept` fields, and all are short. 1,024 cached choices take half a megabyte.
_LONGEST_CACHED_ACCEPT = 256


def _format(suffix: str | None, accept: str) -> Format:
    choose = _cached_format if len(accept) <= _LONGEST_CACHED_ACCEPT else _choose_format
    return choose(suffix, accept)


def _choose_format(suffix: str | None, accept: str) -> Format:
    formats = [FORMATS[suffix]] if suffix else FORMATS.values()
    offered = {media_type: format_ for format_ in formats for media_type in format_.media_types}
    unlisted = {} if suffix else {media_type: format_ for format_ in formats for media_type in format_.unlisted_media_types}
    return (offered | unlisted)[choose_media_type(accept, list(offered), list(unlisted))]


_cached_format = lru_cache(maxsize=1024)(_choose_format)


def accepted_media_type(offered: list[str]) -> str:
    """Choose the media type of the answer to the current request. Raises 406."""
    return choose_media_type(request.headers.get("Accept", "").strip(), offered)
