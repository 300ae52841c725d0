"""The projects' state and history in the database: read under a lock, written in one transaction, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from rfsync.database.drivers import PATIENCE, Connection, Database
from rfsync.database.retry import Patience
from rfsync.database.run_locks import Liveness
from rfsync.errors import DatabaseError
from rfsync.ledger.bulk import bulk_for
from rfsync.ledger.observed import keep_observed, was_observed
from rfsync.ledger.runs import (
    ProjectSnapshot,
    ProjectState,
    Run,
    RunEnded,
    RunRow,
    read_end,
    read_known,
    read_state,
    write_end,
)
from rfsync.ledger.transaction import Transaction

log = logging.getLogger("rfsync.sync")

_T = TypeVar("_T")

#: Some runs of a project that changed nothing, and that the view of its health does not look at.
_PRUNED: Final = """SELECT id, outcome, started_at FROM sync_runs
WHERE project_id = :project_id AND outcome NOT IN ('running', 'changed') AND finished_at < :before
    AND id < (SELECT max(id) FROM sync_runs WHERE project_id = :project_id
        AND outcome IN ('changed', 'unchanged', 'superseded'))
    AND id <> coalesce((SELECT max(id) FROM sync_runs WHERE project_id = :project_id
        AND outcome IN ('failed', 'refused', 'abandoned')), 0)
ORDER BY id LIMIT 1000"""


class Store:
    """One database, for as long as a process works with it. Safe to use from many threads.

    What fails for a reason that may pass (locked, deadlock, connection lost) is tried again, the whole transaction.

    Args:
        database: at this version's schema.
        liveness: says which runs are alive.
        dry: nothing is written; what would be is thrown away.
        patience: for how long a transaction is tried again, in seconds. Once that was in vain for one, the next ones
            are tried once, until one succeeds: many projects don't wait one after the other for a database that is
            down.
    """

    def __init__(
        self, database: Database, liveness: Liveness, *, dry: bool = False, patience: float = PATIENCE
    ) -> None:
        self._database = database
        self._liveness = liveness
        self._bulk = bulk_for(database.dialect)
        self._dry = dry
        self._patience = Patience(patience)

    def stop(self) -> None:
        """Lets no transaction begin any more but those that record how a run ended; the others raise ``Cancelled``."""
        self._patience.stop()

    def interrupt(self) -> None:
        """After ``stop``: gives up what is being written. To be called again until it has ended."""
        self._database.interrupt()

    def close(self) -> None:
        """Gives all connections back."""
        self._liveness.close()
        self._database.close()

    def begin_run(self, workspace: str, project: str, name: str | None, trigger: str, at: datetime) -> Run:
        """Writes the run down as ``running``, with its project if that is new, and marks dead ones as abandoned.

        Args:
            name: the project's name for people; None: not known, what is known stands.
            at: the clock's time.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: ``stop`` was called.
        """
        return self._patience.do(lambda: self._begin_run(workspace, project, name, trigger, at))

    def _begin_run(self, workspace: str, project: str, name: str | None, trigger: str, at: datetime) -> Run:
        run_id: int | None = None
        try:
            with self._database.begin("beginning a run", patience=self._patience.left) as connection:
                known = read_known(connection, workspace, project)
                if self._dry:
                    return known.run(None, workspace, project)
                if known.id is None:
                    _add_project(connection, workspace, project, name)
                    known = read_known(connection, workspace, project)
                elif name is not None and name != known.name:
                    connection.execute(
                        "UPDATE projects SET name = :name WHERE id = :id", {"name": name, "id": known.id}
                    )
                _mark_dead(connection, self._liveness, at, known.id)
                run_id = connection.insert(
                    "INSERT INTO sync_runs (project_id, trigger, started_at, outcome) "
                    "VALUES (:project_id, :trigger, :started_at, 'running')",
                    {"project_id": known.id, "trigger": trigger, "started_at": at},
                )
                # Before the commit that lets others see the run.
                self._liveness.hold(run_id)
        except BaseException:
            if run_id is not None:
                self._release(run_id)  # its number may be given to another's run
            raise
        return known.run(run_id, workspace, project)

    def abandon_dead_runs(self, at: datetime) -> int:
        """Marks the runs of killed processes, whatever their project; returns how many there were.

        Raises:
            DatabaseError: the database refused or vanished.
        """

        def mark() -> int:
            with self._database.begin("looking for killed runs", patience=self._patience.left) as connection:
                return _mark_dead(connection, self._liveness, at)

        return self._patience.do(mark)

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

        def attempt() -> tuple[_T, bool]:
            nonlocal tries
            tries += 1
            with self._database.begin(
                f"writing {run.workspace}/{run.project}", patience=self._patience.left
            ) as connection:
                state = ProjectState()
                if run.project_id is not None:
                    state = read_state(connection, run.project_id, lock=not self._dry)
                # Under the lock: an earlier try has come to its end by now, on the server too.
                ended = read_end(connection, run.id) if tries > 1 and run.id is not None else None
                if ended is not None:
                    raise RunEnded(ended)
                transaction = Transaction(connection, self._bulk, run, state, dry=self._dry)
                return work(transaction), transaction.finished

        try:
            result, finished = self._patience.do(attempt)
        except RunEnded:
            self._release_of(run)
            raise
        if finished:
            self._release_of(run)
        return result

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

        def record() -> RunRow | None:
            with self._database.begin("recording a failed run", patience=self._patience.left) as connection:
                ended = read_end(connection, run_id)
                if ended is None:
                    write_end(connection, run_id, row, at)
            return ended

        ended = self._patience.do(record, essential=True)
        self._release_of(run)
        return ended

    def known_projects(self, workspace: str) -> list[str]:
        """The projects of a workspace that the database has, by id.

        Raises:
            DatabaseError: the database refused or vanished.
        """

        def read() -> list[str]:
            query = "SELECT project FROM projects WHERE workspace = :workspace ORDER BY project"
            with self._database.begin("reading the projects", patience=self._patience.left) as connection:
                return [str(row[0]) for row in connection.execute(query, {"workspace": workspace})]

        return self._patience.do(read)

    def known(self, workspace: str, project: str) -> ProjectSnapshot:
        """What the database has of a project now.

        Raises:
            DatabaseError: the database refused or vanished.
        """

        def read() -> ProjectSnapshot:
            with self._database.begin("reading the project", patience=self._patience.left) as connection:
                return read_known(connection, workspace, project)

        return self._patience.do(read)

    def was_observed(self, workspace: str, project: str, at: datetime) -> bool:
        """Whether a project was observed at that moment; to a quarter of an hour, where the run was pruned.

        Raises:
            DatabaseError: the database refused or vanished.
        """

        def read() -> bool:
            with self._database.begin("reading the project", patience=self._patience.left) as connection:
                known = read_known(connection, workspace, project)
                return known.id is not None and was_observed(connection, known.id, at)

        return self._patience.do(read)

    def was_refused(self, workspace: str, project: str, at: datetime) -> bool:
        """Whether an observation of that moment was refused before.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        query = """SELECT 1 FROM sync_runs r JOIN projects p ON p.id = r.project_id WHERE p.workspace = :workspace
            AND p.project = :project AND r.outcome = 'refused' AND r.started_at = :at"""
        values = {"workspace": workspace, "project": project, "at": at}

        def read() -> bool:
            with self._database.begin("reading the runs", patience=self._patience.left) as connection:
                return bool(connection.execute(query, values))

        return self._patience.do(read)

    def prune(self, before: datetime) -> int:
        """Deletes runs that changed nothing and ended before then; returns how many there were.

        Those from a project's last success on stay, and its last failure: what ``sync_health`` says is the same as
        before.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: ``stop`` was called.
        """
        deleted = 0
        for project_id in self._patience.do(self._project_ids):
            # A piece at a time, so that nobody's sync has to wait for long.
            while number := self._patience.do(partial(self._prune, project_id, before)):
                deleted += number
        return deleted

    def _project_ids(self) -> list[int]:
        with self._database.begin("reading the projects", patience=self._patience.left) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM projects ORDER BY id")]

    def _prune(self, project_id: int, before: datetime) -> int:
        with self._database.begin("pruning the runs", patience=self._patience.left) as connection:
            runs = connection.execute(_PRUNED, {"project_id": project_id, "before": before})
            # That somebody looked, and found nothing new, is part of the history.
            keep_observed(connection, project_id, [at for _, outcome, at in runs if outcome == "unchanged"])
            for run_id, *_ in runs:
                connection.execute("DELETE FROM sync_runs WHERE id = :id", {"id": run_id})
        return len(runs)

    def _release_of(self, run: Run) -> None:
        if run.id is not None:
            self._release(run.id)

    def _release(self, run_id: int) -> None:
        try:
            self._liveness.release(run_id)
        except DatabaseError as error:
            # The run is committed, and its lock goes with the connection or the process.
            log.warning("run %d: %s", run_id, error)


def _add_project(connection: Connection, workspace: str, project: str, name: str | None) -> None:
    # Two processes may meet a new project at once: the second finds the first one's row.
    connection.execute(
        "INSERT INTO projects (workspace, project, name) VALUES (:workspace, :project, :name) "
        "ON CONFLICT (workspace, project) DO NOTHING",
        {"workspace": workspace, "project": project, "name": name},
    )


def _mark_dead(connection: Connection, liveness: Liveness, at: datetime, project_id: int | None = None) -> int:
    """Marks killed runs as abandoned, of one project or (None) of all; returns how many there were."""
    query = "SELECT id FROM sync_runs WHERE outcome = 'running'"
    if project_id is not None:
        # The plus keeps SQLite off the index by project, which has all runs there ever were: few are running.
        query += " AND +project_id = :project_id"
    dead = [row[0] for row in connection.execute(query, {"project_id": project_id}) if liveness.is_dead(row[0])]
    for run_id in dead:
        connection.execute(
            "UPDATE sync_runs SET outcome = 'abandoned', finished_at = :at, "
            "error = 'the process that ran it was killed' WHERE id = :id AND outcome = 'running'",
            {"at": at, "id": run_id},
        )
    return len(dead)
