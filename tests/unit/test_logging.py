"""Log lines: one JSON object a line for machines, readable text on a terminal; in both, a stranger's text cannot leave its field."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from config.logging import (
    JsonFormatter,
    TextFormatter,
    log_request,
    logging_configuration,
    printable,
    quoted,
    request_id,
    set_up_logging,
)

ROOT = Path(__file__).parents[2]
ODD = "a\nb\r\x1b[2J\u202e\u2028\x85\x00\x7f"


def record(message: str, *arguments: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("test").makeRecord("test", level, "file", 1, message, arguments, None, extra=extra)


def environ(method: str, path: str) -> dict[str, str]:
    return {"REQUEST_METHOD": method, "PATH_INFO": path}


def text_of(made: logging.LogRecord, *, in_colour: bool = False) -> str:
    return TextFormatter(in_colour=in_colour).format(made)


@pytest.fixture(autouse=True)
def _outside_of_a_request() -> Any:
    """Forget the request of an earlier test."""
    current = request_id.set("")
    yield
    request_id.reset(current)


@pytest.fixture
def of_a_request() -> None:
    request_id.set("abc-1")


def test_line_for_a_person_has_all_there_is(of_a_request: None) -> None:  # noqa: ARG001 - the id is set
    line = text_of(
        record("a %s", "message", level=logging.WARNING, user_id=5, reason="wrong password", nothing=None, username="")
    )
    assert re.fullmatch(r'\d\d:\d\d:\d\d WARNING  test: a message  user_id=5 reason="wrong password" request_id=abc-1', line), (
        line
    )


def test_request_reads_as_a_request(capsys: pytest.CaptureFixture[str], restored: None) -> None:  # noqa: ARG001 - it is put back
    set_up_logging("info", "text")
    log_request(environ("GET", "/api/users/7"), "/api/users/<segment:user_id>", 200, 1.25, 7)
    log_request(environ("GET", "/caf\u00c3\u00a9\n"), None, 404, 0.0, None)
    lines = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "INFO     poort.access: GET /api/users/7 200 1.25 ms  user_id=7",
        'INFO     poort.access: GET "/caf\\u00e9\\n" 404 0.0 ms',
    ]


@pytest.mark.parametrize("current", ["", "abc-1"])
@pytest.mark.parametrize("traceparent", ["", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
@pytest.mark.parametrize(
    ("method", "route", "user_id"), [("GET", "/api/users/<segment:user_id>", 7), ('"\\', None, None), ("GET", "/é\n", 0)]
)
def test_line_of_a_request_is_as_the_formatter_has_it(
    capsys: pytest.CaptureFixture[str],
    restored: None,  # noqa: ARG001 - it is put back
    current: str,
    traceparent: str,
    method: str,
    route: str | None,
    user_id: int | None,
) -> None:
    set_up_logging("info", "json")
    request_id.set(current)
    log_request(environ(method, "/path") | {"HTTP_TRACEPARENT": traceparent}, route, 201, 0.07, user_id)
    made = record("request", method=method, route=route, status=201, duration_ms=0.07, user_id=user_id)
    made.name = "poort.access"
    (line,) = capsys.readouterr().err.splitlines()
    with Flask("any").test_request_context(headers={"traceparent": traceparent}):
        written = JsonFormatter().format(made)
    assert ("trace_id" in written) == (traceparent != "")
    assert [text.partition('","level"')[2] for text in (line, written)] == [written.partition('","level"')[2]] * 2
    found, wanted = json.loads(line), json.loads(written)
    assert list(found) == list(wanted)
    written, expected = (datetime.fromisoformat(told.pop("time")) for told in (found, wanted))
    assert abs(written - expected) < timedelta(seconds=10)
    assert (found, len(re.findall(r"\.\d{3}\+00:00", line))) == (wanted, 1)


@pytest.fixture
def restored() -> Any:
    """Restore the handlers of the root logger after a test."""
    root = logging.getLogger()
    before, level, source = list(root.handlers), root.level, logging._srcfile
    yield
    root.handlers[:], logging._srcfile = before, source
    root.setLevel(level)


ANY_TEXT = st.text(st.characters(codec=None) | st.sampled_from("\"'\\\t\x7f\u202e\u2028"))


@given(ANY_TEXT)
def test_text_is_quoted_as_python_quotes_it(text: str) -> None:
    assert quoted(text) == repr(text)
    assert printable(quoted(text)) == quoted(text)


@given(ANY_TEXT)
def test_no_text_starts_a_line_or_moves_the_cursor(text: str) -> None:
    for made in (record("%s", text), record("x", username=text), record("x", details={text: [text]})):
        for line in (text_of(made), JsonFormatter().format(made)):
            assert line.isprintable(), line


@pytest.mark.parametrize("in_colour", [True, False])
def test_odd_text_is_written_out(in_colour: bool) -> None:
    line = text_of(record("%s", ODD, username=ODD), in_colour=in_colour)
    assert re.sub(r"\x1b\[[0-9;]*m", "", line).isprintable()
    assert (line.count("\\x1b[2J"), line.count("\\u001b[2J")) == (1, 1)
    assert ("\x1b[32m" in line) == in_colour


def test_letters_of_other_languages_stay() -> None:
    assert "Zoë Ωmega 中文" in text_of(record("Zoë Ωmega 中文"))


def test_traceback_is_indented_so_that_it_starts_no_line() -> None:
    lie = ValueError("first\n12:00:00 INFO     poort: a lie\x1b[2J")
    made = record("it failed", level=logging.ERROR)
    made.exc_info = (type(lie), lie, None)
    first, *rest = text_of(made).split("\n")
    assert first.endswith("test: it failed")
    assert len(rest) == 2
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def form(monkeypatch: pytest.MonkeyPatch, setting: str, *, terminal: bool, **environ: str) -> dict[str, Any]:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    made = dict(logging_configuration("info", setting)["formatters"]["line"])
    return {"is_text": made.pop("()").endswith("TextFormatter"), "in_colour": made.get("in_colour", False)}


@pytest.mark.parametrize(
    ("setting", "terminal", "environ", "is_text", "in_colour"),
    [
        ("auto", True, {}, True, True),
        ("auto", False, {}, False, False),
        ("json", True, {}, False, False),
        ("text", False, {}, True, False),
        ("auto", True, {"NO_COLOR": "1"}, True, False),
        ("auto", True, {"NO_COLOR": ""}, True, True),
        ("auto", True, {"TERM": "dumb"}, True, False),
    ],
)
def test_form_is_that_of_the_setting_and_the_terminal(
    monkeypatch: pytest.MonkeyPatch, setting: str, terminal: bool, environ: dict[str, str], is_text: bool, in_colour: bool
) -> None:
    assert form(monkeypatch, setting, terminal=terminal, **environ) == {"is_text": is_text, "in_colour": in_colour}


WRITE = "from config.logging import set_up_logging as s; import logging; s('info', 'auto'); logging.getLogger('x').info('hello')"


def test_person_at_a_terminal_reads_text_and_a_pipe_gets_json() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", WRITE]
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    subprocess.run(command, check=True, cwd=ROOT, stderr=theirs, env=environment)
    os.close(theirs)
    seen = os.read(ours, 4096).decode()
    os.close(ours)
    assert re.sub(r"\x1b\[[0-9;]*m", "", seen).strip()[8:] == " INFO     x: hello"
    assert "\x1b[32m" in seen
    piped = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stderr
    assert json.loads(piped)["message"] == "hello"
