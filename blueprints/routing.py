"""Parts of a path as Symfony's router reads them: a segment without a dot, then a suffix that names a format."""

from typing import Any

from werkzeug.routing import BaseConverter


class SegmentConverter(BaseConverter):
    """The first part of a last segment, up to a dot."""

    regex = r"[^/.]+"


class SuffixConverter(BaseConverter):
    """`.json` behind a path: the view gets `json`, or None where there is no suffix."""

    regex = r"(?:\.[^/]+)?"

    def to_python(self, value: str) -> Any:
        """Drop the dot."""
        return value[1:] or None
