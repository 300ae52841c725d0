"""Connections to SQLite and PostgreSQL, set up so that readers and the sync don't get in each other's way.

What a driver raises is translated here, and nowhere else.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from rfsync.errors import ConfigError, DatabaseError, TransientDatabaseError

#: How long a writer waits for another one's transaction on SQLite, in seconds.
BUSY_SECONDS: Final = 60.0
#: PostgreSQL: how long a connection may take, in seconds.
CONNECT_SECONDS: Final = 10

#: ``write``: a missing SQLite file is made. ``read``: nothing is written, and a missing file is an error.
Mode = Literal["write", "read"]


def parse_url(text: str) -> URL:
    """The URL of one of the two databases, with the driver that rfsync uses.

    Raises:
        ConfigError: another database, or none at all; the URL itself is not repeated, since it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError("[database] url can't be read: write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"}:
            raise ConfigError("[database] url names no file: a history in memory is lost at exit; write sqlite:///FILE")
        return url.set(drivername="sqlite")
    raise ConfigError(
        f"[database] url: {url.drivername!r} is not supported; write sqlite:///FILE or postgresql://USER@HOST/NAME"
    )


def safe_url(url: URL) -> str:
    """The URL for people, without its password."""
    query = {k: "***" if "pass" in k.lower() else v for k, v in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def sqlite_path(url: URL) -> Path | None:
    """The file of an SQLite database; None: it is none."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def open_engine(url: URL, mode: Mode, *, connections: int = 5) -> Engine:
    """An engine that has not connected yet.

    Args:
        url: from ``parse_url``.
        mode: what is going to be done with it.
        connections: how many may be in use at once, the spare one included.

    Raises:
        ConfigError: the PostgreSQL driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url, mode, connections)
    try:
        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=2,
            # A connection that the server closed in the night is replaced before it is used, not after it failed.
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "rfsync"},
            hide_parameters=True,
        )
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigError("PostgreSQL needs its driver: pip install 'rfsync[postgres]'") from error
    if mode == "read":
        event.listen(engine, "connect", _postgres_read_only)
    return engine


def _postgres_read_only(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.read_only = True


def _open_sqlite(url: URL, mode: Mode, connections: int) -> Engine:
    path = sqlite_path(url)
    if path is None:
        raise ConfigError("[database] url names no file")
    # Not mode=ro for readers: in WAL mode even they need to make the shared-memory file, and to take it away again.
    uri = f"file:{quote(str(path.absolute()))}?mode={'rwc' if mode == 'write' else 'rw'}"

    def connect() -> sqlite3.Connection:
        # isolation_level=None: the driver starts no transaction of its own accord, the "begin" listener does.
        return sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    engine = create_engine(
        "sqlite://",
        creator=connect,
        pool_size=connections,
        max_overflow=2,
        hide_parameters=True,
        poolclass=_queue_pool(),
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if mode == "read":
            connection.execute("PRAGMA query_only = ON")
            return
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: what was reported as done is on the disk, also after a power cut. NORMAL could lose the last commits.
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE: a transaction that read first and then wants to write could only fail, not wait.
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))

    return engine


def _queue_pool() -> Any:
    from sqlalchemy.pool import QueuePool

    return QueuePool


def begin_immediate(engine: Engine) -> Engine:
    """The same engine, whose transactions take SQLite's write lock at their start."""
    return engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns what SQLAlchemy and the drivers raise into a ``DatabaseError`` that says what was being done.

    Raises:
        TransientDatabaseError: the same may work when tried again.
        DatabaseError: it won't.
    """
    failure: DatabaseError | None = None
    try:
        yield
    except DBAPIError as error:
        message = f"{doing}: {_first_line(error.orig)}"
        failure = TransientDatabaseError(message) if _is_transient(error) else DatabaseError(message)
    except SQLAlchemyError as error:
        failure = DatabaseError(f"{doing}: {_first_line(error)}")
    except _driver_errors() as error:  # from a bulk write, which speaks to the driver itself
        message = f"{doing}: {_first_line(error)}"
        failure = TransientDatabaseError(message) if _is_transient_cause(error) else DatabaseError(message)
    except OverflowError:
        failure = DatabaseError(f"{doing}: a total is beyond what the database can store")
    if failure is not None:
        # Raised here, not above: the driver's error, which may show the connection's password, is not kept as context.
        raise failure


def _first_line(error: object) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


# SQLSTATE classes 08 (connection) and 40 (rollback), and single ones: too many connections, shutdown, lock timeout.
_TRANSIENT_STATES: Final = ("08", "40", "53300", "57P01", "57P02", "57P03", "55P03")


def _driver_errors() -> tuple[type[Exception], ...]:
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error,) if psycopg is None else (sqlite3.Error, psycopg.Error)


def _is_transient(error: DBAPIError) -> bool:
    return error.connection_invalidated or _is_transient_cause(error.orig)


def _is_transient_cause(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_TRANSIENT_STATES)
