"""The body of a sign-in, read as Symfony's JSON login reads it (contract 1)."""

from dataclasses import dataclass, field
from typing import Any

from flask import Request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.http import parse_options_header

from rest.body import request_bytes
from rest.encoding import NotJson, decode_json

_MEDIA_TYPES = ("application/json", "application/x-json", "application/ld+json")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password, as a stranger sent them."""

    username: str
    password: str = field(repr=False)


def read_credentials(request: Request) -> Credentials:
    """Read the body of a sign-in. Raises 415, or 400 with the recorded text."""
    content_type = request.headers.get("Content-Type", "").strip()
    if not content_type:
        raise UnsupportedMediaType('The "Content-Type" header must exist.')
    if parse_options_header(content_type)[0].lower() not in _MEDIA_TYPES:
        listed = '", "'.join(_MEDIA_TYPES)
        raise UnsupportedMediaType(f'The content-type "{content_type}" is not supported. Supported MIME types are "{listed}".')
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
