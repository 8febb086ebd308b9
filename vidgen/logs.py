"""Structured logging: one line an event, with the ids that its caller gave in ``extra``.

``LOG_FORMAT=json`` writes one JSON object a line; ``text`` writes ``time LEVEL logger message key=value …``, and a
traceback on lines that begin with a blank. Knows nothing of what is logged.
"""

import json
import logging
import sys
import time
from typing import Any, Literal

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def configure(level: str = "info", style: Literal["text", "json"] = "text") -> None:
    """Send every logger's events of *level* and above to standard error, in *style*."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    quiet = logging.DEBUG if level == "debug" else logging.WARNING
    for library in ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "asyncio", "alembic"):
        logging.getLogger(library).setLevel(quiet)


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave in ``extra``, in the order given."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def utc(seconds: float) -> str:
    """*seconds* since the epoch as ``2026-01-31T10:30:00.123Z``."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the extras, and ``exception`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": utc(record.created), "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(), **extras(record),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """One line an event for people; what a client wrote cannot begin a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        words = [utc(record.created), record.levelname, record.name, _flat(record.getMessage())]
        words += [f"{key}={_value(value)}" for key, value in extras(record).items()]
        line = " ".join(words)
        if record.exc_info:
            line += "\n  " + self.formatException(record.exc_info).replace("\n", "\n  ")
        return line


def _flat(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _value(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
