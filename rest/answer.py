"""Answers whose header fields and body are ours: nothing in them has to be looked at once more."""

from collections.abc import Iterable
from typing import Any, cast

from flask import Response
from werkzeug.datastructures import Headers

from rest.encoding import encode_json


class OurHeaders(Headers):
    """Header fields that hold no line break and no IRI, since we wrote them: Werkzeug looks for both in every one."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        """Take the fields."""
        self._list = list(fields)

    def extend(self, fields: Any) -> None:  # type: ignore[override]  # less than Werkzeug takes
        """Add fields of ours."""
        self._list.extend(fields)


class Answer(Response):
    """A response that is sent as it was made."""

    headers: OurHeaders

    def __init__(self, body: bytes, status: int, fields: Iterable[tuple[str, str]]) -> None:
        """Take the body, the status, and the header fields, the length of the body among them."""
        super().__init__([body], status, OurHeaders(fields))

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Send it; what has no body goes Werkzeug's way."""
        if environ["REQUEST_METHOD"] == "HEAD" or self.status_code in {204, 304}:
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return cast("list[bytes]", self.response)


def answer_json(document: Any, status: int = 200) -> Response:
    """Answer with plain JSON, which nobody is to store: that is said of every answer that says nothing else."""
    return Response(encode_json(document), status, content_type="application/json")
