"""JSON in and out: one strict reader, one fast writer."""

import json
from typing import Any, NoReturn

import orjson
from orjson import Fragment

#: As deep as PHP's json_decode goes by default.
MAX_DEPTH = 512

#: The largest integer that PHP reads as one; a larger one becomes a double there.
INT_MAX = 2**63 - 1


__all__ = ["INT_MAX", "MAX_DEPTH", "Fragment", "NotJson", "compact", "decode_json", "encode_json"]


class NotJson(ValueError):
    """Bytes that are no JSON text (RFC 8259): syntax, encoding, depth, or a code point that is no character."""


def encode_json(value: Any) -> bytes:
    """Write UTF-8 JSON without spaces; `/` and what is beyond ASCII stay as they are."""
    return orjson.dumps(value)


def compact(text: bytes) -> bytes:
    """Return a copy for something that is kept: orjson's own holds on to several kilobytes, however short it is."""
    return bytes(memoryview(text))


def decode_json(text: bytes) -> Any:
    """Read JSON as PHP does: strict UTF-8 without BOM, no NaN, at most 512 levels, the last of duplicate keys wins.

    Raises NotJson.
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
        # Half a surrogate pair, `"\ud800"`, passes json.loads and would fail at the database or in an answer.
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
    """Return how many arrays and objects are nested at the deepest place."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth
