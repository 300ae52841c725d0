"""Translates what SQLAlchemy and the drivers raise into the package's own errors: the one place that does."""

import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rfsync.errors import DatabaseError, RfsyncError, TransientDatabaseError


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns a failure of the database into a ``DatabaseError`` that says what was being done.

    That is whatever SQLAlchemy or a driver raises, of any type. What rfsync's own code raises in the block is a bug, or
    an error of its own, and passes.

    Raises:
        TransientDatabaseError: the same may work when tried again.
        DatabaseError: it won't.
    """
    failure: DatabaseError
    try:
        yield
    except PoolTimeoutError:
        failure = TransientDatabaseError(f"{doing}: database is locked by this process's other transactions")
    except OverflowError:
        failure = DatabaseError(f"{doing}: a sum is beyond what the database can store")
    except Exception as error:
        if not _is_of_the_database(error):
            raise
        failure = _translate(doing, error)
        error.__traceback__ = None
    else:
        return
    try:
        raise failure
    finally:
        # The driver's own error, which may show the whole URL with its password, must not come along.
        failure.__context__ = None
        # An error whose traceback has a frame that refers to it would keep all that the attempt had in memory.
        del failure


def driver_error(error: BaseException) -> BaseException:
    """The driver's own error, which SQLAlchemy may have wrapped."""
    return error.orig if isinstance(error, StatementError) and error.orig is not None else error


def _translate(doing: str, error: Exception) -> DatabaseError:
    cause = driver_error(error)
    kind = TransientDatabaseError if is_transient(cause) else DatabaseError
    # The text of a TypeError alone says little.
    name = "" if isinstance(cause, _database_errors()) else f"{type(cause).__name__}: "
    return kind(f"{doing}: {name}{_first_line(cause)}{_advice(cause)}")


def _database_errors() -> tuple[type[Exception], ...]:
    """SQLAlchemy's, and those of the drivers in use: bulk statements speak to the driver itself."""
    psycopg = sys.modules.get("psycopg")
    return (SQLAlchemyError, sqlite3.Error) if psycopg is None else (SQLAlchemyError, sqlite3.Error, psycopg.Error)


# The modules that carry a statement to the database and its rows back. The others of SQLAlchemy build statements: what
# goes wrong there is a bug of whoever wrote the statement.
_DRIVERS: Final = ("psycopg", "sqlalchemy.engine.", "sqlalchemy.pool.", "sqlalchemy.dialects.")
_OURS: Final = "rfsync."


def _is_of_the_database(error: Exception) -> bool:
    if isinstance(error, (RfsyncError, Warning)):
        return False
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError) and error.orig is not None:
        # SQLAlchemy's name for whatever was raised while the values of a statement were converted, by our types too.
        return _was_raised_by_driver(error.orig)
    # sqlite3 is written in C and has no frames: it raises errors of its own, and UnicodeEncodeError below SQLAlchemy.
    return isinstance(error, _database_errors()) or _was_raised_by_driver(error)


def _was_raised_by_driver(error: BaseException) -> bool:
    """Tells whether the innermost frame, not counting other libraries, is a driver's and not one of rfsync's."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    known = [name for name in names if name.startswith((_OURS, *_DRIVERS))]
    return bool(known) and known[-1].startswith(_DRIVERS)


def _first_line(error: object) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


# A character that the database's encoding does not have; the server's message names both.
_UNTRANSLATABLE: Final = "22P05"


def _advice(error: BaseException) -> str:
    if getattr(error, "sqlstate", None) == _UNTRANSLATABLE:
        return "; rfsync needs a database whose encoding is UTF8"
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
        return "; the file is damaged: restore a backup, as docs/operations.md says"
    return ""


#: The server, or this connection to it, takes no writes: it was made a standby.
READ_ONLY_STATE: Final = "25006"
# SQLSTATE classes 08 (connection) and 40 (serialisation failure, deadlock), and single ones: too many connections,
# statement timeout or cancelled, shutdown, crash, starting up, idle for too long, idle in a transaction, transaction
# timeout, lock timeout, read-only (PostgreSQL's documentation, appendix "Error Codes"). Not 57P04: the database was
# dropped.
_TRANSIENT_STATES: Final = (
    *("08", "40", "53300", "57014", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "55P03"),
    READ_ONLY_STATE,
)


def is_transient(error: BaseException) -> bool:
    """Tells whether what a driver raised may be over in a moment."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    state = getattr(error, "sqlstate", None)
    if state is None:  # psycopg's OperationalError without a state: the connection was lost, or was never established
        return any(base.__name__ == "OperationalError" for base in type(error).__mro__)
    return isinstance(state, str) and state.startswith(_TRANSIENT_STATES)
