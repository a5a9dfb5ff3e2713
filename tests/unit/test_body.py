"""Bodies that break off, grow too long, or are no object; and values of a wrong type."""

import io
from typing import Any

import pytest
from flask import Request
from gunicorn.http.body import ChunkedReader
from gunicorn.http.unreader import IterUnreader
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from deploy.arriving_requests import ArrivedBody
from rest import cors
from rest.body import read_changes, read_object, request_bytes
from rest.format import BodyType
from rest.formats import jsonapi, plain_json
from rest.problem import UnreadableRequest
from rest.resource import Kind, Property, Resource

THING = Resource(
    "Thing",
    "/api/things",
    "Thing",
    properties=(
        Property("names", Kind.STRINGS, ("names",), writable=True),
        Property("size", Kind.INTEGER, ("size",), writable=True),
        Property("title", Kind.STRING, ("title",), writable=True),
    ),
)


class BrokenInput(io.RawIOBase):
    """The body that gunicorn passes on if a client sends a broken chunk, or disconnects."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Any) -> int:
        raise self.failure


def request_with(body: Any, **environ: Any) -> Request:
    return Request({"REQUEST_METHOD": "POST", "wsgi.input": body, "wsgi.input_terminated": True, **environ})


def test_broken_chunk_is_an_error_that_any_wsgi_application_knows() -> None:
    with pytest.raises(OSError, match="broken"):
        ArrivedBody(ChunkedReader(None, IterUnreader([b"no number\r\n"]))).read()


@pytest.mark.parametrize("failure", [OSError("gone"), ConnectionResetError()])
def test_body_that_breaks_off_is_400(failure: Exception) -> None:
    with pytest.raises(BadRequest):
        request_bytes(request_with(BrokenInput(failure)))


def test_body_that_is_shorter_than_its_length_is_400() -> None:
    with pytest.raises(BadRequest):
        request_bytes(request_with(io.BytesIO(b"{}"), CONTENT_LENGTH="3"))


def test_chunked_body_that_is_too_long_is_413() -> None:
    request = request_with(io.BytesIO(b"x" * 100))
    request.max_content_length = 50
    with pytest.raises(RequestEntityTooLarge):
        request_bytes(request)


def test_body_is_read_to_its_end() -> None:
    assert request_bytes(request_with(io.BytesIO(b"{}"), CONTENT_LENGTH="2")) == b"{}"


@pytest.mark.parametrize(
    ("body", "given"),
    [
        (b"[1]", "array"),
        (b"[[]]", "array"),
        (b"[{}]", "array"),
        (b"0", "integer"),
        (b"1", "integer"),
        (b"9223372036854775808", "double"),
        (b"1.5", "double"),
        (b'"x"', "string"),
        (b"true", "boolean"),
        (b"null", "NULL"),
    ],
)
def test_what_is_no_object_is_named(body: bytes, given: str) -> None:
    with pytest.raises(UnreadableRequest, match=f'"object", "{given}" given'):
        read_object(plain_json.BODY, body)


@pytest.mark.parametrize(
    "body", [b'{"data":[]}', b'{"data":null}', b'{"data":{"attributes":[]}}', b'{"data":{"attributes":null}}']
)
def test_json_api_without_objects_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableRequest, match="must be objects"):
        read_object(jsonapi.BODY, body)


@pytest.mark.parametrize("body_type", [plain_json.BODY, plain_json.MERGE_PATCH, jsonapi.BODY])
def test_empty_list_is_an_empty_object(body_type: BodyType) -> None:
    assert read_object(body_type, b" [ ] ") == {}


@pytest.mark.parametrize("body", [b"{}", b'{"data":{}}', b'{"data":{"attributes":{}}}'])
def test_json_api_that_says_nothing_changes_nothing(body: bytes) -> None:
    assert read_object(jsonapi.BODY, body) == {}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"names": "x"}, 'The type of the "names" attribute must be "array", "string" given.'),
        ({"names": {}}, 'The type of the "names" attribute must be "array", "array" given.'),
        ({"names": [1]}, 'The type of the "names" elements must be "string", "integer" given.'),
        ({"names": ["a\0"]}, 'The "names" attribute must not contain a NUL character.'),
        ({"names": ["a", "\0"]}, 'The "names" attribute must not contain a NUL character.'),
        ({"title": "a\0"}, 'The "title" attribute must not contain a NUL character.'),
        ({"title": None}, 'The type of the "title" attribute must be "string", "NULL" given.'),
        ({"size": True}, 'The type of the "size" attribute must be "int", "boolean" given.'),
        ({"size": 2**63}, 'The type of the "size" attribute must be "int", "double" given.'),
        ({"size": 1.0}, 'The type of the "size" attribute must be "int", "double" given.'),
    ],
)
def test_wrong_type_is_unreadable(document: dict[str, Any], text: str) -> None:
    with pytest.raises(UnreadableRequest) as caught:
        read_changes(THING, document, frozenset(["names", "size", "title"]))
    assert caught.value.description == text


def test_only_what_may_be_written_is_taken() -> None:
    assert read_changes(THING, {"size": 1, "names": 7, "other": 2}, frozenset(["size"])) == {"size": 1}


def test_preflight_of_a_stranger_gets_no_headers() -> None:
    assert cors.preflight_headers("http://evil.example", None) == {}
