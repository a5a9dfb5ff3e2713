"""Log lines as JSON, one object a line; what a stranger sent is encoded, so that it cannot start a line of its own."""

import json
import logging
import logging.config
import os
import time
from contextlib import nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

access_log = logging.getLogger("poort.access")

#: The id of the request at hand, for every line that is written meanwhile; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes time, level, process, logger, message, request id, what came as `extra=`, and a traceback, as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record. ASCII only: no control, bidi or line separator character gets through."""
        line = _head(record.created, record.levelname.lower(), record.name, record.getMessage())
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _head(created: float, level: str, logger: str, message: str) -> dict[str, Any]:
    """Return what every line begins with; `created` in seconds since the epoch."""
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "process": os.getpid(),
        "logger": logger,
        "message": message,
    }
    if current := request_id.get():
        line["request_id"] = current
    return line


def logging_configuration(level: str) -> dict[str, Any]:
    """Describe the logging of the server for `logging.config.dictConfig`: JSON lines on standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "config.logging.JsonFormatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            name: {"level": level.upper(), "handlers": [], "propagate": True} for name in ("gunicorn.error", "gunicorn.access")
        },
    }


def set_up_logging(level: str) -> None:
    """Send the log of this process to standard error as JSON lines."""
    logging.config.dictConfig(logging_configuration(level))
    # No line says from which line of code it comes; looking for it takes as long as writing the rest.
    logging._srcfile = None  # noqa: SLF001 - as logging's own manual has it


def log_request(method: str, route: str | None, status: int, duration_ms: float, user_id: int | None) -> None:
    """Write the line of a request to the log, with its id; as JsonFormatter would, and faster.

    Nothing of it is what a stranger sent: the method is one of ours, and the route is a rule of the URL map.
    """
    if not access_log.isEnabledFor(logging.INFO):
        return
    said = {"method": method, "route": route, "status": status, "duration_ms": duration_ms, "user_id": user_id}
    handlers = logging.getLogger().handlers
    if len(handlers) != 1 or not isinstance(handlers[0].formatter, JsonFormatter):  # somebody else listens too
        access_log.info("request", extra=said)
        return
    line = _head(time.time(), "info", access_log.name, "request")
    handler: logging.StreamHandler[TextIO] = handlers[0]  # type: ignore[assignment]  # see logging_configuration
    with handler.lock or nullcontext():
        handler.stream.write(orjson.dumps(line | said).decode() + "\n")
        handler.flush()
