"""Batches at a moment, and the ledger."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine

from rfsync.history.arguments import Age, Time, read_age, read_past, read_span, require_count, utc_now
from rfsync.history.known import known_query, read_ids
from rfsync.history.query import Targets
from rfsync.history.rows import BatchRow, ChangeRow


def batches(
    engine: Engine, targets: Targets = None, *, as_of: Time | None = None, unchanged_for: Age | None = None
) -> Iterator[BatchRow]:
    """The batches that existed at a moment, with their counts then; by workspace, project and id.

    ``uploaded_at`` is not in the ledger: it is as last reported by the API, also for the past.

    Args:
        as_of: the moment; None: now.
        unchanged_for: only those of which no change was observed for so long before that moment, such as ``"7d"``.

    Raises:
        ConfigError: a target is malformed or unknown, or the moment or the age is none, or in the future.
        DatabaseError: the database can't be read.
    """
    now = utc_now()
    moment = read_past(as_of, "as_of", now)
    age = None if unchanged_for is None else read_age(unchanged_for, "unchanged_for")
    query = known_query(engine, targets)
    unchanged = unchanged_then = ""
    if age is not None:
        query.values["unchanged_since"] = (moment or now) - age
        unchanged, unchanged_then = (f"AND {at} <= :unchanged_since" for at in ("b.changed_at", "c.observed_at"))
    if moment is None:
        sql = f"""
SELECT p.workspace, p.project, b.batch_id, b.name, b.uploaded_at, b.images, b.num_jobs, b.first_seen_at, b.changed_at
FROM scope p CROSS JOIN batches b
WHERE b.project_id = p.id AND b.removed_at IS NULL {unchanged}
ORDER BY p.workspace, p.project, b.batch_id"""
    else:
        query.values["as_of"] = moment
        before = "c.project_id = b.project_id AND c.batch_id = b.batch_id AND c.observed_at <= :as_of"
        last = query.dialect.seek("batch_changes", "c", before, latest_by="observed_at")
        # Batches unchanged since then are read from their current row, others from their last ledger row until then.
        sql = f"""
SELECT p.workspace, p.project, b.batch_id, b.name, b.uploaded_at, b.images, b.num_jobs, b.first_seen_at, b.changed_at
FROM scope p CROSS JOIN batches b
WHERE b.project_id = p.id AND b.changed_at <= :as_of AND b.removed_at IS NULL {unchanged}
UNION ALL
SELECT p.workspace, p.project, b.batch_id, c.name, b.uploaded_at, c.images, c.num_jobs, b.first_seen_at, c.observed_at
FROM scope p CROSS JOIN batches b {last}
WHERE b.project_id = p.id AND b.first_seen_at <= :as_of AND b.changed_at > :as_of AND c.change <> 'removed'
    {unchanged_then}
ORDER BY 1, 2, 3"""
    return query.rows("reading the batches", sql, BatchRow._make, times=(4, 7, 8))


def changes(
    engine: Engine,
    targets: Targets = None,
    *,
    batch_ids: str | Sequence[str] | None = None,
    since: Time | None = None,
    until: Time | None = None,
    newest_first: bool = False,
    limit: int | None = None,
) -> Iterator[ChangeRow]:
    """The rows of the ledger by time.

    Args:
        batch_ids: only of these batches; None: of all.
        since: inclusive; None: from the first.
        until: exclusive; None: to the last.
        limit: the most rows to return; None: no limit.

    Raises:
        ConfigError: a target or batch is malformed or unknown, a time is none, ``since`` is not before ``until``, or
            ``limit`` is negative.
        DatabaseError: the database can't be read.
    """
    first, end = read_span(since, until, utc_now())
    require_count(limit, "limit")
    query = known_query(engine, targets)
    conditions = []
    if ids := read_ids(engine, targets, batch_ids):
        conditions.append(f"c.batch_id IN ({query.add_values('b', ids)})")
    down = " DESC" if newest_first else ""
    if limit is not None:
        query.values["limit"] = limit
    sql = f"""
SELECT p.workspace, p.project, c.batch_id, c.name, c.change, c.observed_after, c.observed_at, c.images, c.num_jobs,
    c.images_delta, c.num_jobs_delta, c.run_id
FROM scope p {query.ledger(first, end, *conditions)}
ORDER BY c.observed_at{down}, c.id{down}{"" if limit is None else " LIMIT :limit"}"""
    return query.rows("reading the ledger", sql, ChangeRow._make, times=(5, 6))
