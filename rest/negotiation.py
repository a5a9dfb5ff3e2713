"""Content negotiation: chooses the format by suffix, then by `Accept` as Chamilo does, and renders answers in it."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, wraps
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Response, g, request
from flask.globals import app_ctx, request_ctx
from flask.typing import RouteCallable
from werkzeug.exceptions import NotAcceptable, NotFound
from werkzeug.http import parse_options_header

from rest import conditional
from rest.answer import Answer
from rest.body import read_object, request_bytes, request_media_type
from rest.encoding import compact
from rest.format import TOTAL_HEADER, BodyType, Format
from rest.formats import FORMATS
from rest.operation import Operation, Shape, documented
from rest.remembered import OF_ITEMS, OF_PAGES
from rest.representation import Collection, Item

# A body and its header fields.
Rendered = tuple[bytes, tuple[tuple[str, str], ...]]


class Negotiated(NamedTuple):
    """The outcome for the current request: the type of its body, if it has one, and the format of its answer."""

    operation: Operation
    body_type: BodyType | None
    format: Format
    environ: dict[str, Any]


class UnknownFormat(NotFound):
    """404: no format has the suffix."""

    error_code = "format_not_found"

    def __init__(self, suffix: str) -> None:
        """Take the suffix."""
        super().__init__(f'Format "{suffix}" is not supported')


def speaks(operation: Operation) -> Callable[[RouteCallable], RouteCallable]:
    """Decorate a view of a resource. Raises 404, 415 and 406 before authentication (docs/compatibility.md#precedence)."""

    def decorate(view: RouteCallable) -> RouteCallable:
        @wraps(view)
        def negotiated(*args: Any, suffix: str | None = None, **kwargs: Any) -> Any:
            if suffix is not None and suffix not in FORMATS:
                raise UnknownFormat(suffix)
            environ = request_ctx.request.environ
            body_type = _body_type(operation.takes) if operation.takes else None
            chosen = _format(suffix, environ.get("HTTP_ACCEPT", "").strip())
            app_ctx.g.negotiated = Negotiated(operation, body_type, chosen, environ)
            return view(*args, **kwargs)

        return documented(operation)(negotiated)

    return decorate


def request_object() -> dict[str, Any]:
    """Read the body of the current request as a JSON object. Raises rest.problem.UnreadableRequest."""
    return read_object(g.negotiated.body_type, request_bytes(request))


def render_item(item: Item) -> Response:
    """Answer with an item, or 304 if the client has it already."""
    operation, _, chosen, environ = app_ctx.g.negotiated
    key = (operation, chosen, item.number) if item.number else None
    body, fields = OF_ITEMS.get(key, lambda: _make_item(operation, chosen, item))
    return _conditional(environ, Answer(body, operation.status, fields))


def render_nothing() -> Response:
    """Answer 204."""
    return Response(status=HTTPStatus.NO_CONTENT, headers=_headers(g.negotiated.operation, None))


def render_collection(collection: Collection) -> Response:
    """Answer with a page of a collection, or 304 if the client has it already."""
    operation, _, chosen, environ = app_ctx.g.negotiated
    key = _page_key(operation, chosen, collection)
    body, fields = OF_PAGES.get(key, lambda: _make_collection(operation, chosen, collection))
    return _conditional(environ, Answer(body, operation.status, fields))


def _page_key(operation: Operation, chosen: Format, collection: Collection) -> tuple[Any, ...] | None:
    """Return the cache key of a page, None if it has items that are not shared."""
    numbers = tuple([member.number for member in collection.members])
    if not all(numbers):
        return None
    paging, link = collection.page.paging, collection.link
    return (operation, chosen, paging.page, paging.items_per_page, collection.page.total_items, link.path, link.query, numbers)


def _make_item(operation: Operation, chosen: Format, item: Item) -> Rendered:
    fields = [*_headers(operation, chosen), ("Content-Location", item.iri)]
    if operation.status is HTTPStatus.CREATED:
        fields.append(("Location", item.iri))
    return _made(chosen.encode(chosen.item(item)), fields, conditional.tag_of_item(item, chosen.name))


def _make_collection(operation: Operation, chosen: Format, collection: Collection) -> Rendered:
    fields = [*_headers(operation, chosen)]
    if chosen.total_in_header:
        fields.append((TOTAL_HEADER, str(collection.page.total_items)))
    return _made(chosen.encode(chosen.collection(collection)), fields, conditional.tag_of_collection(collection, chosen.name))


def _made(body: bytes, fields: Sequence[tuple[str, str]], tag: str) -> Rendered:
    return compact(body), (*fields, ("ETag", f'"{tag}"'), ("Content-Length", str(len(body))))


@cache
def _headers(operation: Operation, chosen: Format | None) -> tuple[tuple[str, str], ...]:
    """Return the header fields of all answers of an operation in a format; None stands for no content."""
    headers = [("Content-Type", f"{chosen.media_types[0]}; charset=utf-8")] if chosen else []
    headers += [("Vary", "Accept"), ("Cache-Control", "no-cache, private")]
    if operation.resource and operation.resource.accept_patch and operation.shape is not Shape.COLLECTION:
        headers.append(("Accept-Patch", ", ".join(operation.resource.accept_patch)))
    return tuple(headers)


def _conditional(environ: dict[str, Any], response: Response) -> Response:
    is_asked = "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] in {"GET", "HEAD"}
    return conditional.not_modified(request, response) if is_asked else response


def wants_problem_json() -> bool:
    """Tell whether an unreadable or invalid request is answered with a problem document (RFC 9457)."""
    agreed: Negotiated | None = g.get("negotiated")
    return agreed is not None and agreed.format.problem_json


def _body_type(takes: tuple[BodyType, ...]) -> BodyType:
    by_media_type = {body_type.media_type: body_type for body_type in takes}
    listed = [body_type.media_type for body_type in takes if body_type.listed]
    return by_media_type[request_media_type(request, list(by_media_type), listed)]


# Clients send few different `Accept` fields, and short ones. 1,024 cached choices take half a megabyte.
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


def choose_media_type(accept: str, offered: list[str], unlisted: Sequence[str] = ()) -> str:
    """Choose the media type of an answer: the first one offered if `accept` is empty.

    Raises 406; its text does not name the `unlisted` media types.
    """
    chosen = best_match(accept, [*offered, *unlisted]) if accept else offered[0]
    if chosen is None:
        listed = '", "'.join(offered)
        raise NotAcceptable(f'Requested format "{accept}" is not supported. Supported MIME types are "{listed}".')
    return chosen


def best_match(accept: str, offered: list[str]) -> str | None:
    """Choose the media type whose most specific range has the highest q; of equals, the first one offered.

    Unlike Werkzeug, Chamilo lets the server's order decide before the specificity of a range, and q=0 does not exclude.
    """
    ranges = [_parse_range(part) for part in accept.split(",") if part.strip()]
    best, best_quality = None, -1.0
    for media_type in offered:
        matches = [(score, quality) for base, sub, quality in ranges if (score := _score(base, sub, media_type)) is not None]
        if matches and (quality := max(matches, key=lambda match: match[0])[1]) > best_quality:
            best, best_quality = media_type, quality
    return best


def _parse_range(text: str) -> tuple[str, str, float]:
    media_range, options = parse_options_header(text.strip())
    # Chamilo's negotiator reads a bare `*` as `*/*`.
    base, _, sub = ("*/*" if media_range == "*" else media_range.lower()).partition("/")
    try:
        quality = min(max(float(options.get("q", "1")), 0.0), 1.0)
    except ValueError:
        quality = 1.0
    return base, sub, quality


def _score(base: str, sub: str, media_type: str) -> int | None:
    """Return how specific a range is for a media type, None if it does not match."""
    own_base, _, own_sub = media_type.partition("/")
    if base == own_base and sub == own_sub:
        return 110
    if base not in {own_base, "*"}:
        return None
    if sub == "*":
        return 100 if base == own_base else 0
    # `application/*+json`
    return 101 if sub.startswith("*+") and own_sub.endswith(sub[1:]) else None
