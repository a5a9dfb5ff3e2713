"""Read and write PHP's `serialize()` form of an array of strings, as Chamilo 2 stores roles. Objects are refused."""

import re

#: The longest text that is read, in bytes; a list of roles is far shorter.
MAX_BYTES = 64 * 1024

_HEAD = re.compile(rb"a:(0|[1-9][0-9]{0,4}):\{")
_KEY = re.compile(rb"i:-?[0-9]{1,19};")
_STRING = re.compile(rb's:([0-9]{1,5}):"')


class NotSerializedStrings(ValueError):
    """A text that is not a serialized array of strings."""


def unserialize_strings(text: str) -> list[str]:
    """Read `a:1:{i:0;s:12:"ROLE_STUDENT";}`: the values in order. Keys may have gaps or be names.

    Lengths count bytes. Raises NotSerializedStrings for anything else: nesting, numbers, objects, trailing text.
    """
    data = text.encode()
    head = _HEAD.match(data)
    if head is None or len(data) > MAX_BYTES:
        raise NotSerializedStrings
    position, values = head.end(), []
    for _ in range(int(head[1])):
        key = _KEY.match(data, position)
        position = key.end() if key else _read_string(data, position)[1]
        value, position = _read_string(data, position)
        values.append(value)
    if data[position:] != b"}":
        raise NotSerializedStrings
    return values


def serialize_strings(values: list[str]) -> str:
    """Write an array of strings with the keys 0, 1, 2 and so on."""
    pairs = "".join(f'i:{position};s:{len(value.encode())}:"{value}";' for position, value in enumerate(values))
    return f"a:{len(values)}:{{{pairs}}}"


def _read_string(data: bytes, position: int) -> tuple[str, int]:
    head = _STRING.match(data, position)
    if head is None:
        raise NotSerializedStrings
    end = head.end() + int(head[1])
    if data[end : end + 2] != b'";':
        raise NotSerializedStrings
    try:
        return data[head.end() : end].decode(), end + 2
    except UnicodeDecodeError:
        raise NotSerializedStrings from None
