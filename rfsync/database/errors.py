"""Translates what SQLAlchemy and the drivers raise into the package's own errors: the one place that does."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rfsync.errors import DatabaseError, TransientDatabaseError


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns a failure of the database into a ``DatabaseError`` that says what was being done.

    Raises:
        TransientDatabaseError: the same may work when tried again.
        DatabaseError: it won't.
    """
    failure: DatabaseError
    try:
        yield
    except PoolTimeoutError:
        failure = TransientDatabaseError(f"{doing}: database is locked by this process's other transactions")
    except _database_errors() as error:
        failure = _translate(doing, error)
        error.__traceback__ = None
    except OverflowError:
        failure = DatabaseError(f"{doing}: a sum is beyond what the database can store")
    else:
        return
    try:
        raise failure
    finally:
        # The driver's own error, which may show the whole URL with its password, must not come along.
        failure.__context__ = None
        # An error whose traceback has a frame that refers to it would keep all that the attempt had in memory.
        del failure


def _translate(doing: str, error: Exception) -> DatabaseError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    kind = TransientDatabaseError if is_transient(cause) else DatabaseError
    return kind(f"{doing}: {_first_line(cause)}")


def _database_errors() -> tuple[type[Exception], ...]:
    """SQLAlchemy's, and those of the drivers in use: bulk statements speak to the driver itself."""
    psycopg = sys.modules.get("psycopg")
    return (SQLAlchemyError, sqlite3.Error) if psycopg is None else (SQLAlchemyError, sqlite3.Error, psycopg.Error)


def _first_line(error: object) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


# SQLSTATE classes 08 (connection) and 40 (serialisation failure, deadlock), and single ones: too many connections,
# statement timeout or cancelled, shutdown, crash, starting up, idle for too long, idle in a transaction, lock timeout
# (PostgreSQL's documentation, appendix "Error Codes").
_TRANSIENT_STATES: Final = ("08", "40", "53300", "57014", "57P01", "57P02", "57P03", "57P05", "25P03", "55P03")


def is_transient(error: BaseException) -> bool:
    """Tells whether what a driver raised may be over in a moment."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    state = getattr(error, "sqlstate", None)
    if state is None:  # psycopg's OperationalError without a state: the connection was lost, or was never established
        return any(base.__name__ == "OperationalError" for base in type(error).__mro__)
    return isinstance(state, str) and state.startswith(_TRANSIENT_STATES)
