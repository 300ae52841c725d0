"""The format of logs.

The library logs through the standard library's ``logging``; here structlog formats the lines. It is imported when the
first line is written, so that a sync without any does not wait for it.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from rfsync.redaction import Redactor, hide_addresses
from rfsync.text import printable

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("console", "json")

#: Attribute of a ``logging.LogRecord``.
_FIELDS: Final = "rfsync_fields"
_context: ContextVar[Mapping[str, object]] = ContextVar("rfsync_log_context", default=MappingProxyType({}))


@contextlib.contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Adds these fields to every line that this thread logs in the block, also to those of other libraries."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def with_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """For ``extra`` of a line: its fields in JSON. What other libraries have there is left out."""
    return {_FIELDS: fields}


def configure(level: str, form: str, redact: Redactor) -> None:
    """Sends all logs, and Python's warnings, to standard error, without any secret.

    In JSON, the fields of a line are those of its ``log_context``, and those of ``with_fields``.

    Args:
        level: one of ``LEVELS``.
        form: one of ``FORMATS``.
        redact: takes secrets out of every line, including tracebacks and lines of other libraries.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(_StderrHandler(form, redact))
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def is_json() -> bool:
    """Tells whether standard error has logs in JSON."""
    return any(
        isinstance(handler, _StderrHandler) and handler.form == "json" for handler in logging.getLogger().handlers
    )


class _StderrHandler(logging.Handler):
    def __init__(self, form: str, redact: Redactor) -> None:
        super().__init__()
        self.form = form
        self._redact = redact

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.formatter is None:
                self.formatter = _formatter(self.form, self._redact)
            # Not a stored stream: a progress bar may have replaced sys.stderr.
            sys.stderr.write(self._redact(self.format(record)) + "\n")
            sys.stderr.flush()
        except Exception:
            # A line that can't be written must not end the sync that logged it. The standard library's handler would
            # print the arguments, which may contain secrets. If this message can't be written either, nobody reads it.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"rfsync: a log line of {record.pathname}:{record.lineno} could not be written\n")


def _formatter(form: str, redact: Redactor) -> logging.Formatter:
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        _add_context,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        partial(_hide_in_traceback, redact),
    ]
    render = structlog.processors.JSONRenderer() if form == "json" else _plain
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final)


def _add_context(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    return {**event, **_context.get(), **getattr(event["_record"], _FIELDS, {})}


def _hide_in_traceback(redact: Redactor, _: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    # The text of an exception that nobody thought of may have any value that was worked with.
    return {**event, "exception": hide_addresses(redact(event["exception"]))} if "exception" in event else event


def _plain(_: Any, __: str, event: dict[str, Any]) -> str:
    """One line for a person. The message names the project already."""
    line = f"{event['timestamp'][:19]}Z {event['level']:<7} {printable(event['event'])}"
    if "exception" not in event:
        return line
    return "\n".join([line, *map(printable, event["exception"].splitlines())])
