"""Log lines as JSON, one object a line; what a stranger sent is encoded, so that it cannot start a line of its own."""

import json
import logging
import logging.config
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

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
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


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
