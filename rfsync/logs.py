"""Logs, and metrics behind one small protocol.

The library logs through the standard library's ``logging``; here structlog gives the lines their form.

structlog is imported when the first line is written: a sync that has nothing to say does not wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, Protocol

from rfsync.redaction import Redactor
from rfsync.text import printable

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("console", "json")


class Metrics(Protocol):
    """Is told how long the phases of a run take."""

    def time(self, phase: str) -> AbstractContextManager[None]:
        """Times what is done inside; ``phase`` is ``fetch`` or ``write``."""


class NoMetrics:
    """For whoever has no use for them, so that nobody has to ask."""

    def time(self, phase: str) -> AbstractContextManager[None]:
        """Times nothing."""
        return contextlib.nullcontext()


NO_METRICS: Final = NoMetrics()

_about: ContextVar[Mapping[str, object]] = ContextVar("rfsync_about", default=MappingProxyType({}))


@contextlib.contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Has each line that this thread logs inside carry these fields, whichever library it is of."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def configure(level: str, form: str, redact: Redactor) -> None:
    """Sends all logs, and Python's warnings, to standard error, without any secret.

    Args:
        level: one of ``LEVELS``.
        form: one of ``FORMATS``.
        redact: is asked about every finished line, tracebacks and other libraries' lines included.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(_StderrHandler(form, redact))
    root.setLevel(level.upper())
    logging.captureWarnings(True)


class _StderrHandler(logging.Handler):
    def __init__(self, form: str, redact: Redactor) -> None:
        super().__init__()
        self._form = form
        self._redact = redact

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.formatter is None:
                self.formatter = _formatter(self._form)
            # sys.stderr at this moment: a progress bar may have put itself in between.
            sys.stderr.write(self._redact(self.format(record)) + "\n")
            sys.stderr.flush()
        except Exception:
            # A line that can't be written must not end the sync that wrote it. The standard library's way of saying so
            # would show the arguments, secrets and all. If not even this can be written, there is nobody to tell.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"rfsync: a log line of {record.pathname}:{record.lineno} could not be written\n")


def _formatter(form: str) -> logging.Formatter:
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        _add_about,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        final.append(structlog.processors.JSONRenderer())
    else:
        final.append(_plain)
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final)


def _add_about(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    return {**event, **_about.get()}


def _plain(_: Any, __: str, event: dict[str, Any]) -> str:
    """One line for a person; the project stands in the text already."""
    line = f"{event['timestamp'][:19]}Z {event['level']:<7} {printable(event['event'])}"
    return f"{line}\n{event['exception']}" if "exception" in event else line
