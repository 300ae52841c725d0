"""Questions to the database, each answered by one SQL statement with frozen rows. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Engine, text

from rfsync.columns import UTCDateTime
from rfsync.database_errors import translated


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """A project now: its totals, and how its syncs have gone."""

    workspace: str
    project: str
    #: Totals now, without removed batches.
    batches: int
    images: int
    num_jobs: int
    #: Last observation applied; None: none yet.
    observed_at: datetime | None
    #: Start of the last run that has ended; None: none has.
    last_run_at: datetime | None
    last_outcome: str | None
    last_success_at: datetime | None
    #: Runs that failed, were refused or abandoned since the last success.
    consecutive_failures: int
    #: Of the last run that did not succeed, however long ago.
    last_error_kind: str | None
    last_error: str | None


_STATUS: Final = text(
    """SELECT p.workspace, p.project, p.batches, p.images, p.num_jobs, p.observed_at, h.last_run_at, h.last_outcome,
    h.last_success_at, h.consecutive_failures, h.last_error_kind, h.last_error
FROM projects p JOIN sync_health h ON h.workspace = p.workspace AND h.project = p.project
ORDER BY p.workspace, p.project"""
).columns(observed_at=UTCDateTime, last_run_at=UTCDateTime, last_success_at=UTCDateTime)


def status(engine: Engine) -> list[ProjectStatus]:
    """Every project in the database, by workspace and project.

    Raises:
        DatabaseError: the database can't be read.
    """
    with translated("reading the status"), engine.connect() as connection:
        return [ProjectStatus(**row) for row in connection.execute(_STATUS).mappings()]
