"""Reading bodies as Symfony's JSON login does (docs/compatibility.md#sign-in)."""

from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Request

from rest.body import read_plain_object, request_bytes, request_media_type
from rest.dialect import CHAMILO_2, Dialect
from rest.operation import Operation, Tag
from rest.problem import InvalidKey

#: Declares an operation on tokens, sessions or second factors.
declare = partial(Operation, tag=Tag("Login Check", "Signing in"))

#: The statuses of answers to bodies that cannot be read.
BODY_FAILURES = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)

#: A text in the form of a token (RFC 7519), for examples.
EXAMPLE_JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJpYXQiOjE3OTAwNzU2MDB9.c2lnbmF0dXJl"

#: The largest body of a sign-in or a refresh. Anybody may send one, and a real one is short.
MOST_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password, not verified yet, and a code of a second factor. A code that is empty or not a text is None."""

    username: str
    password: str = field(repr=False)
    totp: str | None = field(repr=False)


def read_credentials(request: Request, dialect: Dialect) -> Credentials:
    """Read the body of a sign-in. Raises 415, 413 and, with Symfony's text, 400."""
    require_json(request, dialect)
    document = read_object(request, MOST_BYTES)
    username, password, totp = text_of(document, "username"), text_of(document, "password"), document.get("totp")
    return Credentials(username, password, totp if isinstance(totp, str) and totp else None)


def require_json(request: Request, dialect: Dialect = CHAMILO_2) -> None:
    """Raise 415 unless the media type of the body is JSON. The dialect changes only the types of a sign-in."""
    request_media_type(request, dialect.sign_in_types, dialect.listed_sign_in_types)


def read_text(request: Request, key: str) -> str:
    """Read a text from a body. Raises 413 and 400."""
    return text_of(read_object(request), key)


def read_object(request: Request, most_bytes: int | None = None) -> dict[str, Any]:
    """Read a body of at most `most_bytes` as a JSON object. Raises 413 and 400."""
    return read_plain_object(request_bytes(request, most_bytes), "Invalid JSON.")


def text_of(document: dict[str, Any], key: str) -> str:
    """Return a text of a body. Raises 400."""
    if key not in document:
        raise InvalidKey(f'The key "{key}" must be provided.')
    value = document[key]
    if not isinstance(value, str):
        raise InvalidKey(f'The key "{key}" must be a string.')
    return value
