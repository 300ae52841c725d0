"""The database as the sync uses it: the two drivers themselves, behind one small face.

Not SQLAlchemy, which the models, the migrations and the questions to the history are written in: importing it takes
longer than a poll of a small project does.
"""

from __future__ import annotations

import contextlib
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

from rfsync.database.errors import is_transient, translated
from rfsync.database.url import DatabaseUrl, Dialect
from rfsync.errors import ConfigError

#: How long a transaction waits for another one's lock, in seconds.
PATIENCE: Final = 30.0
#: SQLite's own wait for a lock: short, since nothing can end it early, and therefore begun again and again.
_BUSY_MILLISECONDS: Final = 100
# What the URL and the role's own settings leave open. A server that vanished without a word is noticed within two
# minutes: a sync that waits for it for ever would be a silent failure.
_POSTGRES_DEFAULTS: Final = {
    "connect_timeout": 10,
    "application_name": "rfsync",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# In another zone the last hours of the year 9999 would be in a year that Python does not have. A session may well be
# idle for as long as the API takes, and ends with the process (that setting came with PostgreSQL 14).
_POSTGRES_SETTINGS: Final = """SELECT set_config('TimeZone', 'UTC', false), set_config('lock_timeout',
    CASE current_setting('lock_timeout') WHEN '0' THEN %s ELSE current_setting('lock_timeout') END, false),
    (SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout')"""


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

    def begin(self, doing: str, *, patience: float = PATIENCE) -> Any:
        """A context manager for one transaction: committed at its end, undone if anything is raised.

        Args:
            doing: for the error's message, such as "beginning a run".
            patience: how long to wait for another's lock, in seconds, about; 0: a moment, and not to be interrupted.

        Raises:
            DatabaseError: the database refused or vanished.
        """

    def interrupt(self) -> None:
        """Makes transactions that are under way fail, but for those without patience.

        It may come between two statements and have no effect: to be called until they have ended.
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
        self._interruptible = False
        self._interrupted = threading.Event()
        #: When somebody has waited for the lock in vain, by the monotonic clock.
        self._in_vain = 0.0
        with translated(f"opening {path}"):
            self._driver = open_sqlite(path, read_only=read_only)
            self._driver.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")

    @contextmanager
    def begin(self, doing: str, *, patience: float = PATIENCE) -> Iterator[Connection]:
        """See ``Database.begin``."""
        came = time.monotonic()
        with self._turn, translated(doing):
            self._interruptible = patience > 0
            try:
                # Whoever queued behind somebody who waited in vain has waited long enough.
                self._wait_and_begin(patience if self._in_vain < came else 0.0)
                yield _SqliteConnection(self._driver)
                self._driver.execute("COMMIT")
            except BaseException:
                self._interruptible = False
                if self._driver.in_transaction:
                    self._driver.execute("ROLLBACK")
                raise
            finally:
                self._interruptible = False

    def _wait_and_begin(self, patience: float) -> None:
        # IMMEDIATE: a transaction that reads first and then wants to write could only fail, not wait.
        until = time.monotonic() + patience
        while True:
            try:
                self._driver.execute(self._begin)
            except sqlite3.OperationalError as error:
                if not is_transient(error) or self._interrupted.is_set():
                    raise
                if time.monotonic() >= until:
                    self._in_vain = time.monotonic()
                    raise
            else:
                return

    def interrupt(self) -> None:
        """See ``Database.interrupt``."""
        self._interrupted.set()
        if self._interruptible:
            self._driver.interrupt()

    def close(self) -> None:
        """See ``Database.close``."""
        with self._turn, translated("closing the database"):
            self._driver.close()


def open_sqlite(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    """A connection of the standard library's driver, set up so that readers and the sync don't block each other.

    It waits up to ``PATIENCE`` for a lock.
    """
    uri = ":memory:" if path is None else f"file:{quote(str(path.absolute()))}?mode={_mode(path, read_only=read_only)}"
    # isolation_level=None: the driver begins no transaction of its own accord.
    driver = sqlite3.connect(
        uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=256
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
    psycopg = require_psycopg()
    settings = _POSTGRES_DEFAULTS | psycopg.conninfo.conninfo_to_dict(url.text)
    driver = psycopg.connect(**settings, autocommit=True)
    try:
        driver.execute(_POSTGRES_SETTINGS, (f"{PATIENCE:g}s",))
    except BaseException:
        driver.close()
        raise
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
        #: Of transactions that may be interrupted.
        self._busy: set[Any] = set()

    def connect(self) -> Any:
        """A new connection of the driver, which is the caller's to close."""
        try:
            return connect_postgres(self._url)
        except self._psycopg.OperationalError:
            if not self._idle:
                raise
            self.close()  # there may be too many, and nobody uses these
            return connect_postgres(self._url)

    @contextmanager
    def begin(self, doing: str, *, patience: float = PATIENCE) -> Iterator[Connection]:
        """See ``Database.begin``."""
        with translated(doing):
            driver = self._take()
            if patience > 0:
                self._busy.add(driver)
            try:
                with driver.transaction():
                    if self._read_only:
                        driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    if patience < PATIENCE:
                        driver.execute(f"SET LOCAL lock_timeout = '{max(patience, 1.0):g}s'")
                    yield _PostgresConnection(driver)
            finally:
                with self._guard:
                    self._busy.discard(driver)
                self._give_back(driver)

    def interrupt(self) -> None:
        """See ``Database.interrupt``."""
        for driver in list(self._busy):
            with self._guard:
                if driver in self._busy:
                    with contextlib.suppress(self._psycopg.Error):  # it has ended, or its server has
                        driver.cancel_safe(timeout=1.0)

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
            if driver.broken:
                self.close()  # the server went away, and with it the others
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
