"""SQLite: its connections, its one writer, and its way to wait for a lock."""

import os
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from rfsync.database.errors import is_transient
from rfsync.database.sqlite_file import DatabaseFile, real_path
from rfsync.errors import DatabaseError

#: SQLite's own wait for a lock. Nothing can end it early, so it is short and repeated.
_BUSY_MILLISECONDS: Final = 100
#: How long readers are waited for before the log is emptied.
_EMPTYING_SECONDS: Final = 5.0
#: In ``Connection.info``: the number of the file that was opened, see ``DatabaseFile.number``.
FILE_NUMBER: Final = "file_number"


def create(url: URL, *, read_only: bool, lock_timeout: float) -> Engine:
    """An engine for a file, or for a database in memory.

    SQLite has one writer, so a writing engine has one connection, which its threads take in turn.
    """
    file = DatabaseFile(Path(url.database)) if url.database else None
    if read_only and file is not None:
        file.require()

    def connect() -> sqlite3.Connection:
        if file is not None:
            return _connect(file, read_only=read_only)
        driver = _open(":memory:")
        _prepare(driver, read_only=False)
        return driver

    pool: dict[str, Any] = {"poolclass": NullPool}
    if not read_only or file is None:
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": lock_timeout}
    engine = create_engine(url, creator=connect, hide_parameters=True, **pool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if read_only:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_immediate(connection, lock_timeout)

    if file is not None and not read_only:
        _follow(file, engine)
    return engine


def _follow(file: DatabaseFile, engine: Engine) -> None:
    """Opens the file anew if another has taken its place: the connection would go on writing to the old one."""

    @event.listens_for(engine, "connect")
    def _note(_driver: object, record: ConnectionPoolEntry) -> None:
        record.info[FILE_NUMBER] = file.number

    @event.listens_for(engine, "checkout")
    def _check(_driver: object, _record: ConnectionPoolEntry, _proxy: object) -> None:
        if not file.is_still_there():
            raise InvalidatePoolError


def _connect(file: DatabaseFile, *, read_only: bool) -> sqlite3.Connection:
    if read_only or file.number:
        # A process makes a new database when it starts, and not in place of one that was taken away from it.
        file.require()
    real = file.real
    try:
        mode = _reading_mode(real) if read_only else "mode=rw" if file.number else "mode=rwc"
        driver = _open(f"file:{quote(str(real))}?{mode}")
        try:
            file.note_opened(read_only=read_only)
            _prepare(driver, read_only=read_only)
        except BaseException:
            driver.close()
            raise
    except (sqlite3.OperationalError, PermissionError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CANTOPEN) & 0xFF
        if read_only and code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
            raise DatabaseError(f"the database {file.path} can't be read: {_obstacle(real)}") from None
        raise
    return driver


def _open(uri: str) -> sqlite3.Connection:
    # isolation_level=None: the driver begins no transaction of its own accord.
    return sqlite3.connect(
        uri, uri=True, timeout=_BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False,
        cached_statements=256,
    )  # fmt: skip


def _prepare(driver: sqlite3.Connection, *, read_only: bool) -> None:
    driver.execute("PRAGMA foreign_keys = ON")
    if not read_only:
        # What is deleted is overwritten: the addresses of people, and names.
        driver.execute("PRAGMA secure_delete = ON")
        _use_wal(driver)
        return
    driver.execute("PRAGMA query_only = ON")
    # A reader waits only while another process recovers or switches the journal.
    driver.execute("PRAGMA busy_timeout = 30000")
    driver.execute("PRAGMA schema_version")  # reads, for which SQLite needs its log


def _beside(real: Path) -> list[Path]:
    """The log of the file and its index, which SQLite has beside it while it is open."""
    return [real.with_name(real.name + suffix) for suffix in ("-wal", "-shm")]


def _reading_mode(real: Path) -> str:
    """The part of the file's URI that says how it is opened for reading.

    Raises:
        PermissionError: SQLite can't open it, or not without harm.
    """
    wal, shm = _beside(real)
    if os.statvfs(real).f_flag & os.ST_RDONLY and not wal.exists():
        return "mode=ro&immutable=1"  # nobody can write, so SQLite needs no log, and can't make one
    mine = os.access(real, os.W_OK) or real.stat().st_uid == os.geteuid()
    if not (mine or (wal.exists() and shm.exists())):
        raise PermissionError  # those that SQLite would make for us, the owner of the file could not write to
    # A reader that can write and is the last to close would write the log of a killed process into the file. One that
    # can't would leave behind the log that it has to make where there is none.
    return "mode=ro" if wal.exists() else "mode=rw"


def _obstacle(real: Path) -> str:
    wal, shm = _beside(real)
    for path in (real, wal, shm):
        if path.exists() and not os.access(path, os.R_OK):
            return f"you have no permission to read {path}"
    return (
        f"SQLite needs {wal.name} and {shm.name} beside it, and you have no permission to make them: read it while "
        "rfsync daemon has it open, or as the user who owns it, or read a copy of it"
    )


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


def erase(engine: Engine, table: str) -> str | None:
    """See ``engine.Database.erase``.

    ``secure_delete`` overwrites what is deleted, but a row that has moved to another page may have left a copy behind:
    so all rows are deleted, and written again. Then the log is emptied, which has the pages as they were.
    """
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        # Or SQLite would look for rows that refer to the deleted ones. It can't be set in a transaction.
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                rows = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY rowid").all()  # noqa: S608 a constant
                connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 a constant
                for row in rows:
                    places = ", ".join("?" * len(row))
                    connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({places})", tuple(row))  # noqa: S608
        finally:
            driver.execute("PRAGMA foreign_keys = ON")
        until = time.monotonic() + _EMPTYING_SECONDS
        while True:
            is_busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                return None
            if time.monotonic() >= until:
                log = real_path(Path(engine.url.database or "")).name + "-wal"
                return (
                    f"the file {log} may still have what was deleted, since another program is reading the database: "
                    "it is emptied when the last one ends, or by the same command once that one has stopped reading"
                )


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
