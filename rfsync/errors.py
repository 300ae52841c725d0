"""The errors that rfsync raises on purpose.

::

    RfsyncError
    ├── ConfigError            the command line or the configuration is wrong          exit 2
    │   └── ListenError        an address can't be listened on
    ├── DatabaseError          the database refused or vanished                        exit 3
    │   ├── TransientDatabaseError   the same transaction may pass when tried again
    │   ├── SchemaError        reachable, but not at this version's schema
    │   └── RightsError        reachable, but the role may not do what a sync does
    ├── FetchError             a request failed; has a ``kind``                       exit 1
    │   └── BadResponse        an answer came, but it is not valid
    ├── CopyError              a copy into another database is not proved equal        exit 1
    ├── ThreadError            the system starts no more threads                       exit 1
    ├── Cancelled              the process was asked to stop in the middle of a run
    ├── digests.notify.NotifyError  a message could not be delivered                  exit 1
    ├── sync.saved_answers.BadAnswersError   files to import that are no answers      exit 1
    └── ledger.runs.RunEnded, ProjectRenamed, ProjectAway           never leave ``sync``

Anything else that escapes is a bug, and is shown with its traceback.
"""

import errno
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple


class ErrorKind(StrEnum):
    """Why a run failed: the values of ``sync_runs.error_kind``."""

    AUTH = "auth"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    REQUEST = "request"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    BAD_RESPONSE = "bad_response"
    DATABASE = "database"


#: The API, or the way to it, is in trouble; after the other kinds it has answered, about one project or one key.
OUTAGES: Final = frozenset({ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.SERVER, ErrorKind.RATE_LIMITED})


class RfsyncError(Exception):
    """Base of all errors raised on purpose; ``str()`` is one line for a person, free of secrets.

    Attributes:
        details: further lines, one for each thing that is wrong.
    """

    def __init__(self, message: str = "", *, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class ConfigError(RfsyncError):
    """The command line or the configuration is wrong; the message names the key and says how to fix it."""


class ListenError(ConfigError):
    """The address for a server can't be listened on.

    Args:
        written: the address as it was written: ``{}`` stands for HOST:PORT.
        error: of the system.
    """

    def __init__(self, written: str, host: str, port: int, error: OSError) -> None:
        shown = f"[{host}]" if ":" in host else host
        text = f"{written.format(f'{shown}:{port}')}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            other = written.format(f"{shown}:{port + 1 if port < 65_535 else port - 1}")
            text += f": another program has port {port}; stop that one, or write another port, such as {other}"
        elif error.errno == errno.EACCES:
            text += f": port {port} needs more rights; write one above 1023, such as {written.format(f'{shown}:8787')}"
        super().__init__(text)


#: What is done, by the message of a ``DatabaseError``, when a database can't be reached at all.
OPENING: Final = "opening the database"


class DatabaseError(RfsyncError):
    """The database can't be reached, or refused a statement."""


class TransientDatabaseError(DatabaseError):
    """A failure that may pass when the transaction is tried again: locked, deadlock, connection lost."""


class SchemaError(DatabaseError):
    """The database is there, but its schema isn't the one that this version works with."""


class RightsError(DatabaseError):
    """The database is there, but its role lacks rights that a sync needs."""


class CopyError(RfsyncError):
    """A copy into another database can't go on, or is not proved to be equal; the message says what to do."""


class ThreadError(RfsyncError):
    """The system starts no more threads; the message says which limit that may be."""


class Cancelled(RfsyncError):
    """The process was asked to stop; what was not committed is given up."""


class Asked(NamedTuple):
    """The address that a request was sent to."""

    #: Without the key.
    address: str
    #: Where its base URL is set; None: it is one of Roboflow's own, which need no correction.
    setting: str | None


class FetchError(RfsyncError):
    """A failed request.

    Attributes:
        kind: for ``sync_runs.error_kind``.
        http_status: status of the last answer; None: there was none.
        attempts: number of attempts, set after the last one.
        response_bytes: size of the body after decompression; None: there was none.
        retry_after: seconds to wait, as the API asked; None: it did not ask.
        retryable: another attempt may succeed.
        sent_at: when the request was sent that got the last answer, by the clock; None: there was no answer.
        sent_us: the same by the monotonic clock, in microseconds; 0: there was no answer.
        asked: what was asked; None: no request was sent.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        http_status: int | None = None,
        attempts: int = 0,
        response_bytes: int | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.http_status = http_status
        self.attempts = attempts
        self.response_bytes = response_bytes
        self.retry_after = retry_after
        self.retryable = retryable
        self.sent_at: datetime | None = None
        self.sent_us = 0
        self.asked: Asked | None = None

    def reworded(self, message: str) -> "FetchError":
        """The same failure with another message."""
        error = FetchError(
            self.kind, message, http_status=self.http_status, attempts=self.attempts, response_bytes=self.response_bytes
        )
        error.asked = self.asked
        return error


class BadResponse(FetchError):
    """An answer that is not what was asked for, or has too many invalid records.

    Attributes:
        rejected: number of invalid records, if that is why.
        body: the start of the answer; None: it would explain nothing. It may contain anything, a key too: show it
            through ``api.failures.describe_error`` only.
    """

    def __init__(
        self,
        message: str,
        *,
        rejected: int = 0,
        body: bytes | None = None,
        http_status: int | None = None,
        response_bytes: int | None = None,
    ) -> None:
        super().__init__(ErrorKind.BAD_RESPONSE, message, http_status=http_status, response_bytes=response_bytes)
        self.rejected = rejected
        self.body = body
