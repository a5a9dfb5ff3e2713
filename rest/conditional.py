"""Conditional requests (RFC 9110, section 13): strong entity tags over what a caller sees, `lastLogin` apart."""

import hashlib
from typing import Any

from flask import Request, Response
from werkzeug.exceptions import PreconditionFailed

from rest.encoding import encode_json
from rest.representation import Collection, Item

# A sign-in is no change of the item: a client that holds a tag while it signs in again must not lose it.
_APART = "lastLogin"


def tag_of_item(item: Item, format_name: str) -> str:
    """Return the entity tag of an item in a format: a digest of its content, and the format's name."""
    return f"{_digest(_content(item))}-{format_name}"


def tag_of_collection(collection: Collection, format_name: str) -> str:
    """Return the entity tag of a page: over its items, the total, and the links, which repeat the query."""
    members = [[member.iri, _content(member)] for member in collection.members]
    link = collection.link.to_page(collection.page.number)
    return f"{_digest([members, collection.page.total_items, link])}-{format_name}"


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
    digest = _digest(_content(item))
    if not wanted.star_tag and all(tag.rpartition("-")[0] != digest for tag in wanted.as_set()):
        raise PreconditionFailed("Precondition Failed")


def _content(item: Item) -> dict[str, Any]:
    return {name: value for name, value in item.fields.items() if name != _APART}


def _digest(content: Any) -> str:
    return hashlib.sha256(encode_json(content)).hexdigest()[:32]
