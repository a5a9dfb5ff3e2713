"""Read the changes of a resource from a body (400), and validate them (422): docs/compatibility.md#writing."""

import math
import re
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from flask import Request
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.http import parse_options_header

from rest.date_time import parse_date_time
from rest.encoding import INT_MAX, NotJson, decode_json, from_wsgi
from rest.format import BodyType
from rest.problem import MalformedBody, MalformedJson, UnreadableRequest, ValidationFailed, Violation
from rest.resource import MOST_TEXTS, Kind, Property, Resource

BLANK = ("This value should not be blank.", "c1051bb4-d103-4f74-8988-acbcafc7fdc3")
NOT_AN_EMAIL = ("This value is not a valid email address.", "bd79c0ab-ddba-46cc-a703-a7a4b08de310")
TAKEN = ("This value is already used.", "23bd9dbf-6b9b-41cd-a99e-4844bcf3077f")
NOT_A_CHOICE = ("The value you selected is not a valid choice.", "8e179f1b-97aa-4560-a02f-2a8b42e49df7")
TOO_COMMON = ("This password is too common. Please use another one.", "d9bcdbfe-a9d6-4bfa-a8ff-da5fd93e0f6d")
TOO_SHORT_CODE = "9ff3fdc4-b214-49db-8718-39c315e33d45"
TOO_LONG_CODE = "d94b19cc-114f-4f44-9cc4-4138e80a87b9"

# The pattern of Symfony's mode `html5`: ASCII alone, dots anywhere before the @, and at least two labels after it.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})+")

# For each kind: PHP's name of its type, as error texts have it, and the Python classes of the JSON values that it accepts.
_TYPES: dict[Kind, tuple[str, Any]] = {
    Kind.STRING: ("string", str),
    Kind.BOOLEAN: ("bool", bool),
    Kind.DATE_TIME: ("string", str),
    Kind.STRINGS: ("array", list),
    Kind.INTEGER: ("int", int),
    Kind.TEXTS_BY_NAME: ("array", (dict, list)),
}


class IncompleteBody(BadRequest):
    """400 for a body that ends early, or has a malformed chunk."""

    description = "The body of the request could not be read to its end."
    error_code = "incomplete_body"


class MissingMediaType(UnsupportedMediaType):
    """415 for a request that needs a `Content-Type` and has none."""

    description = 'The "Content-Type" header must exist.'


def request_media_type(request: Request, taken: Container[str], listed: Sequence[str]) -> str:
    """Return the media type of the body, which must be in `taken`. Raises 415; its text names the `listed` media types."""
    header = request.headers.get("Content-Type", "").strip()
    if not header:
        raise MissingMediaType
    media_type = parse_options_header(header)[0].lower()
    if media_type not in taken:
        shown = '", "'.join(listed)
        raise UnsupportedMediaType(
            f'The content-type "{from_wsgi(header)}" is not supported. Supported MIME types are "{shown}".'
        )
    return media_type


def request_bytes(request: Request, most_bytes: int | None = None) -> bytes:
    """Read the whole body. Raises 413 if it is too large, 400 if it ends early or a chunk is malformed.

    `most_bytes` tightens the application's limit. A body whose Content-Length is over the limit is refused unread.
    """
    if most_bytes is not None:
        # The extra byte tells a body that just fits from a truncated one.
        request.max_content_length = most_bytes + 1
    try:
        body = request.get_data(cache=False)
    except (OSError, ClientDisconnected):
        body = None
    if body is None or len(body) < (request.content_length or 0):
        raise IncompleteBody
    # Werkzeug silently truncates a chunked body at the limit.
    if len(body) >= (request.max_content_length or math.inf):
        raise RequestEntityTooLarge
    return body


def read_plain_object(body: bytes, failure: str) -> dict[str, Any]:
    """Read a body as a JSON object. Raises MalformedJson, which gets no document, with the text `failure`."""
    with suppress(NotJson):
        document = decode_json(body)
        if isinstance(document, dict):
            return document
    raise MalformedJson(failure)


def read_object(body_type: BodyType, body: bytes) -> dict[str, Any]:
    """Read a body as a JSON object. Raises UnreadableRequest."""
    try:
        document = decode_json(body)
    except NotJson:
        raise MalformedBody("Syntax error") from None
    # PHP cannot tell an empty list from an empty object.
    if document == []:
        document = {}
    if isinstance(document, dict):
        document = body_type.unwrap(document)
    if not isinstance(document, dict):
        raise wrong_type("body", "object", document)
    return document


def read_changes(resource: Resource, document: Mapping[str, Any], writable: frozenset[str]) -> dict[str, Any]:
    """Return the writable properties of a document, converted to the types of the row; other keys are ignored.

    Raises UnreadableRequest for the first value with a wrong JSON type.
    """
    properties = {prop.name: prop for prop in resource.writable if prop.name in writable}
    return {name: _read_value(properties[name], value) for name, value in document.items() if name in properties}


def _read_value(prop: Property, value: Any) -> Any:
    if value is None and prop.nullable:
        return None
    type_name, classes = _TYPES[prop.kind]
    # In Python, booleans and numbers that are too large for PHP are ints, too.
    if not isinstance(value, classes) or (prop.kind is Kind.INTEGER and php_type(value) != "integer"):
        raise wrong_type(f'"{prop.name}" attribute', type_name, value)
    if prop.kind is Kind.DATE_TIME:
        return _read_date_time(prop, value)
    if prop.kind is Kind.TEXTS_BY_NAME:
        return _read_texts(prop, value)
    if prop.kind is Kind.STRING:
        _refuse_nul(prop, value)
    for element in value if prop.kind is Kind.STRINGS else ():
        if not isinstance(element, str):
            raise wrong_type(f'"{prop.name}" elements', "string", element)
        _refuse_nul(prop, element)
    return value


def _read_texts(prop: Property, value: dict[str, Any] | list[Any]) -> dict[str, str | None]:
    if len(value) > MOST_TEXTS:
        raise UnreadableRequest(f'The "{prop.name}" attribute must not have more than {MOST_TEXTS} entries.')
    texts = value if isinstance(value, dict) else {str(place): text for place, text in enumerate(value)}
    for name, text in texts.items():
        if not isinstance(text, str | None):
            raise wrong_type(f'"{prop.name}" attribute', "string", text)
        _refuse_nul(prop, name + (text or ""))
    return texts


def _refuse_nul(prop: Property, text: str) -> None:
    if "\0" in text:
        raise UnreadableRequest(f'The "{prop.name}" attribute must not contain a NUL character.')


def _read_date_time(prop: Property, value: str) -> datetime:
    try:
        return parse_date_time(value)
    except ValueError:
        text = f'The "{prop.name}" attribute must be a date and time like "2026-09-22T10:00:00+00:00".'
        raise UnreadableRequest(text) from None


def wrong_type(what: str, expected: str, value: Any) -> UnreadableRequest:
    """Return the failure for a value with a wrong JSON type. `what` names the value in the text."""
    return UnreadableRequest(f'The type of the {what} must be "{expected}", "{php_type(value)}" given.')


def php_type(value: Any) -> str:
    """Name the type of a JSON value as PHP's gettype() does; error texts contain it."""
    if type(value) is int:  # in Python, a boolean is an int, too
        return "integer" if -INT_MAX - 1 <= value <= INT_MAX else "double"
    return {type(None): "NULL", bool: "boolean", float: "double", str: "string"}.get(type(value), "array")


def find_violations(
    resource: Resource, values: Mapping[str, Any], *, complete: bool, unchanged: Container[str] = ()
) -> list[Violation]:
    """Return the violations of a resource's constraints, in the order of its properties.

    The keys of `values` are the names that bodies use. A `complete` body must have all properties that must not be blank.
    `unchanged` names the values that equal the stored ones. These may be too long, since clients send whole records back.
    """
    return [
        Violation(prop.name, *constraint)
        for prop in resource.writable
        if prop.name in values or (complete and prop.not_blank)
        for constraint in _broken(prop, values.get(prop.name), may_be_long=prop.name in unchanged)
    ]


def require_none(violations: list[Violation]) -> None:
    """Raise ValidationFailed if there are violations."""
    if violations:
        raise ValidationFailed(violations)


def _broken(prop: Property, value: Any, *, may_be_long: bool) -> list[tuple[str, str]]:
    text = value if isinstance(value, str) else ""
    if prop.not_blank and not text.strip() and not (prop.email and text):
        return [BLANK]
    # An address that is too long is reported for its length only (docs/compatibility.md#text-limits).
    if _is_too_long(prop, text):
        message = f"This value is too long. It should have {prop.max_length} characters or less."
        return [] if may_be_long else [(message, TOO_LONG_CODE)]
    broken = []
    if prop.email and text and not _EMAIL.fullmatch(text):
        broken.append(NOT_AN_EMAIL)
    if prop.choices and value is not None and value not in prop.choices:
        broken.append(NOT_A_CHOICE)
    return broken


def _is_too_long(prop: Property, text: str) -> bool:
    too_long = prop.max_length is not None and len(text) > prop.max_length
    return too_long or (prop.max_bytes is not None and len(text.encode()) > prop.max_bytes)
