"""An exception that nobody thought of: told as the bug that it is, for one project or workspace alone."""

import traceback
from collections.abc import Callable
from typing import Final

from rfsync.errors import ErrorKind
from rfsync.ledger.runs import RunRow
from rfsync.logs import with_fields
from rfsync.redaction import hide_addresses
from rfsync.sync.task import log
from rfsync.text import printable

#: Said of every bug.
BUG: Final = "this is a bug in rfsync, please report it"
_OUT_OF_MEMORY: Final = (
    "not enough memory: lower [api] concurrency or max_response_bytes, or let the process have more of it"
)
_MAX_LENGTH: Final = 300
# ``sync_runs`` has no word of its own for bugs: the nearest is told by the part of the package that it happened in, of
# which the first that applies counts. Everything in a transaction is called by the ledger.
_KINDS: Final = {
    "rfsync.ledger.": ErrorKind.DATABASE,
    "rfsync.database.": ErrorKind.DATABASE,
    "rfsync.api.answers": ErrorKind.BAD_RESPONSE,
    "rfsync.api.": ErrorKind.REQUEST,
}


def failed_by_bug(subject: object, error: Exception, redact: Callable[[str], str]) -> RunRow:
    """Logs a bug with its traceback, and makes the row of the run that it ended.

    A lack of memory is no bug, and is logged in one line.

    Args:
        subject: the project or workspace, for the log.
        redact: takes secrets out of the row; logs are free of them, and of addresses, anyway.
    """
    if isinstance(error, MemoryError):
        row = RunRow("failed", error_kind=_nearest_kind(error), error=_OUT_OF_MEMORY)
        log.error("%s: %s", subject, _OUT_OF_MEMORY, extra=with_fields(row.log_fields))
        return row
    text = printable(hide_addresses(redact(f"{BUG}: {_first_line(error)}")))
    text = text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
    row = RunRow("failed", error_kind=_nearest_kind(error), error=text)
    log.error("%s: %s:", subject, BUG, exc_info=error, extra=with_fields(row.log_fields))
    return row


def _nearest_kind(error: Exception) -> ErrorKind:
    modules = {str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)}
    kinds = (kind for start, kind in _KINDS.items() if any(module.startswith(start) for module in modules))
    return next(kinds, ErrorKind.BAD_RESPONSE)


def _first_line(error: Exception) -> str:
    return traceback.format_exception_only(error)[0].partition("\n")[0]
