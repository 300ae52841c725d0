"""A run's row: how it begins, how it ends, and what became of runs whose process was killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Insert, bindparam, delete, exists, select, update

from rfsync.errors import DatabaseError, RfsyncError
from rfsync.ledger.changes import ChangeKind, Tally
from rfsync.ledger.projects import Denial, KeptAnswer, ProjectPath, ProjectSnapshot
from rfsync.records import Kind
from rfsync.schema.models import Project, ProjectRename, SyncRun


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has begun, and what was known when it did."""

    #: None: a dry run, which has no row.
    id: int | None
    #: None: a dry run of a project never seen.
    project_id: int | None
    path: ProjectPath
    #: Latest instant written for the project when the run began; None: none yet.
    seen: datetime | None
    #: Whether anything had been observed of the project before.
    observed: bool
    #: Whether it had been found to be gone.
    departed: bool
    #: Of the last answers applied whole.
    kept: Mapping[Kind, KeptAnswer]
    #: None: the key may see jobs, as far as is known.
    denial: Denial | None = None
    #: Why the job list was not applied when it was last asked for; None: it was.
    jobs_error_kind: str | None = None
    #: The clock that all who write to the database share, less this process's monotonic clock, in microseconds.
    clock_offset_us: int = 0
    #: Its project is one that had this id before; None: the id is as it was.
    old: ProjectPath | None = None
    #: The file that it began in, see ``database.sqlite.FILE_NUMBER``; None: PostgreSQL.
    file_number: int | None = None

    @classmethod
    def of(cls, run_id: int | None, path: ProjectPath, known: ProjectSnapshot, file_number: int | None = None) -> Run:
        """A run that begins with what is known."""
        return cls(
            run_id, known.id, path, known.seen, known.seen is not None, known.departed_at is not None,
            known.kept, known.denial, known.jobs_error_kind, known.clock_offset_us, file_number=file_number,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunRow:
    """What is written of a run when it ends; see ``models.SyncRun``."""

    outcome: str
    attempts: int = 0
    http_status: int | None = None
    response_bytes: int | None = None
    batches: int | None = None
    rejected: int = 0
    tally: Tally = field(default_factory=Tally)
    error_kind: str | None = None
    error: str | None = None
    jobs: int | None = None
    jobs_changed: int = 0
    jobs_error_kind: str | None = None
    jobs_error: str | None = None

    @property
    def images_delta(self) -> int:
        """Sum over its rows in ``batch_changes``."""
        return self.tally.deltas[0]

    @property
    def num_jobs_delta(self) -> int:
        """Sum over its rows in ``batch_changes``."""
        return self.tally.deltas[1]

    @property
    def values(self) -> dict[str, Any]:
        """By the names of the columns."""
        tally = self.tally
        counts = {kind.value: getattr(tally, kind.value) for kind in ChangeKind}
        deltas = dict(zip(_DELTA_COLUMNS, tally.deltas, strict=True))
        return {name: getattr(self, name) for name in _OWN_COLUMNS} | counts | deltas

    @property
    def log_fields(self) -> dict[str, object]:
        """The columns but the errors, as fields of a line of the log that says those; without those that are NULL."""
        errors = {"error", "jobs_error"}
        return {name: value for name, value in self.values.items() if value is not None and name not in errors}


class RunEnded(RfsyncError):
    """The run had ended already: an earlier try was committed, and the connection was lost before it could say so."""

    def __init__(self, row: RunRow) -> None:
        super().__init__(f"the run had ended before, as {row.outcome}")
        self.row = row


class ProjectRenamed(RfsyncError):
    """No run begins: the project has another id now."""

    def __init__(self, old: ProjectPath, new: ProjectPath) -> None:
        super().__init__(f"{old} is now {new}")
        self.new = new


class ProjectDropped(DatabaseError):
    """The run's project was taken out of the database while the run was under way, and the run with it."""

    def __init__(self, path: ProjectPath) -> None:
        super().__init__(
            f"{path} was dropped from the database in the middle of the run, of which nothing was written: the next "
            "sync begins its history anew"
        )


class ProjectAway(RfsyncError):
    """No run begins: the project has departed, and was looked for within a day."""


_OWN_COLUMNS: Final = [field.name for field in fields(RunRow) if field.name != "tally"]
_DELTA_COLUMNS: Final = ("images_delta", "num_jobs_delta")
_COLUMNS: Final = (*_OWN_COLUMNS, *ChangeKind, *_DELTA_COLUMNS)
_THIS_RUN: Final = SyncRun.id == bindparam("run_id")
# The outcome is no part of the condition: a row that did not meet it would not be locked, and not be waited for.
_END: Final = select(*(getattr(SyncRun, name) for name in _COLUMNS)).where(_THIS_RUN).with_for_update()
_FINISH: Final = update(SyncRun).where(_THIS_RUN)
_ABANDON: Final = (
    update(SyncRun)
    .where(SyncRun.id.in_(bindparam("run_ids", expanding=True)), SyncRun.outcome == "running")
    .values(outcome="abandoned", error="the process that ran it was killed")
)


def insert_run(connection: Connection, project_id: int, trigger: str, at: datetime, statement: Insert) -> int:
    """Writes a run down as ``running`` and returns its number.

    Args:
        statement: of ``RunLocks.insert``.
    """
    values = {"project_id": project_id, "trigger": trigger, "started_at": at, "outcome": "running"}
    key = connection.execute(statement, values).inserted_primary_key
    assert key is not None  # noqa: S101 the insert of one row gives one
    return int(key[0])


def renumber_run(connection: Connection, run_id: int) -> int:
    """Gives a run that was just written down, and is the last, the next number, and returns that."""
    connection.execute(update(SyncRun).where(_THIS_RUN).values(id=run_id + 1), {"run_id": run_id})
    return run_id + 1


def abandon(connection: Connection, run_ids: Sequence[int], at: datetime) -> None:
    """Marks the runs of killed processes."""
    if run_ids:
        connection.execute(_ABANDON, {"run_ids": run_ids, "finished_at": at})


def project_of_run(connection: Connection, run: Run) -> int:
    """The number of a run's project.

    Raises:
        ProjectDropped: the run has no row any more. No other run has its number, as long as it holds its lock.
    """
    project_id = connection.execute(select(SyncRun.project_id).where(SyncRun.id == run.id)).scalar()
    if project_id is None:
        raise ProjectDropped(run.path)
    return project_id


def read_end(connection: Connection, run_id: int) -> RunRow | None:
    """Reads how a run ended; None: it goes on, or was taken for dead. Waits for a transaction that is writing it."""
    values = connection.execute(_END, {"run_id": run_id}).one()._asdict()
    if values["outcome"] in {"running", "abandoned"}:
        return None
    deltas = tuple(values.pop(name) for name in _DELTA_COLUMNS)
    tally = Tally(**{kind.value: values.pop(kind.value) for kind in ChangeKind}, deltas=deltas)
    return RunRow(**values, tally=tally)


def forget_run(connection: Connection, run_id: int, project_id: int) -> None:
    """Deletes a run; and its project with all that is known of it, if it was never observed and no other run goes on.

    Raises:
        sqlalchemy.exc.IntegrityError: another run of it began just now.
    """
    connection.execute(delete(SyncRun).where(SyncRun.id == run_id))
    is_running = exists().where(SyncRun.project_id == Project.id, SyncRun.outcome == "running")
    known = select(Project.id).where(Project.id == project_id, Project.written_at.is_(None), ~is_running)
    if connection.execute(known.with_for_update()).scalar() is None:
        return
    # Such as one that failed because of its key: it says nothing of a project that is none.
    connection.execute(delete(SyncRun).where(SyncRun.project_id == project_id, SyncRun.outcome != "running"))
    connection.execute(delete(ProjectRename).where(ProjectRename.project_id == project_id))
    connection.execute(delete(Project).where(Project.id == project_id))


def write_end(connection: Connection, run_id: int, row: RunRow, at: datetime) -> None:
    """Writes how a run ended."""
    connection.execute(_FINISH, {"run_id": run_id, "finished_at": at, "lease_expires_at": None, **row.values})
