"""The database as the sync uses it: the two drivers themselves, behind one small face.

Not SQLAlchemy, which the models, the migrations and the questions to the history are written in: importing it takes
longer than a poll of a small project does.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from rfsync.database_errors import translated
from rfsync.database_url import DatabaseUrl, Dialect
from rfsync.errors import ConfigError

#: How long a writer waits for another one's transaction on SQLite, in seconds.
BUSY_SECONDS: Final = 60.0
#: PostgreSQL: how long a connection may take, in seconds.
CONNECT_SECONDS: Final = 10


class Connection(Protocol):
    """One transaction's view of the database."""

    dialect: Dialect
    #: The driver's own connection, for what has to be fast.
    driver: Any

    def execute(self, sql: str, values: Mapping[str, object] = ...) -> list[tuple[Any, ...]]:
        """Executes one statement with ``:name`` placeholders and gives all its rows, if it has any."""

    def insert(self, sql: str, values: Mapping[str, object]) -> int:
        """Executes an INSERT of one row and gives the number in its column ``id``."""


class Database(Protocol):
    """A database that can be written to from many threads."""

    dialect: Dialect

    def begin(self, doing: str) -> Any:
        """A context manager for one transaction: committed at its end, undone if anything is raised.

        Args:
            doing: for the error's message, such as "beginning a run".

        Raises:
            DatabaseError: the database refused or vanished.
        """

    def close(self) -> None:
        """Gives all connections back."""


class _SqliteConnection:
    dialect: Dialect = "sqlite"

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.driver: Any = driver

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        adapted = {k: sqlite_text(v) if isinstance(v, datetime) else v for k, v in (values or {}).items()}
        rows: list[tuple[Any, ...]] = self.driver.execute(sql, adapted).fetchall()
        return rows

    def insert(self, sql: str, values: Mapping[str, object]) -> int:
        self.execute(sql, values)
        # Not RETURNING, which SQLite has only since 3.35.
        return int(self.execute("SELECT last_insert_rowid()")[0][0])


class SqliteDatabase:
    """An SQLite file, or a database in memory.

    SQLite has one writer, and everything the sync does is writing: so there is one connection, and threads take turns.
    They wake at once, where SQLite's own way of waiting for a lock is to try again every now and then.

    Args:
        path: the file, made if it is missing; None: in memory, for a dry run of a database that is not there.
        read_only: nothing is written, and a missing file is an error.
    """

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._turn = threading.Lock()
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        with translated(f"opening {path}"):
            self._driver = open_sqlite(path, read_only=read_only)

    @contextmanager
    def begin(self, doing: str) -> Iterator[Connection]:
        """See ``Database.begin``."""
        with self._turn, translated(doing):
            # IMMEDIATE: a transaction that reads first and then wants to write could only fail, not wait.
            self._driver.execute(self._begin)
            try:
                yield _SqliteConnection(self._driver)
                self._driver.execute("COMMIT")
            except BaseException:
                if self._driver.in_transaction:
                    self._driver.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """See ``Database.close``."""
        with self._turn, translated("closing the database"):
            self._driver.close()


def open_sqlite(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    """A connection of the standard library's driver, set up so that readers and the sync don't block each other."""
    uri = ":memory:" if path is None else f"file:{quote(str(path.absolute()))}?mode={_mode(path, read_only=read_only)}"
    # isolation_level=None: the driver begins no transaction of its own accord.
    driver = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        driver.execute("PRAGMA foreign_keys = ON")
        if read_only:
            driver.execute("PRAGMA query_only = ON")
        else:
            if driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                driver.execute("PRAGMA journal_mode = WAL")
            # FULL: what was reported as done is on the disk, also after a power cut. NORMAL could lose the last runs.
            driver.execute("PRAGMA synchronous = FULL")
    except BaseException:
        driver.close()
        raise
    return driver


def _mode(path: Path, *, read_only: bool) -> str:
    if not read_only:
        return "rwc"
    # A reader that could write would, when it is the last to close, write what a killed process left in the log into
    # the file. One that can't would leave behind the log that it has to make where there is none.
    return "ro" if path.with_name(path.name + "-wal").exists() else "rw"


class _PostgresConnection:
    dialect: Dialect = "postgresql"

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        cursor = self.driver.execute(_percent(sql), values or {})
        return cursor.fetchall() if cursor.description is not None else []

    def insert(self, sql: str, values: Mapping[str, object]) -> int:
        return int(self.execute(f"{sql} RETURNING id", values)[0][0])


@lru_cache(maxsize=256)
def _percent(sql: str) -> str:
    """``:name`` as psycopg writes it; a cast's two colons are left alone."""
    return re.sub(r"(?<!:):([a-z]\w*)", r"%(\1)s", sql.replace("%", "%%"))


def require_psycopg() -> Any:
    """The module of PostgreSQL's driver.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import psycopg
    except ImportError:
        raise ConfigError("PostgreSQL needs its driver: pip install 'psycopg[binary]'") from None
    return psycopg


def connect_postgres(url: DatabaseUrl) -> Any:
    """A connection of psycopg, in autocommit mode and in UTC.

    Raises:
        ConfigError: the driver is not installed.
    """
    driver = require_psycopg().connect(
        url.text, connect_timeout=CONNECT_SECONDS, application_name="rfsync", autocommit=True
    )
    # In another zone the last hours of the year 9999 would be in a year that Python does not have.
    driver.execute("SET TIME ZONE 'UTC'")
    return driver


class PostgresDatabase:
    """A PostgreSQL database, with as many connections as transactions are under way at once.

    Args:
        url: of a PostgreSQL database.
        read_only: transactions that can't write.

    Raises:
        ConfigError: the driver is not installed.
    """

    dialect: Dialect = "postgresql"
    #: A connection that was idle for longer is asked whether it still lives before it is relied on, in seconds.
    _TRUSTED: Final = 30.0

    def __init__(self, url: DatabaseUrl, *, read_only: bool = False) -> None:
        self._psycopg: Any = require_psycopg()
        self._url = url
        self._read_only = read_only
        self._guard = threading.Lock()
        #: Connections that nobody uses, and since when by the monotonic clock; the last used is the first to be used.
        self._idle: list[tuple[Any, float]] = []

    def connect(self) -> Any:
        """A new connection of the driver, which is the caller's to close."""
        return connect_postgres(self._url)

    @contextmanager
    def begin(self, doing: str) -> Iterator[Connection]:
        """See ``Database.begin``."""
        with translated(doing):
            driver = self._take()
            try:
                with driver.transaction():
                    if self._read_only:
                        driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    yield _PostgresConnection(driver)
            finally:
                self._give_back(driver)

    def _take(self) -> Any:
        while True:
            with self._guard:
                driver, since = self._idle.pop() if self._idle else (None, 0.0)
            if driver is None:
                return self.connect()
            if time.monotonic() - since < self._TRUSTED:
                return driver
            try:
                driver.execute("SELECT 1")
            except self._psycopg.OperationalError:
                driver.close()  # the server closed it in the meantime
            else:
                return driver

    def _give_back(self, driver: Any) -> None:
        if driver.info.transaction_status != self._psycopg.pq.TransactionStatus.IDLE:
            driver.close()  # lost, or left in a state that nobody knows
            return
        with self._guard:
            self._idle.append((driver, time.monotonic()))

    def close(self) -> None:
        """See ``Database.close``."""
        with self._guard:
            while self._idle:
                self._idle.pop()[0].close()


def open_database(url: DatabaseUrl, *, read_only: bool = False) -> Database:
    """The database at ``url``.

    Raises:
        ConfigError: its driver is not installed.
        DatabaseError: the file can't be opened.
    """
    if url.path is not None:
        return SqliteDatabase(url.path, read_only=read_only)
    return PostgresDatabase(url, read_only=read_only)


def sqlite_text(instant: datetime) -> str:
    """An instant as SQLite has it: UTC, always with microseconds, so that the order of texts is that of time."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def instant(value: str | datetime | None) -> datetime | None:
    """What a driver gave for a timestamp column, aware and in UTC; NULL is None."""
    if value is None:
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value.astimezone(UTC)
