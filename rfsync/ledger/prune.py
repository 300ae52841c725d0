"""Deleting runs that changed nothing."""

from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from rfsync.ledger.observed import keep_observed
from rfsync.schema.models import Project, SyncRun

#: Runs deleted in one transaction, so that no sync has to wait for long.
_AT_ONCE = 1000


def project_ids(connection: Connection) -> list[int]:
    """All projects."""
    return list(connection.execute(select(Project.id).order_by(Project.id)).scalars())


def prune_some(connection: Connection, project_id: int, before: datetime) -> int:
    """Deletes some of a project's runs that changed nothing and ended before then; returns how many.

    What ``sync_health`` says stays the same: it looks at the last failure, and at the last success and what follows.
    """
    of_project = select(func.max(SyncRun.id)).where(SyncRun.project_id == project_id)
    last_success = of_project.where(SyncRun.outcome.in_(("changed", "unchanged", "superseded"))).scalar_subquery()
    last_failure = of_project.where(SyncRun.outcome.in_(("failed", "refused", "abandoned"))).scalar_subquery()
    pruned = connection.execute(
        select(SyncRun.id, SyncRun.outcome, SyncRun.started_at, SyncRun.batches, SyncRun.jobs)
        .where(
            SyncRun.project_id == project_id,
            SyncRun.outcome.not_in(("running", "changed")),
            SyncRun.finished_at < before,
            SyncRun.id < last_success,
            SyncRun.id != func.coalesce(last_failure, 0),
        )
        .order_by(SyncRun.id)
        .limit(_AT_ONCE)
    ).all()
    # That the project was observed, and nothing was new, is part of the history.
    observed = [run for run in pruned if run.outcome == "unchanged"]
    with_jobs = [run.started_at for run in observed if run.jobs is not None]
    # A saved job list alone says nothing of the batches.
    with_batches = [run.started_at for run in observed if run.batches is not None or run.jobs is None]
    keep_observed(connection, project_id, with_batches, with_jobs)
    if pruned:
        connection.execute(delete(SyncRun).where(SyncRun.id.in_([run.id for run in pruned])))
    return len(pruned)
