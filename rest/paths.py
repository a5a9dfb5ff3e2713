"""Paths as clients sent them, and URL converters that split the last segment as Symfony does (docs/compatibility.md#routing)."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from werkzeug.routing import BaseConverter
from werkzeug.sansio.request import Request

from rest.encoding import from_wsgi
from rest.schema import MAX_ID

# A request target has no fragment (RFC 9112, section 3.2), but gunicorn accepts one.
_END_OF_PATH = re.compile("[?#]")

_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


def raw_path(environ: Mapping[str, Any]) -> str:
    """Return the percent-encoded path of a request, without the query and without the host of an absolute-form target."""
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", ""))
    path = from_wsgi(_END_OF_PATH.split(target, maxsplit=1)[0])
    return path if path.startswith("/") else "/" + path.partition("://")[2].partition("/")[2]


def origin_of(request: Request) -> str:
    """Return the part of a URL before its path, such as `https://campus.example`; empty if the request has no valid host.

    Werkzeug's `host_url` decodes the host name (IDNA), and a `Location` encodes it. Both raise an error for an invalid name.
    """
    with suppress(UnicodeError):
        if request.host.encode("idna"):
            return f"{request.scheme}://{request.host}"
    return ""


def is_canonical(environ: Mapping[str, Any]) -> bool:
    """Tell whether a path may be routed. Only one path may lead to each resource (docs/compatibility.md#one-path).

    Werkzeug merges slashes at the start. A WSGI server decodes `%2F`, which differs from a slash (RFC 3986, section 2.2).
    """
    if environ["PATH_INFO"].startswith("//"):
        return False
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return "%2" not in raw or "%2f" not in raw_path(environ).lower()


def read_id(segment: str) -> int:
    """Return the id in a path segment, or 0 if it is not one; no row has the id 0 (docs/compatibility.md#strict-id)."""
    number = int(segment) if _ID.fullmatch(segment) else 0
    return number if number <= MAX_ID else 0


class SegmentConverter(BaseConverter):
    """A last segment up to its first dot."""

    regex = r"[^/.]+"


class SuffixConverter(BaseConverter):
    """The suffix of a path: the view gets `json` for `.json`, and None without one."""

    regex = r"(?:\.[^/]+)?"

    def to_python(self, value: str) -> Any:
        """Drop the dot."""
        return value[1:] or None
