"""Examples of answers in the OpenAPI document, rendered by the code that also renders real answers."""

from http import HTTPStatus
from typing import Any

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, Unauthorized, default_exceptions

from rest.body import BLANK
from rest.encoding import decode_json
from rest.format import Format
from rest.operation import Operation, Shape
from rest.pagination import DEFAULT_ITEMS_PER_PAGE, Page, Paging
from rest.problem import JSON, MalformedBody, ValidationFailed, Violation
from rest.representation import Collection, Item, PageLink
from rest.resource import Resource
from rest.schema import EXAMPLE_ID

#: The texts of failures, unless the operation declares a more likely one.
_TEXTS = {
    HTTPStatus.BAD_REQUEST: "Invalid JSON.",
    HTTPStatus.UNAUTHORIZED: "Expired JWT Token",
    HTTPStatus.FORBIDDEN: "Access Denied.",
    HTTPStatus.NOT_FOUND: "Not Found",
    HTTPStatus.NOT_ACCEPTABLE: 'Requested format "application/pdf" is not supported. Supported MIME types are "text/csv".',
    HTTPStatus.PRECONDITION_FAILED: "Precondition Failed",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: 'The "Content-Type" header must exist.',
    HTTPStatus.TOO_MANY_REQUESTS: "Too Many Requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database cannot be reached at the moment.",
}


def answer_example(operation: Operation, resource: Resource, format_: Format) -> Any:
    """Return an example of an operation's answer in a format: decoded if the format is JSON, else as text."""
    fields = {prop.name: prop.example for prop in resource.readable if prop.example is not None}
    item = Item(resource, resource.item_iri(fields.get("id", EXAMPLE_ID)), fields)
    page = Page((item,), Paging(1, DEFAULT_ITEMS_PER_PAGE), 1)
    collection = Collection(resource, page, PageLink(resource.iri, ""))
    encoded = format_.encode(format_.collection(collection) if operation.shape is Shape.COLLECTION else format_.item(item))
    return decode_json(encoded) if format_.media_types[0].endswith("json") else encoded.decode()


def failure_in(status: HTTPStatus, operation: Operation, media_type: str) -> HTTPException:
    """Return a likely failure of an operation for a status and the media type of the answer."""
    is_negotiated = media_type != JSON
    if is_negotiated and status is HTTPStatus.UNPROCESSABLE_ENTITY and (body := operation.body or operation.resource):
        blank = next(prop for prop in body.writable if prop.not_blank)
        return ValidationFailed([Violation(blank.name, *BLANK)])
    if is_negotiated:
        return MalformedBody("Syntax error")
    text = operation.failure_texts.get(status) or _TEXTS.get(status)
    if status is HTTPStatus.UNAUTHORIZED:
        return Unauthorized(text, www_authenticate=WWWAuthenticate("Bearer"))
    return default_exceptions[status](text)
