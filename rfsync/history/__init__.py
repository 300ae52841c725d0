"""Read-only queries: functions that each send a SQL statement and return immutable rows.

Each takes an ``Engine`` (``rfsync.connect``) and targets: ``"workspace"``, ``"workspace/project"``, a list of these, or
None for everything. A time is an aware ``datetime``, a ``date``, or a text as on the command line; ``since`` is
inclusive, ``until`` exclusive. Instants in rows are aware and in UTC. Wrong arguments are errors when the function is
called; an iterator then streams its rows: its query is sent when the first row is requested.
"""

from rfsync.history.arguments import Age, Time
from rfsync.history.backlog import backlog, first_jobs, waiting
from rfsync.history.batches import batches, changes
from rfsync.history.digest import Digest, digest
from rfsync.history.falls import falls
from rfsync.history.flow import flow, movers
from rfsync.history.health import freshness, status
from rfsync.history.job_rows import JobChangeRow, JobRow, JobVersionRow, LabelerRow, ProgressRow, WorkRow
from rfsync.history.jobs import job_changes, job_versions, jobs, progress
from rfsync.history.known import require_known
from rfsync.history.open_jobs import open_jobs, stages
from rfsync.history.periods import BY, By
from rfsync.history.place_rows import FallRow, OpenJobRow, PlacesRow, RemovedJobsRow, StageRow
from rfsync.history.places import image_places
from rfsync.history.problems import ProblemRow
from rfsync.history.query import Targets
from rfsync.history.removed_jobs import removed_jobs
from rfsync.history.rows import (
    BacklogRow,
    BatchRow,
    ChangeRow,
    DepartureRow,
    FirstJobRow,
    FlowRow,
    FreshnessRow,
    MoverRow,
    ProjectStatus,
    ThroughputRow,
    TotalRow,
    WaitingRow,
)
from rfsync.history.span import first_observed
from rfsync.history.throughput import throughput
from rfsync.history.totals import totals
from rfsync.history.work import labelers, work

__all__ = [
    "BY", "Age", "BacklogRow", "BatchRow", "By", "ChangeRow", "DepartureRow", "Digest", "FallRow", "FirstJobRow",
    "FlowRow", "FreshnessRow", "JobChangeRow", "JobRow", "JobVersionRow", "LabelerRow", "MoverRow", "OpenJobRow",
    "PlacesRow", "ProblemRow", "ProgressRow", "ProjectStatus", "RemovedJobsRow", "StageRow", "Targets",
    "ThroughputRow", "Time", "TotalRow", "WaitingRow", "WorkRow", "backlog", "batches", "changes", "digest",
    "falls", "first_jobs", "first_observed", "flow", "freshness", "image_places", "job_changes", "job_versions",
    "jobs", "labelers", "movers", "open_jobs", "progress", "removed_jobs", "require_known", "stages", "status",
    "throughput", "totals", "waiting", "work",
]  # fmt: skip
