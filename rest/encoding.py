"""Decoding JSON strictly, and encoding it fast."""

import json
from typing import Any, NoReturn

import orjson

#: The default depth of PHP's json_decode.
MAX_DEPTH = 512

#: PHP's largest integer. PHP decodes a larger number as a double.
INT_MAX = 2**63 - 1


class NotJson(ValueError):
    """Bytes that are not JSON (RFC 8259): wrong syntax, encoding or depth, or a lone surrogate."""


def encode_json(value: Any) -> bytes:
    """Encode as UTF-8 JSON without spaces; `/` and non-ASCII characters are not escaped."""
    return orjson.dumps(value)


def compact(text: bytes) -> bytes:
    """Copy bytes before they are cached: the ones that orjson returns occupy several kilobytes, even for a short text."""
    return bytes(memoryview(text))


def from_wsgi(text: str) -> str:
    """Read a text of a WSGI environment, in which each byte is a character (PEP 3333), as UTF-8."""
    return text.encode("latin-1").decode(errors="replace")


def decode_json(text: bytes) -> Any:
    """Decode JSON as PHP does: strict UTF-8 without BOM, no NaN, at most 512 levels; the last of duplicate keys wins.

    Raises NotJson.
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
        # json.loads accepts a lone surrogate, such as "\ud800", which neither databases nor UTF-8 can hold.
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise NotJson from None
    if _depth(value) > MAX_DEPTH:
        raise NotJson
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _depth(value: Any) -> int:
    """Return how deeply arrays and objects are nested."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth
