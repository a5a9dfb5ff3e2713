"""Query strings as PHP reads and writes them: `order[name]=asc` and `name[]=a` are nested parameters."""

import re
from urllib.parse import quote, unquote_plus

from rest.encoding import INT_MAX

#: Parameters by name. A value is a text or nested parameters. A list is nested parameters with positions as keys.
Parameters = dict[str, "str | Parameters"]

# PHP's max_input_vars and max_input_nesting_level. Parameters beyond the first limit are dropped; deeper keys are not nested.
_MAX_PARAMETERS, _MAX_NESTING = 1000, 64

_KEY = re.compile(r"\[([^\]]*)\]")
_INTEGER = re.compile(r"[ \t\n\r\v\f]*([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?", re.ASCII)


def parse_query(query: str) -> Parameters:
    """Parse a raw query string; the last of repeated names wins."""
    parameters: Parameters = {}
    for pair in query.split("&")[:_MAX_PARAMETERS]:
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition("=")
        name = unquote_plus(raw_name, errors="replace").lstrip(" ")
        if name and name[0] != "[":
            _put(parameters, name, unquote_plus(raw_value, errors="replace"))
    return parameters


def _put(parameters: Parameters, name: str, value: str) -> None:
    head, bracket, _ = name.partition("[")
    keys: list[str] = []
    position = len(head)
    while bracket and len(keys) < _MAX_NESTING and (match := _KEY.match(name, position)):
        keys.append(match[1])
        position = match.end()
    if not keys:
        parameters[name] = value
        return
    here, key = parameters, head
    for next_key in keys:
        inner = here.get(key)
        if not isinstance(inner, _Nested):
            inner = here[key] = _Nested()
        here, key = inner, inner.key_of(next_key)
    here[key] = value


# A numeric key with this many digits counts as a name, not as a position.
_LONGEST_POSITION = len(str(INT_MAX))


class _Nested(dict[str, "str | Parameters"]):
    """Nested parameters that know their next position, so that `[]` takes constant time."""

    _next_position = 0

    def key_of(self, given: str) -> str:
        """Return a key as given, or the next position for `[]`."""
        key = given or str(self._next_position)
        if key.isdecimal() and len(key) < _LONGEST_POSITION:
            self._next_position = max(self._next_position, int(key) + 1)
        return key


def build_query(parameters: Parameters) -> str:
    """Write parameters as a query string, percent-encoded (RFC 3986); a list is written without positions (`name%5B%5D=a`)."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in _flatten(parameters, ""))


def _flatten(parameters: Parameters, prefix: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in parameters.items():
        shown = "" if prefix and key.isdecimal() else quote(key, safe="")
        name = f"{prefix}%5B{shown}%5D" if prefix else shown
        pairs += _flatten(value, name) if isinstance(value, dict) else [(name, value)]
    return pairs


def integer(value: "str | Parameters") -> int:
    """Cast as PHP's `(int)` does: the number at the start, truncated, clamped to 64 bits. A list is 1; other text is 0."""
    if isinstance(value, dict):
        return 1 if value else 0
    match = _INTEGER.match(value)
    if not match:
        return 0
    sign, digits, exponent = match.groups()
    if exponent or "." in digits:
        number = float(match[0])
        return int(number) if abs(number) < INT_MAX else INT_MAX if number > 0 else -INT_MAX - 1
    # int() takes quadratic time, and longer numbers are clamped anyway.
    significant = digits.lstrip("0") or "0"
    magnitude = int(significant) if len(significant) <= len(str(INT_MAX)) else INT_MAX + 1
    return max(-INT_MAX - 1, min(INT_MAX, -magnitude if sign == "-" else magnitude))
