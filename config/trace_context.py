"""Read the trace that a request belongs to, from `traceparent` (W3C Trace Context, https://www.w3.org/TR/trace-context/)."""

import re
from collections.abc import Mapping
from typing import Any

# Section 3.2: version, trace id, parent id and flags, in lower-case hexadecimal. Version ff and ids of zeros are invalid. Version
# 00 has these four fields alone; a later one may have more. Several header fields arrive joined by commas, which match nothing.
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<parent_id>[0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
)


def trace_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return `trace_id`, and as `parent_id` the id of the client's span; empty without a valid `traceparent`."""
    given = environ.get("HTTP_TRACEPARENT")
    found = _TRACEPARENT.fullmatch(given) if given else None
    return found.groupdict() if found else {}
