"""Write log lines, as JSON or for people. Text from a client can neither start a new line nor move the cursor."""

import json
import logging
import logging.config
import os
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, TextIO

from flask import has_request_context, request

from config.home import as_typed
from config.trace_context import trace_of

access_log = logging.getLogger("poort.access")

#: The id of the current request, which every log line carries; empty outside a request.
request_id: ContextVar[str] = ContextVar("request_id", default="")

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes one JSON object: time, level, process, logger, message, ids of request and trace, `extra=` fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record in ASCII, so without control characters, bidirectional marks and line separators."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": os.getpid(),
            "logger": record.name,
            "message": as_typed(record.getMessage()),
        }
        line |= _current_ids()
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """Writes a line for people: local time, level, logger, message and the `extra=` fields. Tracebacks are indented."""

    # ANSI codes: dim, green, yellow, red.
    _COLOURS: ClassVar = {logging.DEBUG: "2", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31"}

    def __init__(self, *, in_colour: bool) -> None:
        super().__init__()
        self._in_colour = in_colour

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        told = {key: value for key, value in vars(record).items() if key not in _STANDARD and value not in (None, "", {})}
        if record.name == access_log.name:
            message = "{} {} {} {} ms".format(
                *(_one_word(told.pop(name, "-")) for name in ("method", "path", "status", "duration_ms"))
            )
        else:
            message = as_typed(record.getMessage())
        told |= _current_ids()
        time_of_day = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = self._paint(f"{record.levelname:<8}", self._COLOURS.get(record.levelno, "31"))
        rest = " ".join(f"{key}={_one_word(value)}" for key, value in told.items())
        line = f"{self._paint(time_of_day, '2')} {level} {record.name}: {printable(message)}"
        line += f"  {self._paint(rest, '2')}" if rest else ""
        if record.exc_info:
            line += "".join(f"\n    {printable(text)}" for text in self.formatException(record.exc_info).splitlines())
        return line

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._in_colour else text


def _current_ids() -> dict[str, str]:
    """Return the ids of the current request and of its trace. The header of the trace is read only if something is logged."""
    current = request_id.get()
    return ({"request_id": current} if current else {}) | (trace_of(request.environ) if has_request_context() else {})


def printable(text: str) -> str:
    """Escape unprintable characters: control characters, line separators and bidirectional marks."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    """Quote a text as Python does; escape quotes, backslashes and unprintable characters."""
    mark = '"' if "'" in text and '"' not in text else "'"
    return mark + printable(text.replace("\\", "\\\\").replace(mark, f"\\{mark}")) + mark


def _one_word(value: object) -> str:
    """Return a value as one word; as JSON if it has spaces, quotes, `=`, backslashes or unprintable characters."""
    if isinstance(value, str) and value.isprintable() and not any(char in value for char in ' ="\\'):
        return value
    return json.dumps(value, default=str)


def logging_configuration(level: str, form: str) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig` that writes to standard error, in the form of LOG_FORMAT."""
    on_terminal = sys.stderr.isatty()
    formatter: dict[str, Any] = {"()": "config.logging.JsonFormatter"}
    if form == "text" or (form == "auto" and on_terminal):
        # https://no-color.org
        in_colour = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        formatter = {"()": "config.logging.TextFormatter", "in_colour": in_colour}
    of_gunicorn = {"level": level.upper(), "handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": of_gunicorn,
            "gunicorn.access": of_gunicorn,
            # At INFO, Alembic would log each of its plugins when it loads them.
            "alembic.runtime.plugins": {"level": "WARNING"},
        },
    }


def set_up_logging(level: str, form: str) -> None:
    """Send the log of this process to standard error; `form` is `auto`, `json` or `text`."""
    logging.config.dictConfig(logging_configuration(level, form))
    # Do not look up which line of code logs. No log line shows that, and the look-up doubles the time to write one.
    logging._srcfile = None  # noqa: SLF001 - as the manual of `logging` advises


def log_request(environ: Mapping[str, Any], route: str | None, status: int, duration_ms: float, user_id: int | None) -> None:
    """Write the log line of a request, as JsonFormatter would but faster.

    In the JSON, only the method and perhaps the ids come from the client. The method is escaped, and the ids are checked.
    The route is a rule of the URL map. Text for people has the path in place of the route.
    """
    method = environ["REQUEST_METHOD"]
    if not access_log.isEnabledFor(logging.INFO):
        return
    handlers = logging.getLogger().handlers
    if len(handlers) != 1 or not isinstance(handlers[0].formatter, JsonFormatter):  # text for people, or more handlers
        place: dict[str, str | None] = {"route": route}
        if any(isinstance(one.formatter, TextFormatter) for one in handlers):
            place = {"path": environ["PATH_INFO"].encode("latin-1").decode(errors="replace")}  # PEP 3333
        said = {"method": method} | place | {"status": status, "duration_ms": duration_ms, "user_id": user_id}
        access_log.info("request", extra=said)
        return
    now, current, trace = time.time(), request_id.get(), trace_of(environ)
    ids = f"{current and _REQUEST_ID % current}{_TRACE % trace if trace else ''}"
    line = (
        f'{{"time":"{_date_and_time(int(now))}.{int(now % 1 * 1000):03}+00:00","level":"info","process":{os.getpid()},'
        f'"logger":"poort.access","message":"request",{ids}"method":{_quoted(method)},'
        f'"route":{_quoted(route)},"status":{status},"duration_ms":{duration_ms},"user_id":{_quoted(user_id)}}}\n'
    )
    handler: logging.StreamHandler[TextIO] = handlers[0]  # type: ignore[assignment]  # see logging_configuration
    # A failing log, on a full disk for example, must not fail the request.
    with suppress(OSError), handler.lock or nullcontext():
        handler.stream.write(line)
        handler.flush()


# These ids need no escaping: they have only letters, digits and hyphens (blueprints/request_hooks.py, config/trace_context.py).
_REQUEST_ID = '"request_id":"%s",'
_TRACE = '"trace_id":"%(trace_id)s","parent_id":"%(parent_id)s",'

# Methods, routes and active users are few, and all are short: gunicorn refuses methods of more than 20 letters.
_quoted = lru_cache(maxsize=1024)(json.dumps)


@lru_cache(maxsize=1)
def _date_and_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
