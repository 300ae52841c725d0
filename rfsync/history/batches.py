"""Batches at a moment, and the ledger."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Engine

from rfsync.history.query import Query, Targets
from rfsync.history.rows import BatchRow, ChangeRow


def batches(engine: Engine, targets: Targets = None, *, as_of: datetime | None = None) -> Iterator[BatchRow]:
    """The batches that existed at a moment, with their counts then; by workspace, project and id.

    ``uploaded_at`` is not in the ledger: it is as last reported by the API, also for the past.

    Args:
        as_of: the moment; None: now.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    query = Query(engine, targets)
    if as_of is None:
        sql = """
SELECT p.workspace, p.project, b.batch_id, b.name, b.uploaded_at, b.images, b.num_jobs, b.first_seen_at, b.changed_at
FROM scope p CROSS JOIN batches b
WHERE b.project_id = p.id AND b.removed_at IS NULL
ORDER BY p.workspace, p.project, b.batch_id"""
    else:
        query.values["as_of"] = as_of
        before = "c.project_id = b.project_id AND c.batch_id = b.batch_id AND c.observed_at <= :as_of"
        last = query.dialect.seek("batch_changes", "c", before, latest_by="observed_at")
        # Batches unchanged since then are read from their current row, others from their last ledger row until then.
        sql = f"""
SELECT p.workspace, p.project, b.batch_id, b.name, b.uploaded_at, b.images, b.num_jobs, b.first_seen_at, b.changed_at
FROM scope p CROSS JOIN batches b
WHERE b.project_id = p.id AND b.changed_at <= :as_of AND b.removed_at IS NULL
UNION ALL
SELECT p.workspace, p.project, b.batch_id, c.name, b.uploaded_at, c.images, c.num_jobs, b.first_seen_at, c.observed_at
FROM scope p CROSS JOIN batches b {last}
WHERE b.project_id = p.id AND b.first_seen_at <= :as_of AND b.changed_at > :as_of AND c.change <> 'removed'
ORDER BY 1, 2, 3"""
    return query.rows("reading the batches", sql, BatchRow._make, times=(4, 7, 8))


def changes(
    engine: Engine,
    targets: Targets = None,
    *,
    batch_ids: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    newest_first: bool = False,
    limit: int | None = None,
) -> Iterator[ChangeRow]:
    """The rows of the ledger by time.

    Args:
        batch_ids: only of these batches; empty: of all.
        since: inclusive; None: from the first.
        until: exclusive; None: to the last.
        limit: the most rows to return; None: no limit.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    query = Query(engine, targets)
    conditions = []
    if batch_ids:
        names = [f"b{number}" for number in range(len(batch_ids))]
        query.values.update(zip(names, batch_ids, strict=True))
        conditions.append(f"c.batch_id IN ({', '.join(f':{name}' for name in names)})")
    down = " DESC" if newest_first else ""
    if limit is not None:
        query.values["limit"] = limit
    sql = f"""
SELECT p.workspace, p.project, c.batch_id, c.name, c.change, c.observed_after, c.observed_at, c.images, c.num_jobs,
    c.images_delta, c.num_jobs_delta, c.run_id
FROM scope p {query.ledger(since, until, *conditions)}
ORDER BY c.observed_at{down}, c.id{down}{"" if limit is None else " LIMIT :limit"}"""
    return query.rows("reading the ledger", sql, ChangeRow._make, times=(5, 6))
