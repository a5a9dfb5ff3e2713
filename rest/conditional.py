"""Conditional requests (RFC 9110, section 13), with strong entity tags over the fields that a caller sees."""

import hashlib

from flask import Request, Response
from werkzeug.exceptions import PreconditionFailed

from rest.representation import Collection, Item


def tag_of_item(item: Item, format_name: str) -> str:
    """Return the entity tag of an item: the digest of its fields and the name of the format."""
    return f"{item.digest}-{format_name}"


def tag_of_collection(collection: Collection, format_name: str) -> str:
    """Return the entity tag of a page: a digest of its link, the total and its items, and the name of the format."""
    parts = [collection.link.to_page(collection.page.number), str(collection.page.total_items)]
    parts += [f"{member.iri} {member.digest}" for member in collection.members]
    return f"{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:32]}-{format_name}"


def not_modified(request: Request, response: Response) -> Response:
    """Turn the answer to a GET into 304 if `If-None-Match` names its tag. `If-Match` is ignored."""
    environ = request.environ
    if "HTTP_IF_MATCH" in environ:
        environ = {name: value for name, value in environ.items() if name != "HTTP_IF_MATCH"}
    response.make_conditional(environ)
    return response


def require_match(request: Request, item: Item) -> None:
    """Raise PreconditionFailed if the request has an `If-Match` without a tag of the item. Tags of all formats match."""
    if "If-Match" not in request.headers:
        return
    wanted = request.if_match
    if not wanted.star_tag and all(tag.rpartition("-")[0] != item.digest for tag in wanted.as_set()):
        raise PreconditionFailed("Precondition Failed")
