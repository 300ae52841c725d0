"""rfsync: keeps the history of Roboflow's annotation batches that the API itself forgets.

The questions of ``rfsync.history`` can be asked from here::

    import rfsync

    engine = rfsync.connect("sqlite:///rfsync.db")
    for day in rfsync.totals(engine, "acme/widgets", by="day"):
        print(day.period, day.images, day.images_gained, day.images_lost)
    frame = rfsync.to_pandas(rfsync.changes(engine, "acme"))

``rfsync.sync_project("acme", "widgets")`` syncs a project, as a task of an orchestrator.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rfsync.version import __version__

if TYPE_CHECKING:
    from rfsync.errors import ConfigError, DatabaseError, RfsyncError
    from rfsync.history import (
        BacklogRow,
        BatchRow,
        ChangeRow,
        DepartureRow,
        Digest,
        FallRow,
        FirstJobRow,
        FlowRow,
        FreshnessRow,
        JobChangeRow,
        JobRow,
        JobVersionRow,
        LabelerRow,
        MoverRow,
        OpenJobRow,
        PlacesRow,
        ProblemRow,
        ProgressRow,
        ProjectStatus,
        RemovedJobsRow,
        StageRow,
        ThroughputRow,
        TotalRow,
        WaitingRow,
        WorkRow,
        backlog,
        batches,
        changes,
        digest,
        falls,
        first_jobs,
        first_observed,
        flow,
        freshness,
        image_places,
        job_changes,
        job_versions,
        jobs,
        labelers,
        movers,
        open_jobs,
        progress,
        removed_jobs,
        stages,
        status,
        throughput,
        totals,
        waiting,
        work,
    )
    from rfsync.history.connect import connect
    from rfsync.history.dataframes import to_arrow, to_pandas
    from rfsync.sync.from_python import list_projects, sync_project
    from rfsync.sync.result import SyncError, SyncResult

__all__ = [
    "BacklogRow",
    "BatchRow",
    "ChangeRow",
    "ConfigError",
    "DatabaseError",
    "DepartureRow",
    "Digest",
    "FallRow",
    "FirstJobRow",
    "FlowRow",
    "FreshnessRow",
    "JobChangeRow",
    "JobRow",
    "JobVersionRow",
    "LabelerRow",
    "MoverRow",
    "OpenJobRow",
    "PlacesRow",
    "ProblemRow",
    "ProgressRow",
    "ProjectStatus",
    "RemovedJobsRow",
    "RfsyncError",
    "StageRow",
    "SyncError",
    "SyncResult",
    "ThroughputRow",
    "TotalRow",
    "WaitingRow",
    "WorkRow",
    "__version__",
    "backlog",
    "batches",
    "changes",
    "connect",
    "digest",
    "falls",
    "first_jobs",
    "first_observed",
    "flow",
    "freshness",
    "image_places",
    "job_changes",
    "job_versions",
    "jobs",
    "labelers",
    "list_projects",
    "movers",
    "open_jobs",
    "progress",
    "removed_jobs",
    "stages",
    "status",
    "sync_project",
    "throughput",
    "to_arrow",
    "to_pandas",
    "totals",
    "waiting",
    "work",
]

_ELSEWHERE = {
    "connect": "history.connect",
    "list_projects": "sync.from_python",
    "sync_project": "sync.from_python",
    "SyncError": "sync.result",
    "SyncResult": "sync.result",
    "to_arrow": "history.dataframes",
    "to_pandas": "history.dataframes",
} | dict.fromkeys(("ConfigError", "DatabaseError", "RfsyncError"), "errors")


def __getattr__(name: str) -> Any:
    """Imported when first used: the command line starts without what a single command needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'history')}"), name)
