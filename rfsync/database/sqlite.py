"""SQLite: its connections, its one writer, and its way to wait for a lock."""

import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event

from rfsync.database.errors import is_transient
from rfsync.errors import DatabaseError

#: SQLite's own wait for a lock. Nothing can end it early, so it is short and repeated.
_BUSY_MILLISECONDS: Final = 100


def create(url: URL, *, read_only: bool, lock_timeout: float) -> Engine:
    """An engine for a file, or for a database in memory.

    SQLite has one writer, so a writing engine has one connection, which its threads take in turn.
    """
    path = Path(url.database) if url.database else None
    if read_only and path is not None and not path.exists():
        raise DatabaseError(f"there is no database {path}: rfsync sync makes it")

    def connect() -> sqlite3.Connection:
        return _connect(path, read_only=read_only)

    pool: dict[str, Any] = {"poolclass": NullPool}
    if not read_only or path is None:
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": lock_timeout}
    engine = create_engine(url, creator=connect, hide_parameters=True, **pool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if read_only:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_immediate(connection, lock_timeout)

    return engine


def _connect(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    uri = ":memory:" if path is None else f"file:{quote(str(path.absolute()))}?mode={_mode(path, read_only=read_only)}"
    # isolation_level=None: the driver begins no transaction of its own accord.
    driver = sqlite3.connect(
        uri, uri=True, timeout=_BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False,
        cached_statements=256,
    )  # fmt: skip
    try:
        driver.execute("PRAGMA foreign_keys = ON")
        if read_only:
            driver.execute("PRAGMA query_only = ON")
            # A reader waits only while another process recovers or switches the journal.
            driver.execute("PRAGMA busy_timeout = 30000")
        else:
            _use_wal(driver)
    except BaseException:
        driver.close()
        raise
    return driver


def _use_wal(driver: sqlite3.Connection) -> None:
    # In WAL mode, readers and the writer don't block each other.
    until = time.monotonic() + 30.0
    while True:
        try:
            if driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_transient(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)  # SQLite itself does not wait for this lock
        else:
            return


def _mode(path: Path, *, read_only: bool) -> str:
    if not read_only:
        return "rwc"
    # A reader that can write and is the last to close would write the log of a killed process into the file. One that
    # can't would leave behind the log that it has to make where there is none.
    return "ro" if path.with_name(path.name + "-wal").exists() else "rw"


def _begin_immediate(connection: Connection, lock_timeout: float) -> None:
    # IMMEDIATE: a transaction that reads first and then wants to write could only fail, not wait.
    options = connection.get_execution_options()
    deadline = options.get("lock_deadline", time.monotonic() + lock_timeout)
    interrupted = options.get("interrupted", threading.Event())
    driver: Any = connection.connection.driver_connection
    # FULL: what was reported as done is on the disk, also after a power cut. NORMAL could lose the last transactions.
    synchronous = "FULL" if options.get("durable", True) else "NORMAL"
    if connection.info.get("synchronous") != synchronous:
        driver.execute(f"PRAGMA synchronous = {synchronous}")
        connection.info["synchronous"] = synchronous
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_transient(error) or interrupted.is_set() or time.monotonic() >= deadline:
                raise
        else:
            return


def interrupt(driver: Any) -> None:
    """Makes the statement under way fail."""
    driver.interrupt()


def is_broken(driver: Any, _error: BaseException) -> bool:
    """Tells whether the connection is of no more use after its transaction: an interrupt may have met the rollback."""
    return bool(driver.in_transaction)


def sqlite_text(instant: datetime) -> str:
    """An instant as SQLite has it: UTC, always with microseconds, so that text order is time order."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def instant(value: str | datetime | None) -> datetime | None:
    """An instant as a driver gave it, aware and in UTC; NULL is None."""
    if value is None:
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value.astimezone(UTC)
