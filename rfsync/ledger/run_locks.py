"""Which runs are alive: told by something that a living process keeps and that no crash can leave behind.

On SQLite that is a lock on a file, which the system drops with the process: no clock is involved. On PostgreSQL, which
may be behind a pooler where locks of a session mean nothing, it is a lease: ``sync_runs.lease_expires_at``, by the
server's clock, renewed by a thread for as long as the process lives. (A lease would not work on SQLite: while one
process writes for a minute, no other could renew.)
"""

import contextlib
import fcntl
import logging
import os
import struct
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final, Protocol

from sqlalchemy import BigInteger, ColumnElement, Connection, Insert, bindparam, func, insert, or_, select, update

from rfsync import threads
from rfsync.database.engine import Database
from rfsync.database.sqlite_file import real_path
from rfsync.errors import DatabaseError, ThreadError, TransientDatabaseError
from rfsync.schema.models import SyncRun

log = logging.getLogger("rfsync.sync")


class RunLocks(Protocol):
    """Locks named by the numbers of runs."""

    @property
    def insert(self) -> Insert:
        """The statement that writes a new run down."""

    def hold(self, run_id: int) -> bool:
        """Declares a run of this process alive. To be called before others can see the run.

        Returns:
            False: another run that is under way has the number.

        Raises:
            DatabaseError: it can't be held.
        """

    def release(self, run_id: int) -> None:
        """Declares it over."""

    def find_dead(
        self, connection: Connection, project_id: int | None = None, *, given_up: Sequence[int] = ()
    ) -> list[int]:
        """Finds the runs that say ``running`` and whose process is gone.

        Args:
            project_id: only this project's; None: all.
            given_up: runs that this process has begun, and knows to be over.
        """

    def close(self) -> None:
        """Releases everything."""


def is_running_of(project_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Tells whether a row of ``sync_runs`` is of that project, and says ``running``."""
    # The sum keeps SQLite off the index by project, which has all runs there ever were: few are running.
    return (SyncRun.outcome == "running") & (SyncRun.project_id + 0 == project_id)


_PROJECT: Final = bindparam("project_id", type_=BigInteger)
_RUNNING: Final = select(SyncRun.id).where(
    SyncRun.outcome == "running", or_(_PROJECT.is_(None), is_running_of(_PROJECT))
)
_EXPIRED: Final = _RUNNING.where(
    or_(
        SyncRun.lease_expires_at.is_(None),
        SyncRun.lease_expires_at < func.clock_timestamp(),
        SyncRun.id.in_(bindparam("given_up", expanding=True)),
    )
)
# A row that is locked is being finished by its run, and needs no lease any more.
_FREE: Final = (
    select(SyncRun.id)
    .where(SyncRun.id.in_(bindparam("held", expanding=True)), SyncRun.outcome == "running")
    .with_for_update(key_share=True, skip_locked=True)
)


class NoRunLocks:
    """For a store that only reads: it has no runs and judges none."""

    insert: ClassVar = insert(SyncRun)

    def hold(self, run_id: int) -> bool:
        """Nothing to hold."""
        return True

    def release(self, run_id: int) -> None:
        """Nothing to release."""

    def find_dead(
        self, connection: Connection, project_id: int | None = None, *, given_up: Sequence[int] = ()
    ) -> list[int]:
        """Not known, so none."""
        return []

    def close(self) -> None:
        """Nothing to close."""


class FileLocks:
    """One byte of a file beside the SQLite database for each run; the file stays empty."""

    insert: ClassVar = insert(SyncRun)

    def __init__(self, database: Path) -> None:
        self._database = database.absolute()
        self._fd: int | None = None
        self._held: set[int] = set()
        self._guard = threading.Lock()

    def hold(self, run_id: int) -> bool:
        """Declares a run of this process alive.

        A run whose project was dropped keeps its number until it notices, though SQLite gives that to the next run; and
        a process that checks whether a run is dead has its byte for a moment.
        """
        with self._guard:
            if run_id in self._held or not self._lock(fcntl.F_WRLCK, run_id):
                return False
            self._held.add(run_id)
            return True

    def release(self, run_id: int) -> None:
        """Declares it over."""
        with self._guard:
            self._held.discard(run_id)
            self._lock(fcntl.F_UNLCK, run_id)

    def find_dead(
        self, connection: Connection, project_id: int | None = None, *, given_up: Sequence[int] = ()
    ) -> list[int]:
        """Finds the running runs whose byte can be locked, which a living process would prevent."""
        running = connection.execute(_RUNNING, {"project_id": project_id})
        return [run_id for (run_id,) in running if self._is_dead(run_id)]

    def _is_dead(self, run_id: int) -> bool:
        with self._guard:
            if run_id in self._held or not self._lock(fcntl.F_WRLCK, run_id):
                return False
            self._lock(fcntl.F_UNLCK, run_id)
            return True

    def _lock(self, kind: int, run_id: int) -> bool:
        """Locks or unlocks the byte; False: another process holds it."""
        try:
            self._set(kind, run_id)
        except BlockingIOError:
            return False
        except OSError as error:
            raise DatabaseError(f"{self._path}, which tells living runs, can't be locked: {error.strerror}") from error
        return True

    @property
    def _path(self) -> Path:
        """The file of the locks, which all processes have to agree on, whatever name they have for the database."""
        real = real_path(self._database)
        return real.with_name(real.name + "-runs")

    def _set(self, kind: int, run_id: int) -> None:
        if self._fd is not None and not _is_open(self._fd, self._path):
            # Another file is there now, as where a backup of the database was put in its place.
            os.close(self._fd)
            self._fd = None
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            for held in self._held:
                with contextlib.suppress(BlockingIOError):
                    self._set(fcntl.F_WRLCK, held)
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


def _is_open(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


#: How long a lease lasts, and how often it is renewed, in seconds: a process can be suspended for three quarters of a
#: minute without its runs being taken for dead, and dead ones are found within a minute.
LEASE: Final = 50.0
RENEWAL: Final = 5.0


class Leases:
    """Leases in ``sync_runs``, renewed by a thread while there are any.

    A process that is suspended for longer than a lease may find its runs abandoned by others. A run that ends well
    writes its own end over that, and its changes are written once either way.

    Args:
        database: of PostgreSQL.
        lease: how long a lease lasts, in seconds.
        renewal: how often it is renewed, in seconds.
    """

    def __init__(self, database: Database, *, lease: float = LEASE, renewal: float = RENEWAL) -> None:
        self._database = database
        self._renewal = renewal
        self._held: set[int] = set()
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._expiry = func.clock_timestamp() + timedelta(seconds=lease)
        self.insert = insert(SyncRun).values(lease_expires_at=self._expiry)

    def hold(self, run_id: int) -> bool:
        """Keeps the lease of a run of this process from expiring; the server gives no number twice.

        Raises:
            TransientDatabaseError: the thread that would renew it can't be started.
        """
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._renew_until_closed, name="rfsync-leases", daemon=True)
                try:
                    with threads.starting():
                        thread.start()
                except ThreadError as error:
                    raise TransientDatabaseError(f"the lease of a run can't be kept: {error}") from None
                self._thread = thread
            self._held.add(run_id)
            return True

    def release(self, run_id: int) -> None:
        """Lets the lease expire."""
        with self._guard:
            self._held.discard(run_id)

    def find_dead(
        self, connection: Connection, project_id: int | None = None, *, given_up: Sequence[int] = ()
    ) -> list[int]:
        """Finds the running runs without a lease or whose lease has expired, by the server's clock."""
        expired = connection.execute(_EXPIRED, {"project_id": project_id, "given_up": given_up})
        with self._guard:
            held = frozenset(self._held)  # this process lives, even if it could not renew in time
        return [run_id for (run_id,) in expired if run_id not in held]

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(self._renewal):
            with self._guard:
                held = sorted(self._held)
            if held:
                self._renew(held)

    def _renew(self, held: list[int]) -> None:
        renewed = update(SyncRun).where(SyncRun.id.in_(_FREE)).values(lease_expires_at=self._expiry)
        try:
            with self._database.begin("renewing the leases of runs", lock_timeout=1.0) as connection:
                connection.execute(renewed, {"held": held})
        except DatabaseError as error:
            # The next renewal comes well before the lease expires.
            log.info("%s", error)
        except Exception:
            # Without this thread, others would take this process's runs for dead.
            log.exception("renewing the leases of runs failed")

    def close(self) -> None:
        """Ends the renewals; one that hangs with its server is left behind."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(1.0)
