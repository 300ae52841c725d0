"""Which runs are alive: a lock held for as long as a run's process lives, which no crash can leave behind.

A run that says ``running`` and whose lock is free was killed. Time has no part in that, so that a run which takes an
hour is never taken for dead, and one that was killed a second ago is found at once.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, Protocol

from rfsync.database.drivers import PostgresDatabase
from rfsync.database.errors import translated
from rfsync.errors import DatabaseError


class Liveness(Protocol):
    """Locks named by the numbers of runs."""

    def hold(self, run_id: int) -> None:
        """Declares a run of this process alive. To be called before the run can be seen by others."""

    def release(self, run_id: int) -> None:
        """Declares it over."""

    def is_dead(self, run_id: int) -> bool:
        """Whether no process holds the run."""

    def close(self) -> None:
        """Releases everything."""


class NoLiveness:
    """For a store that only reads: it has no runs and judges none."""

    def hold(self, run_id: int) -> None:
        """Nothing to hold."""

    def release(self, run_id: int) -> None:
        """Nothing to release."""

    def is_dead(self, run_id: int) -> bool:
        """Not known, so not said."""
        return False

    def close(self) -> None:
        """Nothing to close."""


class FileLiveness:
    """One byte of a file beside the SQLite database for each run; the file stays empty."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + "-runs")
        self._fd: int | None = None
        self._held: set[int] = set()
        self._guard = threading.Lock()

    def hold(self, run_id: int) -> None:
        """Declares a run of this process alive."""
        with self._guard:
            # Somebody who looks whether a run of this number is dead has the byte for a moment.
            while not self._lock(fcntl.F_WRLCK, run_id):
                time.sleep(0.001)
            self._held.add(run_id)

    def release(self, run_id: int) -> None:
        """Declares it over."""
        with self._guard:
            self._held.discard(run_id)
            self._lock(fcntl.F_UNLCK, run_id)

    def is_dead(self, run_id: int) -> bool:
        """Whether the run's byte can be locked, which its living process would prevent."""
        with self._guard:
            if run_id in self._held:
                return False
            if not self._lock(fcntl.F_WRLCK, run_id):
                return False
            self._lock(fcntl.F_UNLCK, run_id)
            return True

    def _lock(self, kind: int, run_id: int) -> bool:
        """Whether the byte could be locked or unlocked; False: somebody else holds it."""
        try:
            self._set(kind, run_id)
        except BlockingIOError:
            return False
        except OSError as error:
            raise DatabaseError(f"{self._path}, which tells living runs, can't be locked: {error.strerror}") from error
        return True

    def _set(self, kind: int, run_id: int) -> None:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if sys.platform == "linux":
            # Locks that belong to the open file and not to the process: two stores in one process see each other's,
            # and closing some other file can't drop them. struct flock: type, whence, start, length, pid (0).
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, run_id, 1, 0))
        else:
            operation = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(self._fd, operation, 1, run_id, os.SEEK_SET)

    def close(self) -> None:
        """Closes the file, which drops its locks."""
        with self._guard:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None


# Any number, as long as nobody else uses it in the same database: the first digits of sha256("rfsync runs").
_NAMESPACE: Final = 0x2B0C_6E41


class AdvisoryLiveness:
    """A session-level advisory lock of PostgreSQL for each run, on one connection of its own.

    If that connection is lost, the locks of the runs that are going are taken again with the next one. Others may find
    a run abandoned in between; one that ends well writes its own outcome over that, and its changes are written once
    either way.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._held: set[int] = set()
        self._guard = threading.Lock()
        self._driver: Any = None

    def connect(self) -> None:
        """To be called at first, before transactions take all the connections that there may be.

        Raises:
            DatabaseError: the server is not to be had.
        """
        with self._guard, translated("connecting"):
            self._driver = self._database.connect()

    def hold(self, run_id: int) -> None:
        """Declares a run of this process alive."""
        with self._guard:
            self._call("pg_advisory_lock", run_id)
            self._held.add(run_id)

    def release(self, run_id: int) -> None:
        """Declares it over."""
        with self._guard:
            if run_id in self._held:
                self._held.discard(run_id)
                self._call("pg_advisory_unlock", run_id)

    def is_dead(self, run_id: int) -> bool:
        """Whether the run's lock can be had, which its living process would prevent."""
        with self._guard:
            if run_id in self._held:
                return False
            free = bool(self._call("pg_try_advisory_lock", run_id))
            if free:
                self._call("pg_advisory_unlock", run_id)
            return free

    def _call(self, function: str, run_id: int) -> object:
        with translated("marking a run as alive"):
            if self._driver is None or self._driver.closed:
                self._driver = self._database.connect()
                for held in self._held:
                    # Not waiting for a lock that the server still holds for the lost connection.
                    self._execute("pg_try_advisory_lock", held)
            return self._execute(function, run_id)

    def _execute(self, function: str, run_id: int) -> object:
        # A lock's second key has 32 bits; runs 2 billion apart may share one.
        row = self._driver.execute(f"SELECT {function}(%s, %s)", (_NAMESPACE, run_id % 2**31)).fetchone()
        return row[0]

    def close(self) -> None:
        """Closes the connection, which drops its locks."""
        with self._guard:
            if self._driver is not None:
                self._driver.close()
                self._driver = None
