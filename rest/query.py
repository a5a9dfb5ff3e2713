"""Query strings as PHP reads and writes them: `order[name]=asc` and `name[]=a` nest, and clients count on it."""

import re
from urllib.parse import quote, unquote_plus

from rest.encoding import INT_MAX

#: What a parameter holds: text, or parameters by key; the keys of a list are its positions.
Parameters = dict[str, "str | Parameters"]

# PHP's own bounds (max_input_vars, max_input_nesting_level): a longer query is cut, a deeper one is not nested.
_MAX_PARAMETERS, _MAX_NESTING = 1000, 64

_KEY = re.compile(r"\[([^\]]*)\]")
_INTEGER = re.compile(r"[ \t\n\r\v\f]*([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?", re.ASCII)


def parse_query(query: str) -> Parameters:
    """Read a raw query string; of repeated names the last one wins."""
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


# As many digits as a position has at most; a longer key is a name.
_LONGEST_POSITION = len(str(INT_MAX))


class _Nested(dict[str, "str | Parameters"]):
    """Parameters by key, which count their positions, so that no position is looked for among all keys."""

    _next_position = 0

    def key_of(self, given: str) -> str:
        """Return a key as given, or the next position where `[]` gives none."""
        key = given or str(self._next_position)
        if key.isdecimal() and len(key) < _LONGEST_POSITION:
            self._next_position = max(self._next_position, int(key) + 1)
        return key


def build_query(parameters: Parameters) -> str:
    """Write parameters back, percent-encoded by RFC 3986; positions of lists are left out (`name%5B%5D=a`)."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in _flatten(parameters, ""))


def _flatten(parameters: Parameters, prefix: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in parameters.items():
        shown = "" if prefix and key.isdecimal() else quote(key, safe="")
        name = f"{prefix}%5B{shown}%5D" if prefix else shown
        pairs += _flatten(value, name) if isinstance(value, dict) else [(name, value)]
    return pairs


def integer(value: "str | Parameters") -> int:
    """Cast as PHP's `(int)` does: the number at the start, cut towards zero, held within 64 bits; a list is 1."""
    if isinstance(value, dict):
        return 1 if value else 0
    match = _INTEGER.match(value)
    if not match:
        return 0
    sign, digits, exponent = match.groups()
    if exponent or "." in digits:
        number = float(match[0])
        return int(number) if abs(number) < INT_MAX else INT_MAX if number > 0 else -INT_MAX - 1
    # What is longer than 64 bits can hold is held anyway; int() of a long text would take its time.
    significant = digits.lstrip("0") or "0"
    magnitude = int(significant) if len(significant) <= len(str(INT_MAX)) else INT_MAX + 1
    return max(-INT_MAX - 1, min(INT_MAX, -magnitude if sign == "-" else magnitude))
