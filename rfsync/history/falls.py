"""Why the count of a batch fell: where its images went."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine

from rfsync.history.arguments import Time, read_span, utc_now
from rfsync.history.known import known_query, read_ids
from rfsync.history.place_rows import FallRow
from rfsync.history.query import Query, Targets

#: SQL for whether the run of a row knew of the jobs: it read their list, or found the project gone.
_JOBS_READ: Final = (
    "EXISTS (SELECT 1 FROM sync_runs s WHERE s.id = {0}.run_id AND (s.jobs IS NOT NULL OR s.http_status = 404))"
)


def falls(
    engine: Engine,
    targets: Targets = None,
    *,
    batch_ids: str | Sequence[str] | None = None,
    since: Time | None = None,
    until: Time | None = None,
) -> Iterator[FallRow]:
    """Where images went when the count of their batch fell, by time; a fall has one row or more.

    - Into jobs of that batch that appeared, or grew, between the same two observations.
    - What is then left into a new batch, if that appeared in the same observation with exactly as many images. Where
      several batches fell by as many, or several such batches appeared, that is not told.
    - What is left of a batch that was removed went with it, if the job list was read then: its images were moved or
      deleted.
    - All else is unexplained: images may have been merged into another batch, or deleted.

    Args:
        batch_ids: only of these batches; None: of all.
        since: inclusive; None: from the first.
        until: exclusive; None: to the last.

    Raises:
        ConfigError: a target or batch is malformed or unknown, a time is none, or ``since`` is not before ``until``.
        DatabaseError: the database can't be read.
    """
    first, end = read_span(since, until, utc_now())
    query = known_query(engine, targets)
    of_batch, shown = [], ""
    if ids := read_ids(engine, targets, batch_ids):
        named = query.add_values("b", ids)
        of_batch, shown = [f"c.batch_id IN ({named})"], f"WHERE fall.batch_id IN ({named})"
    query.define(
        "instant",
        f"""SELECT DISTINCT p.workspace, p.project, c.project_id, c.observed_at
    FROM scope p {query.ledger(first, end, "c.images_delta < 0", *of_batch)}""",
        materialized=True,
    )
    _define_destinations(query)
    parts = [
        "SELECT id, 1 AS place, job_id AS into_id, name AS into_name, images FROM into_job",
        "SELECT id, 2, batch_id, name, rest FROM into_batch",
        f"""SELECT r.id, CASE WHEN r.change = 'removed' AND r.rest > 0 AND {_JOBS_READ.format("r")} THEN 3 ELSE 4 END,
        NULL, NULL, r.rest FROM rest r
    WHERE r.rest <> 0 AND NOT EXISTS (SELECT 1 FROM into_batch n WHERE n.id = r.id)""",
    ]
    query.define("destination", "\n    UNION ALL ".join(parts))
    words = ("", "job", "batch", "removed", "unexplained")

    def make(row: Iterable[Any]) -> FallRow:
        *fall, place, into_id, into_name, images, jobs_observed = row
        return FallRow._make((*fall, words[place], into_id, into_name, images, jobs_observed == 1))

    sql = f"""
SELECT fall.workspace, fall.project, fall.batch_id, fall.name, fall.observed_after, fall.observed_at, fall.lost,
    d.place, d.into_id, d.into_name, d.images,
    CASE WHEN EXISTS (SELECT 1 FROM sync_runs r WHERE r.id = fall.run_id AND r.jobs IS NOT NULL) THEN 1 ELSE 0 END
FROM fall JOIN destination d ON d.id = fall.id {shown}
ORDER BY fall.observed_at, fall.workspace, fall.project, fall.batch_id, d.place, d.images DESC, d.into_id"""
    return query.rows("reading why counts fell", sql, make, times=(4, 5))


def _define_destinations(query: Query) -> None:
    """Add the CTEs ``fall``, ``into_job``, ``rest`` (of what no job took) and ``into_batch``; ``id`` is of a fall."""
    seek = query.dialect.seek
    at_once = "c.project_id = i.project_id AND c.observed_at = i.observed_at"
    query.define(
        "fall",
        f"""SELECT i.workspace, i.project, c.id, c.run_id, c.project_id, c.batch_id, c.name, c.change,
        c.observed_after, c.observed_at, -c.images_delta AS lost
    FROM instant i {seek("batch_changes", "c", f"{at_once} AND c.images_delta < 0")}""",
        materialized=True,
    )
    # What the first list of jobs shows, or one after others that failed, may have been there before the fall.
    query.define(
        "grown",
        f"""SELECT c.project_id, c.batch_id, c.observed_after, c.observed_at, c.job_id, c.name, c.num_images_delta
    FROM instant i {seek("job_changes", "c", f"{at_once} AND c.num_images_delta > 0 AND c.change <> 'restored'")}""",
        materialized=True,
    )
    query.define(
        "into_job",
        """SELECT fall.id, g.job_id, g.name, g.num_images_delta AS images FROM fall
    JOIN grown g ON g.project_id = fall.project_id AND g.observed_at = fall.observed_at AND g.batch_id = fall.batch_id
        AND g.observed_after = fall.observed_after""",
        materialized=True,
    )
    query.define(
        "rest",
        """SELECT fall.id, fall.run_id, fall.project_id, fall.observed_at, fall.change,
        fall.lost - coalesce(t.images, 0) AS rest
    FROM fall
    LEFT JOIN (SELECT id, CAST(sum(images) AS bigint) AS images FROM into_job GROUP BY id) t ON t.id = fall.id""",
        materialized=True,
    )
    query.define(
        "appeared",
        f"""SELECT c.project_id, c.observed_at, c.batch_id, c.name, c.images
    FROM instant i {seek("batch_changes", "c", f"{at_once} AND c.change = 'added' AND c.images > 0")}""",
        materialized=True,
    )
    query.define(
        "into_batch",
        """SELECT id, batch_id, name, rest FROM (
        SELECT r.id, a.batch_id, a.name, r.rest, count(*) OVER (PARTITION BY r.id) AS batches,
            count(*) OVER (PARTITION BY a.project_id, a.batch_id, a.observed_at) AS falls
        FROM rest r JOIN appeared a ON a.project_id = r.project_id AND a.observed_at = r.observed_at
            AND a.images = r.rest) pair
    WHERE batches = 1 AND falls = 1""",
    )
