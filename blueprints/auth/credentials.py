"""The body of a sign-in, read as Symfony's JSON login reads it (contract 1)."""

from dataclasses import dataclass, field
from typing import Any

from flask import Request
from werkzeug.exceptions import BadRequest

from rest.body import request_bytes, request_media_type
from rest.encoding import NotJson, decode_json

_MEDIA_TYPES = ("application/json", "application/x-json", "application/ld+json")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password, as a stranger sent them."""

    username: str
    password: str = field(repr=False)


def read_credentials(request: Request) -> Credentials:
    """Read the body of a sign-in. Raises 415, or 400 with the recorded text."""
    request_media_type(request, _MEDIA_TYPES, _MEDIA_TYPES)
    try:
        document = decode_json(request_bytes(request))
    except NotJson:
        raise BadRequest("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise BadRequest("Invalid JSON.")
    return Credentials(_text(document, "username"), _text(document, "password"))


def _text(document: dict[str, Any], key: str) -> str:
    if key not in document:
        raise BadRequest(f'The key "{key}" must be provided.')
    value = document[key]
    if not isinstance(value, str):
        raise BadRequest(f'The key "{key}" must be a string.')
    return value
