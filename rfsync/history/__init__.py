"""Questions to the database, each answered by one SQL statement with frozen rows. Nothing here writes.

Each takes an ``Engine`` first (``rfsync.connect``) and then what it is about: ``"workspace"``,
``"workspace/project"``, a list of such, or None for all. Instants are aware and UTC; ``since`` is inclusive, ``until``
exclusive. Where an iterator comes back, the rows stream: nothing is asked before the first is wanted.
"""

from rfsync.history.backlog import backlog, first_jobs, waiting
from rfsync.history.batches import batches, changes
from rfsync.history.flow import flow, movers
from rfsync.history.health import freshness, status
from rfsync.history.periods import BY, By
from rfsync.history.query import Targets, require_known
from rfsync.history.rows import (
    BacklogRow,
    BatchRow,
    ChangeRow,
    FirstJobRow,
    FlowRow,
    FreshnessRow,
    MoverRow,
    ProjectStatus,
    ThroughputRow,
    TotalRow,
    WaitingRow,
)
from rfsync.history.totals import first_observed, throughput, totals

__all__ = [
    "BY",
    "BacklogRow",
    "BatchRow",
    "By",
    "ChangeRow",
    "FirstJobRow",
    "FlowRow",
    "FreshnessRow",
    "MoverRow",
    "ProjectStatus",
    "Targets",
    "ThroughputRow",
    "TotalRow",
    "WaitingRow",
    "backlog",
    "batches",
    "changes",
    "first_jobs",
    "first_observed",
    "flow",
    "freshness",
    "movers",
    "require_known",
    "status",
    "throughput",
    "totals",
    "waiting",
]
