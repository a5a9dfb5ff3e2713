"""Paths: as they were sent, and their parts as Symfony's router reads them, a segment and a suffix that names a format."""

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.routing import BaseConverter

# A fragment is no part of a request target (RFC 9112, section 3.2); gunicorn takes one all the same.
_END_OF_PATH = re.compile("[?#]")


def raw_path(environ: Mapping[str, Any]) -> str:
    """Return the path as it was sent: percent-encoded, without query, without the host of an absolute-form target."""
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", ""))
    path = _END_OF_PATH.split(target, maxsplit=1)[0]
    return path if path.startswith("/") else "/" + path.partition("://")[2].partition("/")[2]


def can_name_something(environ: Mapping[str, Any]) -> bool:
    """Tell whether a path may be looked up: each thing has one path only (docs/compatibility.md, `one-path`).

    Werkzeug drops all slashes but one at the start, and a WSGI server decodes `%2F`, which is no slash (RFC 3986, section 2.2).
    """
    if environ["PATH_INFO"].startswith("//"):
        return False
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return "%2" not in raw or "%2f" not in raw_path(environ).lower()


class SegmentConverter(BaseConverter):
    """The first part of a last segment, up to a dot."""

    regex = r"[^/.]+"


class SuffixConverter(BaseConverter):
    """`.json` behind a path: the view gets `json`, or None where there is no suffix."""

    regex = r"(?:\.[^/]+)?"

    def to_python(self, value: str) -> Any:
        """Drop the dot."""
        return value[1:] or None
