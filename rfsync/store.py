"""A project's state and history in the database: read under a lock, written in one transaction, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.sql.base import Executable

from rfsync.answers import Batch
from rfsync.bulk import Bulk, Mark, bulk_for
from rfsync.diff import Change, ChangeKind, Stored
from rfsync.engine import begin_immediate, translated
from rfsync.liveness import Liveness
from rfsync.models import batches, projects, sync_runs
from rfsync.rollup import Tally, roll_up

#: Ids in one IN list; SQLite takes at most 999 parameters where it is old.
_CHUNK: Final = 500


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


_STATE: Final = select(*(projects.c[name] for name in ProjectState.__slots__))
_KNOWN: Final = select(
    projects.c.id, projects.c.written_at, projects.c.etag, projects.c.fingerprint, projects.c.name
).where(projects.c.workspace == bindparam("workspace"), projects.c.project == bindparam("project"))


class Store:
    """One database, for as long as a process works with it. Safe to use from many threads.

    Args:
        engine: of ``engine.open_engine``, its schema checked.
        liveness: says which runs are alive.
        dry: nothing is written; what would be is thrown away.
    """

    def __init__(self, engine: Engine, liveness: Liveness, *, dry: bool = False) -> None:
        self._engine = begin_immediate(engine) if not dry else engine
        self._liveness = liveness
        self._bulk = bulk_for(engine.dialect.name)
        self._dry = dry
        # SQLite has one writer. Threads that queue up here wait in order and wake at once; SQLite's own waiting polls.
        self._queue = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    def close(self) -> None:
        """Gives all connections back."""
        self._liveness.close()
        self._engine.dispose()

    @contextmanager
    def _begin(self, doing: str) -> Iterator[Connection]:
        with ExitStack() as stack:
            stack.enter_context(translated(doing))
            stack.enter_context(self._queue)
            yield stack.enter_context(self._engine.begin())

    def begin_run(self, workspace: str, project: str, name: str | None, trigger: str, at: datetime) -> Run:
        """Writes the run down as ``running``, with its project if that is new, and marks dead ones as abandoned.

        Args:
            name: the project's name for people; None: not known, what is known stands.
            at: the clock's time.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        with self._begin("beginning a run") as connection:
            known = connection.execute(_KNOWN, {"workspace": workspace, "project": project}).one_or_none()
            if self._dry:
                state = (None, None, None, None) if known is None else tuple(known[:4])
                return Run(None, state[0], workspace, project, *state[1:])
            project_id = self._project(connection, known, workspace, project, name)
            self._abandon(connection, project_id, at)
            values = {"project_id": project_id, "trigger": trigger, "started_at": at, "outcome": "running"}
            run_id = connection.execute(insert(sync_runs).returning(sync_runs.c.id), values).scalar_one()
            # Before the commit that lets others see the run.
            self._liveness.hold(run_id)
        state = (None, None, None) if known is None else tuple(known[1:4])
        return Run(run_id, project_id, workspace, project, *state)

    def _project(self, connection: Connection, known: Any, workspace: str, project: str, name: str | None) -> int:
        if known is not None:
            if name is not None and name != known.name:
                connection.execute(update(projects).where(projects.c.id == known.id).values(name=name))
            return int(known.id)
        # Two processes may meet a new project at once: the second finds the first one's row.
        connection.execute(_insert_or_ignore(connection), {"workspace": workspace, "project": project, "name": name})
        row = connection.execute(_KNOWN, {"workspace": workspace, "project": project}).one()
        return int(row.id)

    def _abandon(self, connection: Connection, project_id: int, at: datetime) -> None:
        running = select(sync_runs.c.id).where(sync_runs.c.outcome == "running", sync_runs.c.project_id == project_id)
        self._mark_dead(connection, running, at)

    def abandon_dead_runs(self, at: datetime) -> int:
        """Marks the runs of killed processes, whatever their project; returns how many there were."""
        with self._begin("looking for killed runs") as connection:
            return self._mark_dead(connection, select(sync_runs.c.id).where(sync_runs.c.outcome == "running"), at)

    def _mark_dead(self, connection: Connection, running: Any, at: datetime) -> int:
        dead = [run_id for run_id in connection.execute(running).scalars() if self._liveness.is_dead(run_id)]
        for run_id in dead:
            connection.execute(
                update(sync_runs)
                .where(sync_runs.c.id == run_id, sync_runs.c.outcome == "running")
                .values(outcome="abandoned", finished_at=at, error="the process that ran it was killed")
            )
        return len(dead)

    @contextmanager
    def transaction(self, run: Run) -> Iterator[Transaction]:
        """The project under its lock; all that is written inside is committed at the end, or nothing is.

        It may be left without ``finish``, to ask the API something with no transaction open; the run goes on.

        Raises:
            DatabaseError: the database refused or vanished; the state is what it was.
        """
        with self._begin(f"writing {run.workspace}/{run.project}") as connection:
            transaction = Transaction(connection, self._bulk, run, self._state(connection, run), dry=self._dry)
            yield transaction
        if run.id is not None and transaction.finished:
            self._liveness.release(run.id)

    def _state(self, connection: Connection, run: Run) -> ProjectState:
        if run.project_id is None:
            return ProjectState()
        locked = _STATE.where(projects.c.id == run.project_id)
        if not self._dry:
            # NO KEY: other runs of the project may begin meanwhile. SQLite has no such clause and leaves it out: there
            # the whole database is locked already.
            locked = locked.with_for_update(key_share=True)
        return ProjectState(**connection.execute(locked).mappings().one())

    def fail_run(self, run: Run, row: RunRow, at: datetime) -> None:
        """Ends a run of which nothing is kept but that it was, and why.

        Raises:
            DatabaseError: not even that could be written.
        """
        if self._dry:
            return
        with self._begin("recording a failed run") as connection:
            _finish(connection, run, row, at)
        if run.id is not None:
            self._liveness.release(run.id)


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
        of_project = batches.c.project_id == self.state.id
        removed = self._select(of_project, batches.c.removed_at.is_not(None))
        return Stored(self._bulk.current(self._connection, self.state.id), {b.id: b for b, _ in removed})

    def load_some(self, ids: Collection[str]) -> Stored:
        """Only the batches of these ids."""
        if self.state.id is None:
            return Stored(())
        wanted = sorted(ids)
        rows = [
            row
            for start in range(0, len(wanted), _CHUNK)
            for row in self._select(
                batches.c.project_id == self.state.id, batches.c.batch_id.in_(wanted[start : start + _CHUNK])
            )
        ]
        current = sorted((b for b, removed in rows if not removed), key=lambda b: b.id)
        return Stored(current, {b.id: b for b, removed in rows if removed})

    def _select(self, *conditions: Any) -> Iterator[tuple[Batch, bool]]:
        columns = (batches.c.batch_id, batches.c.name, batches.c.uploaded_at, batches.c.images, batches.c.num_jobs)
        for row in self._connection.execute(select(*columns, batches.c.removed_at).where(*conditions)):
            uploaded_us = None if row.uploaded_at is None else _microseconds(row.uploaded_at)
            yield Batch(row.batch_id, row.name, uploaded_us, row.images, row.num_jobs), row.removed_at is not None

    def apply(self, changes: list[Change], observed_at: datetime) -> Tally:
        """Writes what changed: batches, ledger and the day's roll-up; ``state`` then has the new totals."""
        tally = Tally.of(changes)
        self.state = replace(
            self.state,
            batches=self.state.batches + tally.added + tally.restored - tally.removed,
            images=self.state.images + tally.images_delta,
            num_jobs=self.state.num_jobs + tally.num_jobs_delta,
        )
        if changes and not self._dry and self._run.id is not None and self.state.id is not None:
            mark = Mark(self._run.id, self.state.id, self.state.observed_at, observed_at)
            new = [c for c in changes if c.kind is ChangeKind.ADDED]
            if new:
                self._bulk.add(self._connection, mark, new)
            if len(new) < len(changes):
                known = [c for c in changes if c.kind is not ChangeKind.ADDED]
                self._bulk.update(self._connection, mark, known)
            self._bulk.append(self._connection, mark, changes)
            totals = (self.state.batches, self.state.images, self.state.num_jobs)
            roll_up(self._connection, self.state.id, observed_at.astimezone(UTC).date(), tally, totals)
        return tally

    def finish(self, state: ProjectState, row: RunRow, at: datetime) -> None:
        """Writes the project's row, where it differs, and the end of the run."""
        if self._dry or state.id is None:
            return
        values = {name: getattr(state, name) for name in ProjectState.__slots__ if name != "id"}
        self._connection.execute(update(projects).where(projects.c.id == bindparam("key")), {"key": state.id, **values})
        _finish(self._connection, self._run, row, at)
        self.finished = True


def _finish(connection: Connection, run: Run, row: RunRow, at: datetime) -> None:
    tally = row.tally
    values = {
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
    }
    connection.execute(update(sync_runs).where(sync_runs.c.id == bindparam("key")), {"key": run.id, **values})


def _insert_or_ignore(connection: Connection) -> Executable:
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(projects).on_conflict_do_nothing()
    from sqlalchemy.dialects.postgresql import insert as postgres_insert

    return postgres_insert(projects).on_conflict_do_nothing()


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(instant: datetime) -> int:
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
