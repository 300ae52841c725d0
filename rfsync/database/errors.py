"""What the drivers and SQLAlchemy raise, in our words; the one place where it is translated."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rfsync.errors import DatabaseError, TransientDatabaseError


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns what the drivers and SQLAlchemy raise into a ``DatabaseError`` that says what was being done.

    Raises:
        TransientDatabaseError: the same may work when tried again.
        DatabaseError: it won't.
    """
    failure: DatabaseError
    try:
        yield
    except _driver_errors() as error:
        cause = getattr(error, "orig", None) or error  # SQLAlchemy's hold the driver's
        kind = TransientDatabaseError if is_transient(cause) else DatabaseError
        failure = kind(f"{doing}: {_first_line(cause)}")
    except OverflowError:
        failure = DatabaseError(f"{doing}: a sum is beyond what the database can store")
    else:
        return
    try:
        raise failure
    finally:
        # The driver's own error, which may show the whole URL with its password, is not to come along.
        failure.__context__ = None


def _driver_errors() -> tuple[type[Exception], ...]:
    """Of the drivers that are in use; the other's errors can't come."""
    errors: list[type[Exception]] = [sqlite3.Error]
    psycopg, sqlalchemy = sys.modules.get("psycopg"), sys.modules.get("sqlalchemy.exc")
    if psycopg is not None:
        errors.append(psycopg.Error)
    if sqlalchemy is not None:
        errors.append(sqlalchemy.SQLAlchemyError)
    return tuple(errors)


def _first_line(error: object) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


# SQLSTATE classes 08 (connection) and 40 (serialisation failure, deadlock), and single ones: too many connections,
# statement timeout or cancelled, shutdown, crash, starting up, idle for too long, idle in a transaction, lock timeout
# (PostgreSQL's documentation, appendix "Error Codes").
_TRANSIENT_STATES: Final = ("08", "40", "53300", "57014", "57P01", "57P02", "57P03", "57P05", "25P03", "55P03")


def is_transient(error: BaseException) -> bool:
    """Whether what a driver raised may be over in a moment."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    state = getattr(error, "sqlstate", None)
    if state is None:  # psycopg's word for a connection that was lost, or never came about
        return any(base.__name__ == "OperationalError" for base in type(error).__mro__)
    return isinstance(state, str) and state.startswith(_TRANSIENT_STATES)
