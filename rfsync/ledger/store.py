"""The projects' state and history in the database: read under a lock, written in one transaction, or not at all."""

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from rfsync.database.engine import LOCK_TIMEOUT, Database
from rfsync.database.retry import RetryPolicy
from rfsync.database.sqlite import FILE_NUMBER
from rfsync.errors import DatabaseError, TransientDatabaseError
from rfsync.ledger import prune, renames
from rfsync.ledger.addresses import Addresses
from rfsync.ledger.bulk import bulk_for
from rfsync.ledger.known_projects import Projects
from rfsync.ledger.own_project import lock_own_project, require_same_file
from rfsync.ledger.people import People, PeopleMode
from rfsync.ledger.projects import (
    ProjectPath,
    ProjectSnapshot,
    ProjectState,
    add_project,
    read_snapshot,
    read_state,
    set_name,
)
from rfsync.ledger.run_locks import RunLocks
from rfsync.ledger.runs import (
    ProjectAway,
    ProjectDropped,
    ProjectRenamed,
    Run,
    RunEnded,
    RunRow,
    abandon,
    forget_run,
    insert_run,
    project_of_run,
    read_end,
    renumber_run,
    write_end,
)
from rfsync.ledger.shared_rate_limit import SharedRateLimit
from rfsync.ledger.transaction import Transaction

_T = TypeVar("_T")


class Store:
    """One database, for as long as a process works with it. Safe to use from many threads.

    A transaction that fails for a reason that may pass (locked, deadlock, connection lost) is retried as a whole.

    Args:
        database: at this version's schema.
        run_locks: says which runs are alive.
        people: what is kept of people.
        dry: nothing is written; what would be is thrown away.
        retry_seconds: for how long a transaction is retried. After one has exhausted that, later ones try once, until
            one succeeds: many projects don't wait one after the other for a database that is down.
    """

    def __init__(
        self,
        database: Database,
        run_locks: RunLocks,
        *,
        people: PeopleMode = "address",
        dry: bool = False,
        retry_seconds: float = LOCK_TIMEOUT,
    ) -> None:
        self._database = database
        self._run_locks = run_locks
        self._bulk = bulk_for(database.engine.dialect.name)
        self._people = people
        self._dry = dry
        self._retry = RetryPolicy(retry_seconds)
        #: Questions about what the database knows of projects.
        self.projects = Projects(self.transact)
        #: The mail addresses of people.
        self.addresses = Addresses(self.transact, database.erase, dry=dry)
        #: The rate limit of all processes; None: each process has its own.
        self.rate_limit = None if dry or not database.is_server else SharedRateLimit(database, self._retry)

    def stop(self) -> None:
        """Lets no transaction begin any more but those that record how a run ended; the others raise ``Cancelled``."""
        self._retry.stop()

    def interrupt(self) -> None:
        """After ``stop``: gives up what is being written. To be called again until it has ended."""
        self._database.interrupt()

    @property
    def engine(self) -> Engine:
        """Of the database."""
        return self._database.engine

    def close(self) -> None:
        """Closes all connections."""
        self._run_locks.close()
        self._database.close()

    def transact(
        self,
        doing: str,
        work: Callable[[Connection], _T],
        *,
        essential: bool = False,
        durable: bool = True,
        retry: bool = True,
        undo: Callable[[], None] = lambda: None,
    ) -> _T:
        """Runs ``work`` in a transaction of its own, and again where the database failed for a reason that may pass.

        Args:
            doing: for the message of an error.
            essential: done after ``stop`` too.
            durable: see ``Database.begin``.
            retry: False: who asks would rather have an error soon.
            undo: called after each attempt that failed.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: ``stop`` was called; not if it is essential.
        """

        def attempt() -> _T:
            timeout = self._retry.lock_timeout
            # After a stop, only what is essential is left, and is not to be interrupted.
            begun = self._database.begin(doing, lock_timeout=timeout, interruptible=not essential, durable=durable)
            try:
                with begun as connection:
                    return work(connection)
            except BaseException:
                undo()
                raise

        return self._retry.run(attempt, essential=essential) if retry else attempt()

    def ping(self) -> None:
        """Passes if the database answers.

        Raises:
            DatabaseError: it does not.
            Cancelled: ``stop`` was called.
        """
        self.transact("asking the database", lambda _: None)

    def begin_run(
        self,
        path: ProjectPath,
        name: str | None,
        trigger: str,
        at: datetime,
        *,
        itself: bool = True,
        insist: bool = True,
    ) -> Run:
        """Writes the run down as ``running``, with its project if that is new, and marks dead ones as abandoned.

        The first one after a switch of what is kept of people takes out all addresses, or lets them come again.

        Args:
            path: of the project.
            name: the project's name for people; None: not known, what is known stands.
            at: the clock's time.
            itself: the id means the project that has it, or will have it, and none that had it before.
            insist: begin a run even if the project has departed and was looked for within a day.

        Raises:
            ProjectRenamed: the project has another id now; only without ``itself``.
            ProjectAway: it has departed, and nothing is due; only without ``insist``.
            DatabaseError: the database refused or vanished.
            Cancelled: ``stop`` was called.
        """
        tried: list[int] = []
        switched = False

        def begin(connection: Connection) -> Run | None:
            known = read_snapshot(connection, path)
            if not self._dry and known.people_mode not in {None, self._people} and not switched:
                return None
            if known.seen is None and not itself:
                renamed = renames.find_renames(connection, path.workspace)
                if path.project in renamed:
                    raise ProjectRenamed(path, renamed[path.project])
            if not insist and known.is_away(at):
                raise ProjectAway(f"{path} has departed, and was looked for within a day")
            return self._begin_run(connection, path, known, name, trigger, at, tried)

        def undo() -> None:
            for run_id in tried:
                self._run_locks.release(run_id)  # its number may be given to another process's run

        # A power cut that takes the beginning of a run takes the process, too: nobody was told of it.
        run = self.transact("beginning a run", begin, durable=False, undo=undo)
        if run is None:
            self.addresses.switch(self._people)
            switched = True
            run = self.transact("beginning a run", begin, durable=False, undo=undo)
        assert run is not None  # noqa: S101 it is only where a switch is due
        return run

    def _begin_run(
        self,
        connection: Connection,
        path: ProjectPath,
        known: ProjectSnapshot,
        name: str | None,
        trigger: str,
        at: datetime,
        tried: list[int],
    ) -> Run:
        """Args: ``tried``: runs of earlier tries, to which this one's is added."""
        if self._dry:
            return Run.of(None, path, known)
        if known.id is None:
            add_project(connection, path, name)
            known = read_snapshot(connection, path)
        elif name is not None and name != known.name:
            set_name(connection, known.id, name)
        assert known.id is not None  # noqa: S101 it was added just now
        if known.has_running:
            # An earlier try may have been committed although its connection was lost: its run goes no further.
            abandon(connection, self._run_locks.find_dead(connection, known.id, given_up=tried), at)
        try:
            run_id = insert_run(connection, known.id, trigger, at, self._run_locks.insert)
        except IntegrityError:
            raise TransientDatabaseError("beginning a run: its project was just made one with another") from None
        # Before the commit that lets others see the run.
        while not self._run_locks.hold(run_id):
            run_id = renumber_run(connection, run_id)
        tried.append(run_id)
        return Run.of(run_id, path, known, connection.info.get(FILE_NUMBER))

    def abandon_dead_runs(self, at: datetime) -> int:
        """Marks the runs of killed processes, whatever their project; returns how many there were.

        Raises:
            DatabaseError: the database refused or vanished.
        """

        def mark(connection: Connection) -> int:
            dead = self._run_locks.find_dead(connection)
            abandon(connection, dead, at)
            return len(dead)

        return self.transact("looking for killed runs", mark)

    def write(self, run: Run, work: Callable[[Transaction], _T]) -> _T:
        """Lets ``work`` read and write the project under its lock; all of it is committed, or nothing is.

        Args:
            run: that is under way.
            work: may be called again, where the database failed for a reason that may pass: it must leave nothing
                behind but in what it returns. It may end without ``finish``, to ask the API something with no
                transaction open; the run goes on.

        Raises:
            DatabaseError: the database refused or vanished; the state is what it was.
            Cancelled: ``stop`` was called.
            RunEnded: the commit of an earlier try was made after all.
        """
        tries = 0

        def write(connection: Connection) -> tuple[_T, bool]:
            nonlocal tries
            tries += 1
            require_same_file(connection, run)
            state = self._read_state(connection, run)
            # Under the lock: an earlier try has ended by now, on the server too.
            ended = read_end(connection, run.id) if tries > 1 and run.id is not None else None
            if ended is not None:
                raise RunEnded(ended)
            with closing(Transaction(connection, self._bulk, run, state, self._people, dry=self._dry)) as transaction:
                return work(transaction), transaction.finished

        try:
            result, finished = self.transact(f"writing {run.path}", write)
        except RunEnded:
            self._release(run)
            raise
        if finished:
            self._release(run)
        return result

    def _read_state(self, connection: Connection, run: Run) -> ProjectState:
        """The run's project; locked, unless the run is a dry one."""
        if run.id is not None:
            return lock_own_project(connection, run)
        state = ProjectState() if run.project_id is None else read_state(connection, run.project_id, lock=False)
        if state is None:
            raise ProjectDropped(run.path)
        return state

    def write_people(self, addresses: Collection[str]) -> None:
        """Writes down people who are new, in a transaction of their own: other projects may have the same ones, and
        would have to wait for the end of a large one.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: ``stop`` was called.
        """
        if addresses:
            self.transact("writing down people", lambda c: People(c, self._people, dry=self._dry).resolve(addresses))

    def fail_run(self, run: Run, row: RunRow, at: datetime) -> RunRow | None:
        """Ends a run of which nothing is kept but that it was, and why.

        Returns:
            The end that the run had come to before: what failed, failed after its commit. None: it had not.

        Raises:
            DatabaseError: not even that could be written.
        """
        run_id = run.id
        if self._dry or run_id is None:
            return None

        def record(connection: Connection) -> RunRow | None:
            require_same_file(connection, run)
            project_of_run(connection, run)  # raises an error if it was dropped
            ended = read_end(connection, run_id)
            if ended is None:
                write_end(connection, run_id, row, at)
            return ended

        try:
            return self.transact("recording a failed run", record, essential=True)
        except DatabaseError:
            plain = (row.error or "").encode("ascii", "backslashreplace").decode()
            if plain == (row.error or ""):
                raise
            # The database may lack a character of the reason.
            row = replace(row, error=plain)
            return self.transact("recording a failed run", record, essential=True)
        finally:
            self._release(run)  # nothing more comes of it, so the next run may find it dead if this was not written

    def forget_run(self, run: Run) -> None:
        """Ends a run of a project that does not exist and never did: nothing is kept of either.

        Raises:
            DatabaseError: that could not be written.
        """
        run_id = run.id
        if self._dry or run_id is None:
            return

        def forget(connection: Connection) -> None:
            require_same_file(connection, run)
            try:
                forget_run(connection, run_id, project_of_run(connection, run))
            except IntegrityError:
                raise TransientDatabaseError("forgetting a run: another one of its project began just now") from None

        try:
            self.transact("forgetting a run", forget, essential=True)
        finally:
            self._release(run)

    def _release(self, run: Run) -> None:
        if run.id is not None:
            self._run_locks.release(run.id)

    def prune(self, before: datetime) -> int:
        """Deletes runs that changed nothing and ended before then; returns how many there were.

        Those from a project's last success on stay, and its last failure: what ``sync_health`` says is the same as
        before.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: ``stop`` was called.
        """
        deleted = 0
        for project_id in self.transact("reading the projects", prune.project_ids):
            some = partial(prune.prune_some, project_id=project_id, before=before)
            while number := self.transact("pruning the runs", some):
                deleted += number
        return deleted
