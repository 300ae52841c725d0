"""The errors that rfsync raises on purpose.

::

    RfsyncError
    ├── ConfigError            the command line or the configuration is wrong          exit 2
    ├── DatabaseError          the database refused or vanished                        exit 3
    │   ├── TransientDatabaseError   the same transaction may pass when tried again
    │   └── SchemaError        reachable, but not at this version's schema
    ├── FetchError             one request of one run came to nothing; has a ``kind``  exit 1
    │   └── BadResponse        an answer came, and it can't be believed
    ├── Cancelled              the process was asked to stop in the middle of a run
    └── records.RunEnded       a run had ended before; never leaves ``sync``

Whatever else escapes is a bug, and is shown with its traceback.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """Why a run failed, in the words of ``sync_runs.error_kind``."""

    AUTH = "auth"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    REQUEST = "request"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    BAD_RESPONSE = "bad_response"
    DATABASE = "database"


class RfsyncError(Exception):
    """Base of all errors raised on purpose; ``str()`` is one line for a person, free of secrets."""


class ConfigError(RfsyncError):
    """The command line or the configuration is wrong; the message names the key and the way out."""


class DatabaseError(RfsyncError):
    """The database can't be reached, or refused what was asked of it."""


class TransientDatabaseError(DatabaseError):
    """Refused for a reason that may be over in a moment: locked, deadlock, connection lost."""


class SchemaError(DatabaseError):
    """The database is there, but its schema isn't the one that this version works with."""


class Cancelled(RfsyncError):
    """The process was asked to stop; what was not committed is given up."""


class FetchError(RfsyncError):
    """A request that failed for good.

    Attributes:
        kind: the word for ``sync_runs.error_kind``.
        http_status: the status of the last answer; None: there was none.
        attempts: how often it was tried.
        response_bytes: bytes of the body, after decompression; None: there was none.
        retry_after: seconds that the API asked to wait; None: it did not.
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
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.http_status = http_status
        self.attempts = attempts
        self.response_bytes = response_bytes
        self.retry_after = retry_after


class BadResponse(FetchError):
    """An answer that is no batch list, or one of which too little can be believed.

    Attributes:
        rejected: the number of records that broke the rules, where it came to that.
        body: how the answer begins, as it came; None: that says nothing. It may show anything, a key too, so that
            ``answers.explained`` has to be asked for what of it can be shown.
    """

    def __init__(self, message: str, *, rejected: int = 0, body: bytes | None = None) -> None:
        super().__init__(ErrorKind.BAD_RESPONSE, message)
        self.rejected = rejected
        self.body = body
