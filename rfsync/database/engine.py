"""The one way to the database: a SQLAlchemy ``Engine`` made from a URL, with transactions that can be interrupted."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine

from rfsync.database import postgres, sqlite
from rfsync.database.errors import translated

#: How long a transaction waits for a lock, in seconds.
LOCK_TIMEOUT: Final = 30.0

_BACKENDS: Final = {"sqlite": sqlite, "postgresql": postgres}


def open_engine(url: URL, *, read_only: bool) -> Engine:
    """An engine that has not connected yet.

    Args:
        url: from ``url.parse_url``; an SQLite URL without a file is a database in memory.
        read_only: the database itself refuses to write, and a missing SQLite file is an error.

    Raises:
        ConfigError: the PostgreSQL driver is not installed.
        DatabaseError: there is no such file.
    """
    create: Callable[..., Engine] = _BACKENDS[url.get_backend_name()].create
    return create(url, read_only=read_only, lock_timeout=LOCK_TIMEOUT)


class Database:
    """An engine's transactions. Safe to use from many threads.

    Args:
        engine: from ``open_engine``.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._backend = _BACKENDS[engine.dialect.name]
        #: False: it is a file, which one process writes at a time.
        self.is_server = self._backend is postgres
        self._guard = threading.Lock()
        self._interrupted = threading.Event()
        #: The drivers' connections whose transactions may be interrupted.
        self._interruptible: set[Any] = set()

    @contextmanager
    def begin(
        self, doing: str, *, lock_timeout: float = LOCK_TIMEOUT, interruptible: bool = True, durable: bool = True
    ) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back if anything is raised.

        Args:
            doing: for the error's message, such as "beginning a run".
            lock_timeout: how long to wait for a lock, in seconds, about; at least a moment.
            interruptible: whether ``interrupt`` ends it.
            durable: whether a power cut must not take it back; otherwise SQLite doesn't wait for the disk.

        Raises:
            TransientDatabaseError: the same may work when tried again.
            DatabaseError: the database refused or vanished.
        """
        options = {
            "lock_timeout": lock_timeout,
            "lock_deadline": time.monotonic() + lock_timeout,
            "interrupted": self._interrupted,
            "durable": durable,
        }
        with (
            self._connect(doing, interruptible=interruptible) as connection,
            connection.execution_options(**options).begin(),
        ):
            yield connection

    def run(self, doing: str, statement: str, *, lock_timeout: float) -> tuple[Any, ...]:
        """Runs a transaction of one statement in a single round trip, and returns its row. PostgreSQL only.

        Args:
            doing: for the error's message.
            statement: without parameters; it gives one row.
            lock_timeout: how long to wait for a lock, in seconds; at least a second.

        Raises:
            TransientDatabaseError: the same may work when tried again.
            DatabaseError: the database refused or vanished.
        """
        with self._connect(doing, interruptible=True) as connection:
            return postgres.run(connection, statement, lock_timeout)

    @contextmanager
    def _connect(self, doing: str, *, interruptible: bool) -> Iterator[Connection]:
        with translated(doing), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            try:
                if interruptible:
                    self._interruptible.add(driver)
                yield connection
            except BaseException as error:
                if self._backend.is_broken(driver, error):
                    # What spoke to the driver itself, past SQLAlchemy, found that the connection is of no more use.
                    connection.invalidate()
                raise
            finally:
                with self._guard:
                    self._interruptible.discard(driver)

    def interrupt(self) -> None:
        """Makes the interruptible transactions under way fail.

        An interrupt that comes between two statements has no effect: call this until they have ended.
        """
        self._interrupted.set()
        for driver in list(self._interruptible):
            with self._guard:
                if driver in self._interruptible:
                    self._backend.interrupt(driver)

    def erase(self, table: str) -> str | None:
        """Leaves nothing of what was deleted from a small table, as far as the database can.

        Args:
            table: its name.

        Returns:
            What is left, and where; None: nothing.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        with translated(f"erasing what was deleted from {table}"):
            left: str | None = self._backend.erase(self.engine, table)
            return left

    def close(self) -> None:
        """Closes all connections."""
        with translated("closing the database"):
            self.engine.dispose()


def open_database(url: URL, *, read_only: bool = False) -> Database:
    """The database at ``url``; it has not been connected to yet.

    Raises:
        ConfigError: the PostgreSQL driver is not installed.
        DatabaseError: there is no such file.
    """
    return Database(open_engine(url, read_only=read_only))
