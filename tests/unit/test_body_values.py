"""Which values a body may have: types, lengths, choices, and times, at their edges."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from rest.body import (
    BLANK,
    NOT_A_CHOICE,
    NOT_AN_EMAIL,
    find_violations,
    php_type,
    read_changes,
    request_bytes,
    request_media_type,
)
from rest.problem import UnreadableRequest
from rest.resource import Kind, Property, Resource


def thing(kind: Kind = Kind.STRING, **options: Any) -> Resource:
    return Resource("Thing", "/things", "Thing", properties=(Property("x", kind, ("x",), writable=True, **options),))


def broken(resource: Resource, value: Any, **options: Any) -> list[str]:
    """Return the messages of the violations of a value."""
    found = find_violations(resource, {} if value is ... else {"x": value}, **{"complete": False} | options)
    assert all(violation.property_path == "x" for violation in found)
    return [violation.message for violation in found]


def read(kind: Kind, value: Any, **options: Any) -> Any:
    return read_changes(thing(kind, **options), {"x": value}, frozenset("x"))["x"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Kind.STRING, "x", [1, True, None, [], {}, 1.5]),
        (Kind.BOOLEAN, True, [0, 1, "true", None]),
        (Kind.INTEGER, 7, [True, "7", 7.0, None]),
        (Kind.STRINGS, ["a", "b"], ["a", {}, None, [1], [None], ["a", 1]]),
    ],
)
def test_value_has_the_type_of_its_property(kind: Kind, good: Any, bad: list[Any]) -> None:
    assert read(kind, good) == good
    for value in bad:
        with pytest.raises(UnreadableRequest):
            read(kind, value)


@pytest.mark.parametrize("kind", [Kind.STRING, Kind.DATE_TIME, Kind.STRINGS])
def test_null_is_read_where_it_may_be(kind: Kind) -> None:
    assert read(kind, None, nullable=True) is None
    with pytest.raises(UnreadableRequest):
        read(kind, None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T12:00:00+00:00", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("2026-11-24t13:00:00.999999999+01:00", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("2026-11-24T12:00:00z", datetime(2026, 11, 24, 12, tzinfo=UTC)),
    ],
)
def test_time_is_read_to_the_second_in_utc(text: str, moment: datetime) -> None:
    assert read(Kind.DATE_TIME, text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2026-13-24T12:00:00Z",
        "0999-12-31T23:59:59Z",
        "1000-01-01T00:00:00+00:01",
        "9999-12-31T24:00:00Z",
        "2026-11-24T24:00:01Z",
    ],
)
def test_other_text_is_no_time(text: str) -> None:
    with pytest.raises(UnreadableRequest, match="must be a date and time like"):
        read(Kind.DATE_TIME, text)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "NULL"),
        (False, "boolean"),
        (2**63 - 1, "integer"),
        (2**63, "double"),
        (-(2**63), "integer"),
        (-(2**63) - 1, "double"),
        (1.0, "double"),
        ("", "string"),
        ([], "array"),
        ({}, "array"),
    ],
)
def test_type_is_named_as_php_names_it(value: Any, name: str) -> None:
    assert php_type(value) == name


def too_long(most: int) -> list[str]:
    return [f"This value is too long. It should have {most} characters or less."]


@pytest.mark.parametrize(
    ("options", "value", "messages"),
    [
        ({}, "", []),
        ({"not_blank": True}, "", [BLANK[0]]),
        ({"not_blank": True}, " \t", [BLANK[0]]),
        ({"not_blank": True}, None, [BLANK[0]]),
        ({"not_blank": True}, "x", []),
        ({"not_blank": True, "email": True}, "", [BLANK[0]]),
        ({"not_blank": True, "email": True}, " ", [NOT_AN_EMAIL[0]]),
        ({"email": True}, "", []),
        ({"email": True}, "a", [NOT_AN_EMAIL[0]]),
        ({"email": True}, "a@example.com", []),
        ({"email": True}, "a@campus.local", []),
        ({"max_length": 3}, "xxx", []),
        ({"max_length": 3}, "éééé", too_long(3)),
        ({"max_length": 3, "max_bytes": 3}, "éé", too_long(3)),
        ({"max_bytes": 4}, "éé", []),
        ({"max_length": 3, "email": True}, "xxxx", too_long(3)),
        ({"choices": ("a", "b")}, "a", []),
        ({"choices": ("a", "b")}, "c", [NOT_A_CHOICE[0]]),
        ({"choices": ("a", "b")}, None, []),
        ({"email": True, "choices": ("a",)}, "c", [NOT_AN_EMAIL[0], NOT_A_CHOICE[0]]),
    ],
)
def test_value_breaks_these_constraints(options: dict[str, Any], value: Any, messages: list[str]) -> None:
    assert broken(thing(**options), value) == messages


def test_stored_value_may_be_long_and_nothing_else() -> None:
    resource = thing(max_length=3, choices=("a",), not_blank=True)
    assert broken(resource, "xxxx", unchanged={"x"}) == []
    assert broken(resource, "", unchanged={"x"}) == [BLANK[0]]
    assert broken(resource, "xxx", unchanged={"x"}) == [NOT_A_CHOICE[0]]
    assert broken(resource, "xxxx", unchanged={"y"}) == too_long(3)


def test_what_must_not_be_blank_must_be_there_where_the_body_is_complete() -> None:
    resource = thing(not_blank=True)
    assert [broken(resource, ..., complete=complete) for complete in (True, False)] == [[BLANK[0]], []]
    assert broken(thing(), ..., complete=True) == []


def request(body: bytes, **environ: Any) -> Request:
    return Request({"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, **environ})


@pytest.mark.parametrize("said", [{}, {"CONTENT_LENGTH": "5"}])
def test_body_may_be_as_long_as_its_limit(said: dict[str, str]) -> None:
    assert request_bytes(request(b"x" * 5, **said), 5) == b"xxxxx"
    with pytest.raises(RequestEntityTooLarge):
        request_bytes(request(b"x" * 6, **dict.fromkeys(said, "6")), 5)


def test_body_that_is_shorter_than_it_says_is_not_taken() -> None:
    assert request_bytes(request(b"xx", CONTENT_LENGTH="2")) == b"xx"
    assert request_bytes(request(b"")) == b""
    with pytest.raises(BadRequest):
        request_bytes(request(b"xx", CONTENT_LENGTH="3"))


@pytest.mark.parametrize(("header", "media_type"), [("A/B", "a/b"), (" a/b ; charset=x", "a/b")])
def test_media_type_is_read_without_its_options(header: str, media_type: str) -> None:
    assert request_media_type(request(b"", CONTENT_TYPE=header), ["a/b"], []) == media_type


def test_media_type_that_is_not_taken_is_said_with_those_that_are_listed() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        request_media_type(request(b"", CONTENT_TYPE="c/d"), ["a/b", "e/f"], ["a/b", "g/h"])
    assert caught.value.description == 'The content-type "c/d" is not supported. Supported MIME types are "a/b", "g/h".'
    with pytest.raises(UnsupportedMediaType) as caught:
        request_media_type(request(b"", CONTENT_TYPE=" "), ["a/b"], [])
    assert caught.value.description == 'The "Content-Type" header must exist.'
