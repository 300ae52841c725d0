"""A project's state and history in the database: read under a lock, written in one transaction, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from rfsync.answers import Batch
from rfsync.bulk import Bulk, Mark, append_all, bulk_for, microseconds
from rfsync.database import Connection, Database, instant
from rfsync.diff import Change, ChangeKind, Stored
from rfsync.errors import DatabaseError
from rfsync.liveness import Liveness
from rfsync.rollup import Tally, roll_up

log = logging.getLogger("rfsync.sync")


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has begun, and what was known when it did."""

    #: None: a dry run, which has no row.
    id: int | None
    #: None: a dry run of a project never seen.
    project_id: int | None
    workspace: str
    project: str
    #: Latest instant written for the project when the run began; None: none yet.
    seen: datetime | None
    #: Of the last answer applied whole; None: there was none, or it sent none.
    etag: str | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project's row; see ``models.projects`` for what each field means."""

    id: int | None = None
    batches: int = 0
    images: int = 0
    num_jobs: int = 0
    observed_at: datetime | None = None
    written_at: datetime | None = None
    etag: str | None = None
    fingerprint: str | None = None
    listed: int | None = None
    missing_digest: str | None = None
    missing_streak: int = 0


@dataclass(frozen=True, slots=True)
class RunRow:
    """What is written of a run when it ends; see ``models.sync_runs``."""

    outcome: str
    attempts: int = 0
    http_status: int | None = None
    response_bytes: int | None = None
    batches: int | None = None
    rejected: int = 0
    tally: Tally = field(default_factory=Tally)
    error_kind: str | None = None
    error: str | None = None


_STATE: Final = f"SELECT {', '.join(ProjectState.__slots__)} FROM projects WHERE id = :id"  # noqa: S608 our own names
_KNOWN: Final = """SELECT id, name, written_at, etag, fingerprint FROM projects
WHERE workspace = :workspace AND project = :project"""
_SAVE: Final = f"""UPDATE projects SET {", ".join(f"{n} = :{n}" for n in ProjectState.__slots__ if n != "id")}
WHERE id = :id"""  # noqa: S608 our own names
_FINISH: Final = """UPDATE sync_runs SET finished_at = :finished_at, outcome = :outcome, attempts = :attempts,
    http_status = :http_status, response_bytes = :response_bytes, batches = :batches, added = :added,
    changed = :changed, removed = :removed, restored = :restored, rejected = :rejected, images_delta = :images_delta,
    num_jobs_delta = :num_jobs_delta, error_kind = :error_kind, error = :error
WHERE id = :id"""
_BATCHES: Final = """SELECT batch_id, name, uploaded_at, images, num_jobs, removed_at IS NOT NULL FROM batches
WHERE project_id = :project_id AND """


class Store:
    """One database, for as long as a process works with it. Safe to use from many threads.

    Args:
        database: at this version's schema.
        liveness: says which runs are alive.
        dry: nothing is written; what would be is thrown away.
    """

    def __init__(self, database: Database, liveness: Liveness, *, dry: bool = False) -> None:
        self._database = database
        self._liveness = liveness
        self._bulk = bulk_for(database.dialect)
        self._dry = dry

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
        """
        names = {"workspace": workspace, "project": project}
        with self._database.begin("beginning a run") as connection:
            rows = connection.execute(_KNOWN, names)
            project_id, old_name, seen, etag, fingerprint = rows[0] if rows else (None, None, None, None, None)
            if self._dry:
                return Run(None, project_id, workspace, project, instant(seen), etag, fingerprint)
            if project_id is None:
                project_id = _add_project(connection, names, name)
            elif name is not None and name != old_name:
                connection.execute("UPDATE projects SET name = :name WHERE id = :id", {"name": name, "id": project_id})
            _mark_dead(connection, self._liveness, at, project_id)
            run_id = connection.insert(
                "INSERT INTO sync_runs (project_id, trigger, started_at, outcome) "
                "VALUES (:project_id, :trigger, :started_at, 'running')",
                {"project_id": project_id, "trigger": trigger, "started_at": at},
            )
            # Before the commit that lets others see the run. One that fails leaves a lock on a number that is given
            # again: as long as this process lives, that run counts as alive, which it may well be.
            self._liveness.hold(run_id)
        return Run(run_id, project_id, workspace, project, instant(seen), etag, fingerprint)

    def abandon_dead_runs(self, at: datetime) -> int:
        """Marks the runs of killed processes, whatever their project; returns how many there were."""
        with self._database.begin("looking for killed runs") as connection:
            return _mark_dead(connection, self._liveness, at)

    @contextmanager
    def transaction(self, run: Run) -> Iterator[Transaction]:
        """The project under its lock; all that is written inside is committed at the end, or nothing is.

        It may be left without ``finish``, to ask the API something with no transaction open; the run goes on.

        Raises:
            DatabaseError: the database refused or vanished; the state is what it was.
        """
        with self._database.begin(f"writing {run.workspace}/{run.project}") as connection:
            state = self._state(connection, run)
            transaction = Transaction(connection, self._bulk, run, state, dry=self._dry)
            yield transaction
        if run.id is not None and transaction.finished:
            self._release(run.id)

    def _state(self, connection: Connection, run: Run) -> ProjectState:
        if run.project_id is None:
            return ProjectState()
        query = _STATE
        if connection.dialect == "postgresql" and not self._dry:
            # NO KEY: other runs of the project may begin meanwhile. On SQLite the whole database is locked already.
            query += " FOR NO KEY UPDATE"
        values = dict(zip(ProjectState.__slots__, connection.execute(query, {"id": run.project_id})[0], strict=True))
        for column in ("observed_at", "written_at"):
            values[column] = instant(values[column])
        return ProjectState(**values)

    def fail_run(self, run: Run, row: RunRow, at: datetime) -> str | None:
        """Ends a run of which nothing is kept but that it was, and why.

        Returns:
            The outcome of a run that had ended already: what failed, failed after its commit. None: it had not.

        Raises:
            DatabaseError: not even that could be written.
        """
        if self._dry or run.id is None:
            return None
        with self._database.begin("recording a failed run") as connection:
            outcome = str(connection.execute("SELECT outcome FROM sync_runs WHERE id = :id", {"id": run.id})[0][0])
            ended = outcome not in {"running", "abandoned"}
            if not ended:
                _finish(connection, run, row, at)
        self._release(run.id)
        return outcome if ended else None

    def known_projects(self, workspace: str) -> list[str]:
        """The projects of a workspace that the database has, by id.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        with self._database.begin("reading the projects") as connection:
            rows = connection.execute(
                "SELECT project FROM projects WHERE workspace = :workspace ORDER BY project", {"workspace": workspace}
            )
        return [str(row[0]) for row in rows]

    def _release(self, run_id: int) -> None:
        try:
            self._liveness.release(run_id)
        except DatabaseError as error:
            # The run is committed, and its lock goes with the connection or the process.
            log.warning("run %d: %s", run_id, error)


class Transaction:
    """What can be done to a project between BEGIN and COMMIT.

    Attributes:
        state: the project's row as the lock found it; after ``apply`` with the new totals.
        finished: whether the run's end was written.
    """

    def __init__(self, connection: Connection, bulk: Bulk, run: Run, state: ProjectState, *, dry: bool) -> None:
        self._connection = connection
        self._bulk = bulk
        self._run = run
        self._dry = dry
        self.state = state
        self.finished = False

    def load(self) -> Stored:
        """All batches; the current ones are streamed, and have to be read to their end."""
        if self.state.id is None:
            return Stored(())
        removed = self._select("removed_at IS NOT NULL", {})
        return Stored(self._bulk.current(self._connection, self.state.id), {b.id: b for b, _ in removed})

    def load_some(self, ids: Iterable[str]) -> Stored:
        """Only the batches of these ids."""
        if self.state.id is None:
            return Stored(())
        rows = [row for i in ids for row in self._select("batch_id = :batch_id", {"batch_id": i})]
        current = sorted((b for b, removed in rows if not removed), key=lambda b: b.id)
        return Stored(current, {b.id: b for b, removed in rows if removed})

    def _select(self, condition: str, values: dict[str, object]) -> list[tuple[Batch, bool]]:
        rows = self._connection.execute(_BATCHES + condition, {"project_id": self.state.id, **values})
        return [
            (Batch(id_, name, microseconds(instant(uploaded)), images, num_jobs), bool(removed))
            for id_, name, uploaded, images, num_jobs, removed in rows
        ]

    def apply(self, changes: list[Change], observed_at: datetime) -> Tally:
        """Writes what changed: batches, ledger and the day's roll-up; ``state`` then has the new totals."""
        tally = Tally.of(changes)
        before = self.state
        self.state = replace(
            self.state,
            batches=self.state.batches + tally.added + tally.restored - tally.removed,
            images=self.state.images + tally.images_delta,
            num_jobs=self.state.num_jobs + tally.num_jobs_delta,
        )
        if changes and not self._dry and self._run.id is not None and self.state.id is not None:
            self._write(Mark(self._run.id, self.state.id, before.observed_at, observed_at), changes, before)
            totals = (self.state.batches, self.state.images, self.state.num_jobs)
            roll_up(self._connection, self.state.id, observed_at.astimezone(UTC).date(), tally, totals)
        return tally

    def _write(self, mark: Mark, changes: list[Change], before: ProjectState) -> None:
        new = [c for c in changes if c.kind is ChangeKind.ADDED]
        if new:
            self._bulk.add(self._connection, mark, new)
        if len(new) < len(changes):
            self._bulk.update(self._connection, mark, [c for c in changes if c.kind is not ChangeKind.ADDED])
        # Nothing was ever written: then there are no removed batches either.
        if before.written_at is None and len(new) == len(changes):
            append_all(self._connection, mark)
        else:
            self._bulk.append(self._connection, mark, changes)

    def finish(self, state: ProjectState, row: RunRow, at: datetime) -> None:
        """Writes the project's row and the end of the run."""
        if self._dry or state.id is None:
            return
        self._connection.execute(_SAVE, {name: getattr(state, name) for name in ProjectState.__slots__})
        _finish(self._connection, self._run, row, at)
        self.finished = True


def _add_project(connection: Connection, names: dict[str, str], name: str | None) -> int:
    # Two processes may meet a new project at once: the second finds the first one's row.
    connection.execute(
        "INSERT INTO projects (workspace, project, name) VALUES (:workspace, :project, :name) "
        "ON CONFLICT (workspace, project) DO NOTHING",
        {**names, "name": name},
    )
    return int(connection.execute(_KNOWN, names)[0][0])


def _mark_dead(connection: Connection, liveness: Liveness, at: datetime, project_id: int | None = None) -> int:
    """Marks killed runs as abandoned, of one project or (None) of all; returns how many there were."""
    query = "SELECT id FROM sync_runs WHERE outcome = 'running'"
    if project_id is not None:
        query += " AND project_id = :project_id"
    dead = [row[0] for row in connection.execute(query, {"project_id": project_id}) if liveness.is_dead(row[0])]
    for run_id in dead:
        connection.execute(
            "UPDATE sync_runs SET outcome = 'abandoned', finished_at = :at, "
            "error = 'the process that ran it was killed' WHERE id = :id AND outcome = 'running'",
            {"at": at, "id": run_id},
        )
    return len(dead)


def _finish(connection: Connection, run: Run, row: RunRow, at: datetime) -> None:
    tally = row.tally
    connection.execute(
        _FINISH,
        {
            "id": run.id,
            "finished_at": at,
            "outcome": row.outcome,
            "attempts": row.attempts,
            "http_status": row.http_status,
            "response_bytes": row.response_bytes,
            "batches": row.batches,
            "added": tally.added,
            "changed": tally.changed,
            "removed": tally.removed,
            "restored": tally.restored,
            "rejected": row.rejected,
            "images_delta": tally.images_delta,
            "num_jobs_delta": tally.num_jobs_delta,
            "error_kind": row.error_kind,
            "error": row.error,
        },
    )
