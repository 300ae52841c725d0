"""Backlog: batches without a job, images by age, and the time until a batch's first job."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise

from sqlalchemy import Engine

from rfsync.errors import ConfigError
from rfsync.history.arguments import Time, read_span, read_time, require_count, utc_now
from rfsync.history.known import known_query
from rfsync.history.query import Targets
from rfsync.history.rows import BacklogRow, FirstJobRow, WaitingRow
from rfsync.parsing import LONGEST


def waiting(engine: Engine, targets: Targets = None, *, limit: int | None = 10) -> list[WaitingRow]:
    """Batches with images and no job, the longest waiting first.

    Args:
        limit: the most rows to return; None: no limit.

    Raises:
        ConfigError: a target is malformed or unknown, or ``limit`` is negative.
        DatabaseError: the database can't be read.
    """
    require_count(limit, "limit")
    query = known_query(engine, targets)
    most = ""
    if limit is not None:
        most = " LIMIT :limit"
        query.values["limit"] = limit
    sql = f"""
SELECT p.workspace, p.project, b.batch_id, b.name, b.images, coalesce(
    (SELECT max(c.observed_at) FROM batch_changes c WHERE c.project_id = b.project_id AND c.batch_id = b.batch_id
        AND (c.num_jobs_delta < 0 OR c.change = 'restored')),
    b.uploaded_at, b.first_seen_at) AS waiting_since
FROM scope p CROSS JOIN batches b
WHERE b.project_id = p.id AND b.removed_at IS NULL AND b.num_jobs = 0 AND b.images > 0
ORDER BY waiting_since, p.workspace, p.project, b.batch_id{most}"""
    return list(query.rows("reading what waits", sql, WaitingRow._make, times=(5,)))


def backlog(
    engine: Engine, targets: Targets = None, *, now: Time | None = None, edges: Sequence[int] = (1, 7, 30, 90)
) -> list[BacklogRow]:
    """Images not yet in a job, by the age of their batch: since its upload or, if unknown, since it was first seen.

    Args:
        now: the time at which they have these ages; None: the clock's.
        edges: limits between the ranges of age, in days, ascending.

    Returns:
        Every range, the youngest first, also those without a batch.

    Raises:
        ConfigError: a target is malformed or unknown, ``now`` is no time, or the limits are not ascending.
        DatabaseError: the database can't be read.
    """
    for days in edges:
        require_count(days, "edges", least=1, most=LONGEST.days)
    if not edges or list(edges) != sorted(set(edges)):
        raise ConfigError(f"edges: {edges!r} are not ascending ages in days")
    at = utc_now() if now is None else read_time(now, "now", utc_now())
    query = known_query(engine, targets)
    cases = []
    for number, days in enumerate(edges):
        query.values[f"edge{number}"] = at - timedelta(days=days)
        cases.append(f"WHEN came > :edge{number} THEN {number}")
    query.define(
        "waiting",
        """SELECT coalesce(b.uploaded_at, b.first_seen_at) AS came, b.images
    FROM scope p CROSS JOIN batches b WHERE b.project_id = p.id AND b.removed_at IS NULL AND b.images > 0""",
    )
    sql = f"""
SELECT CASE {" ".join(cases)} ELSE {len(edges)} END AS class, count(*), CAST(sum(images) AS bigint)
FROM waiting GROUP BY 1"""
    found = {number: (batches, images) for number, batches, images in query.rows("reading the backlog", sql, tuple)}
    classes = pairwise([0, *edges, None])
    return [
        BacklogRow(younger or 0, older, *found.get(number, (0, 0))) for number, (younger, older) in enumerate(classes)
    ]


def first_jobs(
    engine: Engine, targets: Targets = None, *, since: Time | None = None, until: Time | None = None
) -> Iterator[FirstJobRow]:
    """Batches whose first job was created while rfsync observed them, in the order of these jobs.

    Args:
        since: earliest observation of the job, inclusive; None: any.
        until: latest one, exclusive; None: any.

    Raises:
        ConfigError: a target is malformed or unknown, a time is none, or ``since`` is not before ``until``.
        DatabaseError: the database can't be read.
    """
    first, end = read_span(since, until, utc_now())
    query = known_query(engine, targets)
    query.define(
        "first_job",
        f"""SELECT p.workspace, p.project, c.batch_id, b.name, coalesce(b.uploaded_at, b.first_seen_at) AS began_at,
        c.observed_after, c.observed_at
    FROM scope p {query.ledger(first, end, "c.num_jobs > 0", "c.num_jobs_delta = c.num_jobs")}
    CROSS JOIN batches b
    WHERE b.project_id = c.project_id AND b.batch_id = c.batch_id AND c.observed_after IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM batch_changes e WHERE e.project_id = c.project_id AND e.batch_id = c.batch_id
            AND e.observed_at < c.observed_at AND e.num_jobs > 0)""",
    )
    sql = f"""
SELECT workspace, project, batch_id, name, began_at, observed_after, observed_at,
    {query.dialect.seconds("observed_at", "began_at")}
FROM first_job ORDER BY observed_at, workspace, project, batch_id"""
    return query.rows("reading the first jobs", sql, FirstJobRow._make, times=(4, 5, 6))
