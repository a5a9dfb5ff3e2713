"""Conditional requests (RFC 9110, section 13): strong entity tags over what a caller sees, `lastLogin` apart."""

import hashlib

from flask import Request, Response
from werkzeug.exceptions import PreconditionFailed

from rest.representation import Collection, Item


def tag_of_item(item: Item, format_name: str) -> str:
    """Return the entity tag of an item in a format: a digest of its content, and the format's name."""
    return f"{item.digest}-{format_name}"


def tag_of_collection(collection: Collection, format_name: str) -> str:
    """Return the entity tag of a page: over its items, the total, and the links, which repeat the query."""
    said = [collection.link.to_page(collection.page.number), str(collection.page.total_items)]
    said += [f"{member.iri} {member.digest}" for member in collection.members]
    return f"{hashlib.sha256(chr(10).join(said).encode()).hexdigest()[:32]}-{format_name}"


def not_modified(request: Request, response: Response) -> Response:
    """Make a GET's answer 304 where `If-None-Match` names its tag; `If-Match` is for writes, and is not looked at."""
    environ = request.environ
    if "HTTP_IF_MATCH" in environ:
        environ = {name: value for name, value in environ.items() if name != "HTTP_IF_MATCH"}
    response.make_conditional(environ)
    return response


def require_match(request: Request, item: Item) -> None:
    """Hold `If-Match` against an item as it is now: the tag of any of its formats will do. Raises PreconditionFailed."""
    if "If-Match" not in request.headers:
        return
    wanted = request.if_match
    if not wanted.star_tag and all(tag.rpartition("-")[0] != item.digest for tag in wanted.as_set()):
        raise PreconditionFailed("Precondition Failed")
