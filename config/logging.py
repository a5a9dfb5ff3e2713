"""Log lines: JSON, one object a line, or a form for people. What a stranger sent can start no line and move no cursor."""

import json
import logging
import logging.config
import os
import sys
import time
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, TextIO

access_log = logging.getLogger("poort.access")

#: The id of the request at hand, for every line that is written meanwhile; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes time, level, process, logger, message, request id, what came as `extra=`, and a traceback, as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record. ASCII only: no control, bidi or line separator character gets through."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": os.getpid(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Writes the same for a person: local time, level, logger, message, and what came as `extra=`; a traceback is indented."""

    # As a terminal numbers them: dim, green, yellow, red.
    _COLOURS: ClassVar = {logging.DEBUG: "2", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31"}

    def __init__(self, *, in_colour: bool) -> None:
        """Take whether the terminal shows colours."""
        super().__init__()
        self._in_colour = in_colour

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        told = {key: value for key, value in vars(record).items() if key not in _STANDARD and value not in (None, "", {})}
        if record.name == access_log.name:
            message = "{} {} {} {} ms".format(*(told.pop(name, "-") for name in ("method", "route", "status", "duration_ms")))
        else:
            message = record.getMessage()
        if current := request_id.get():
            told["request_id"] = current
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


def printable(text: str) -> str:
    """Write out what does not print: control characters, line separators, what changes the direction of a line."""
    return text if text.isprintable() else "".join(char if char.isprintable() else _written_out(char) for char in text)


def quoted(text: str) -> str:
    """Quote a text as Python does, with quotes, backslashes and what does not print escaped."""
    mark = '"' if "'" in text and '"' not in text else "'"
    return mark + printable(text.replace("\\", "\\\\").replace(mark, f"\\{mark}")) + mark


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _one_word(value: object) -> str:
    """Return a value so that it cannot be taken for two."""
    if isinstance(value, str) and value.isprintable() and not any(char in value for char in ' ="\\'):
        return value
    return json.dumps(value, default=str)


def logging_configuration(level: str, form: str) -> dict[str, Any]:
    """Describe the logging of the server for `logging.config.dictConfig`: lines on standard error, as LOG_FORMAT has it."""
    on_terminal = sys.stderr.isatty()
    formatter: dict[str, Any] = {"()": "config.logging.JsonFormatter"}
    if form == "text" or (form == "auto" and on_terminal):
        # https://no-color.org
        in_colour = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        formatter = {"()": "config.logging.TextFormatter", "in_colour": in_colour}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            name: {"level": level.upper(), "handlers": [], "propagate": True} for name in ("gunicorn.error", "gunicorn.access")
        },
    }


def set_up_logging(level: str, form: str) -> None:
    """Send the log of this process to standard error: `auto`, `json` or `text`."""
    logging.config.dictConfig(logging_configuration(level, form))
    # No line says from which line of code it comes; looking for it takes as long as writing the rest.
    logging._srcfile = None  # noqa: SLF001 - as logging's own manual has it


def log_request(method: str, route: str | None, status: int, duration_ms: float, user_id: int | None) -> None:
    """Write the line of a request to the log, with its id; as JsonFormatter would, and faster.

    Nothing of it is what a stranger sent: the method is one of ours, and the route is a rule of the URL map.
    """
    if not access_log.isEnabledFor(logging.INFO):
        return
    handlers = logging.getLogger().handlers
    if len(handlers) != 1 or not isinstance(handlers[0].formatter, JsonFormatter):  # a person, or somebody else too
        said = {"method": method, "route": route, "status": status, "duration_ms": duration_ms, "user_id": user_id}
        access_log.info("request", extra=said)
        return
    now, current = time.time(), request_id.get()
    line = (
        f'{{"time":"{_date_and_time(int(now))}.{int(now % 1 * 1000):03}+00:00","level":"info","process":{os.getpid()},'
        f'"logger":"poort.access","message":"request",{current and _REQUEST_ID % current}"method":{_quoted(method)},'
        f'"route":{_quoted(route)},"status":{status},"duration_ms":{duration_ms},"user_id":{_quoted(user_id)}}}\n'
    )
    handler: logging.StreamHandler[TextIO] = handlers[0]  # type: ignore[assignment]  # see logging_configuration
    # A log that cannot be written, on a full disk say, is no reason to refuse an answer.
    with suppress(OSError), handler.lock or nullcontext():
        handler.stream.write(line)
        handler.flush()


# An id is made of letters, digits and hyphens (blueprints/request_hooks.py).
_REQUEST_ID = '"request_id":"%s",'

# Few methods and routes, and not many who are busy. All are short: gunicorn takes no method of more than 20 letters.
_quoted = lru_cache(maxsize=1024)(json.dumps)


@lru_cache(maxsize=1)
def _date_and_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
