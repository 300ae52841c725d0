"""What the sync reads and writes of a project and of a run: their rows, and the SQL for them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rfsync.database.drivers import Connection, instant
from rfsync.errors import RfsyncError
from rfsync.ledger.daily import Tally


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
    #: The clock that all who write to the database share, less this process's monotonic clock, in microseconds.
    clock_offset_us: int = 0


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
    sent_us: int | None = None


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


class RunEnded(RfsyncError):
    """The run had ended already: a try to write it was committed, and the database was lost before it could say so."""

    def __init__(self, row: RunRow) -> None:
        super().__init__(f"the run had ended before, as {row.outcome}")
        self.row = row


# The clock that all who write to the database share is the server's. For SQLite, whose file is on this machine, it is
# the monotonic clock that all its processes have in common (NULL). The time of day of this machine is no such clock.
_CLOCK: Final = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
    "sqlite": "NULL",
}
_KNOWN: Final = """SELECT {clock}, p.id, p.name, p.written_at, p.etag, p.fingerprint FROM (SELECT 1) one
LEFT JOIN projects p ON p.workspace = :workspace AND p.project = :project"""
_STATE: Final = f"SELECT {', '.join(ProjectState.__slots__)} FROM projects WHERE id = :id"  # noqa: S608 our own names
_SAVE: Final = f"""UPDATE projects SET {", ".join(f"{n} = :{n}" for n in ProjectState.__slots__ if n != "id")}
WHERE id = :id"""  # noqa: S608 our own names
_ENDED_COLUMNS: Final = (
    "outcome",
    "attempts",
    "http_status",
    "response_bytes",
    "batches",
    "rejected",
    "error_kind",
    "error",
)
_TALLY_COLUMNS: Final = ("added", "changed", "removed", "restored", "images_delta", "num_jobs_delta")
_ENDED: Final = f"""SELECT {", ".join(_ENDED_COLUMNS + _TALLY_COLUMNS)} FROM sync_runs
WHERE id = :id"""  # noqa: S608 our own names
_FINISH: Final = """UPDATE sync_runs SET finished_at = :finished_at, outcome = :outcome, attempts = :attempts,
    http_status = :http_status, response_bytes = :response_bytes, batches = :batches, added = :added,
    changed = :changed, removed = :removed, restored = :restored, rejected = :rejected, images_delta = :images_delta,
    num_jobs_delta = :num_jobs_delta, error_kind = :error_kind, error = :error
WHERE id = :id"""


@dataclass(frozen=True, slots=True)
class ProjectSnapshot:
    """What the database has of a project, before anything is locked."""

    #: None: it was never seen.
    id: int | None
    name: str | None
    seen: datetime | None
    etag: str | None
    fingerprint: str | None
    #: See ``Run.clock_offset_us``.
    clock_offset_us: int

    def run(self, run_id: int | None, workspace: str, project: str) -> Run:
        """A run that begins with that."""
        return Run(run_id, self.id, workspace, project, self.seen, self.etag, self.fingerprint, self.clock_offset_us)


def read_known(connection: Connection, workspace: str, project: str) -> ProjectSnapshot:
    """What is known of a project, and how far the shared clock is ahead."""
    values = {"workspace": workspace, "project": project}
    ((clock, id_, name, seen, etag, fingerprint),) = connection.execute(
        _KNOWN.format(clock=_CLOCK[connection.dialect]), values
    )
    # Read after the server's, so that a request never counts as later than it was: a run that begins when another's
    # request is on its way is the newer one, however long it took this process to get the answer.
    clock_offset_us = 0 if clock is None else clock - time.monotonic_ns() // 1000
    return ProjectSnapshot(id_, name, instant(seen), etag, fingerprint, clock_offset_us)


def read_state(connection: Connection, project_id: int, *, lock: bool) -> ProjectState:
    """A project's row.

    Args:
        lock: keep others from writing to the project until the transaction ends.
    """
    # NO KEY: other runs of the project may begin meanwhile. On SQLite the whole database is locked already.
    suffix = " FOR NO KEY UPDATE" if lock and connection.dialect == "postgresql" else ""
    rows = connection.execute(_STATE + suffix, {"id": project_id})
    values = dict(zip(ProjectState.__slots__, rows[0], strict=True))
    for column in ("observed_at", "written_at"):
        values[column] = instant(values[column])
    return ProjectState(**values)


def write_state(connection: Connection, state: ProjectState) -> None:
    """Brings a project's row up to date."""
    connection.execute(_SAVE, {name: getattr(state, name) for name in ProjectState.__slots__})


def read_end(connection: Connection, run_id: int) -> RunRow | None:
    """How a run ended; None: it goes on, or was taken for dead. Whoever is writing it at this moment is waited for."""
    # The outcome is no part of the condition: a row that did not meet it would not be locked, and not be waited for.
    lock = " FOR UPDATE" if connection.dialect == "postgresql" else ""
    rows = connection.execute(_ENDED + lock, {"id": run_id})
    values = dict(zip(_ENDED_COLUMNS + _TALLY_COLUMNS, rows[0], strict=True))
    if values["outcome"] in {"running", "abandoned"}:
        return None
    tally = Tally(**{name: values.pop(name) for name in _TALLY_COLUMNS})
    return RunRow(**values, tally=tally)


def write_end(connection: Connection, run_id: int, row: RunRow, at: datetime) -> None:
    """Writes how a run ended."""
    tally = row.tally
    connection.execute(
        _FINISH,
        {
            "id": run_id,
            "finished_at": at,
            **{name: getattr(row, name) for name in _ENDED_COLUMNS},
            **{name: getattr(tally, name) for name in _TALLY_COLUMNS},
        },
    )
