"""`traceparent` (W3C Trace Context): its ids are in every log line of the request, whatever is not valid is ignored, and no answer changes."""

import json
import logging
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from databases import Databases
from factories import Database
from flask.testing import FlaskClient

from config.logging import JsonFormatter, TextFormatter
from config.trace_context import trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def database(databases: Databases) -> Database:
    """SQLite alone: nothing here depends on the database."""
    return databases.shared("sqlite")


@pytest.fixture(params=[JsonFormatter(), TextFormatter(in_colour=False)], ids=["json", "text"])
def written(request: pytest.FixtureRequest) -> Iterator[StringIO]:
    """The log so far."""
    handler = logging.StreamHandler(StringIO())
    handler.setFormatter(request.param)
    logging.getLogger().addHandler(handler)
    yield handler.stream
    logging.getLogger().removeHandler(handler)


def ids_of(line: str) -> tuple[Any, Any]:
    found = json.loads(line) if line.startswith("{") else dict(re.findall(r"(\w+)=(\S+)", line))
    return found.get("trace_id"), found.get("parent_id")


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (GIVEN, (TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-00", (TRACE, SPAN)),
        (f"cc-{TRACE}-{SPAN}-09", (TRACE, SPAN)),
        (f"01-{TRACE}-{SPAN}-01-what-comes-later", (TRACE, SPAN)),
        (f"01-{TRACE}-{SPAN}-01-", (TRACE, SPAN)),
        (f"{GIVEN}-more", None),  # version 00 has four fields
        (f"{GIVEN}-", None),
        (f"01-{TRACE}-{SPAN}-01.more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"0-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN.upper()}-01", None),
        (f"00-{TRACE}-{SPAN}-0X", None),
        (f"00-{TRACE[:-1]}-{SPAN}-01", None),
        (f"00-{TRACE}g-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f" {GIVEN}", None),
        (f"{GIVEN}\n", None),
        (f"{GIVEN},{GIVEN}", None),  # two header fields
        (f"01-{TRACE}-{SPAN}-01,01-{TRACE}-{SPAN}-01", None),
        ("٤" * 55, None),
        ("-" * 8000, None),
        ("", None),
        (None, None),
    ],
)
def test_only_what_the_standard_allows_is_taken(given: str | None, ids: tuple[str, str] | None) -> None:
    found = trace_of({} if given is None else {"HTTP_TRACEPARENT": given})
    assert found == (dict(zip(("trace_id", "parent_id"), ids, strict=True)) if ids else {})


def test_every_line_of_a_request_has_its_trace_and_the_answer_is_the_same(
    client: FlaskClient, written: StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="poort.access")

    def fail(traceparent: str | None) -> tuple[int, dict[str, str], bytes, list[str]]:
        begin = len(written.getvalue())
        headers = {"X-Request-Id": "r-1"} | ({"traceparent": traceparent, "tracestate": "a=sesame"} if traceparent else {})
        body = {"username": "nobody", "password": "wrong"}
        response = client.post("/api/authentication_token", json=body, headers=headers)
        lines = written.getvalue()[begin:].splitlines()
        return response.status_code, dict(response.headers), response.data, lines

    *answer, traced = fail(GIVEN)
    *plain_answer, plain = fail(None)
    *odd_answer, odd = fail(f"00-{TRACE}-{SPAN}-01-sesame")
    assert answer == plain_answer == odd_answer
    assert answer[0] == 401
    assert len(traced) == 2, "the audit's line and that of the request"
    assert {ids_of(line) for line in traced} == {(TRACE, SPAN)}
    assert {ids_of(line) for line in plain + odd} == {(None, None)}
    assert "sesame" not in written.getvalue()
    assert all("r-1" in line for line in traced + plain + odd)
