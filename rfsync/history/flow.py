"""What moved between two moments, and where most of it did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from sqlalchemy import Engine

from rfsync.history.periods import split_whole_units
from rfsync.history.query import Query, Targets
from rfsync.history.rows import FlowRow, MoverRow

_EVER: Final = datetime(9999, 12, 31, tzinfo=UTC)

_GAINED_AND_LOST: Final = """CASE WHEN c.images_delta > 0 THEN c.images_delta ELSE 0 END AS images_gained,
    CASE WHEN c.images_delta < 0 THEN -c.images_delta ELSE 0 END AS images_lost,
    CASE WHEN c.num_jobs_delta > 0 THEN c.num_jobs_delta ELSE 0 END AS jobs_gained,
    CASE WHEN c.num_jobs_delta < 0 THEN -c.num_jobs_delta ELSE 0 END AS jobs_lost"""
_SUMS: Final = ", ".join(
    f"CAST(sum({name}) AS bigint) AS {name}" for name in ("images_gained", "images_lost", "jobs_gained", "jobs_lost")
)
_NET: Final = "images_gained - images_lost, jobs_gained - jobs_lost, images_gained, images_lost, jobs_gained, jobs_lost"
#: Much first; of what moved the same images, whose jobs moved more.
_MUCH: Final = "images_gained + images_lost DESC, jobs_gained + jobs_lost DESC, workspace, project"


def flow(engine: Engine, targets: Targets = None, *, since: datetime, until: datetime | None = None) -> list[FlowRow]:
    """What moved in each project, by workspace and project; also those in which nothing did.

    Args:
        since: inclusive.
        until: exclusive; None: to the last change.

    Raises:
        ConfigError: a target is none.
        DatabaseError: the database can't be read.
    """
    query = Query(engine, targets)
    sql = f"""WITH {_moved(query, since, until)}
SELECT p.workspace, p.project, coalesce(changes, 0), coalesce(added, 0), coalesce(removed, 0),
    {", ".join(f"coalesce({name}, 0)" for name in _NET.split(", "))}
FROM scope p LEFT JOIN sums s ON s.id = p.id ORDER BY p.workspace, p.project"""
    return list(query.rows("reading the flow", sql, FlowRow._make))


def movers(
    engine: Engine,
    targets: Targets = None,
    *,
    of: Literal["projects", "batches"] = "projects",
    since: datetime,
    until: datetime | None = None,
    limit: int = 10,
) -> list[MoverRow]:
    """The projects, or the batches, in which most images came or went, both counted; the biggest first.

    Args:
        since: inclusive.
        until: exclusive; None: to the last change.

    Raises:
        ConfigError: a target is none.
        DatabaseError: the database can't be read.
    """
    query = Query(engine, targets)
    query.values["limit"] = limit
    if of == "projects":
        sql = f"""WITH {_moved(query, since, until)}
SELECT workspace, project, NULL, name, changes, {_NET} FROM scope p JOIN sums s ON s.id = p.id
ORDER BY {_MUCH} LIMIT :limit"""
    else:
        query.values.update(since=since, until=until or _EVER)
        within = "c.project_id = p.id AND c.observed_at >= :since AND c.observed_at < :until"
        ledger = query.seek("batch_changes", "c", within)
        sql = f"""WITH {query.scope},
moved AS (SELECT c.project_id AS id, c.batch_id, {_GAINED_AND_LOST} FROM scope p {ledger}),
sums AS (SELECT id, batch_id, count(*) AS changes, {_SUMS} FROM moved GROUP BY id, batch_id),
most AS (SELECT workspace, project, s.* FROM sums s JOIN scope p ON p.id = s.id
    ORDER BY {_MUCH}, batch_id LIMIT :limit)
SELECT workspace, project, m.batch_id, b.name, changes, {_NET}
FROM most m CROSS JOIN batches b WHERE b.project_id = m.id AND b.batch_id = m.batch_id ORDER BY {_MUCH}, m.batch_id"""
    return list(query.rows("reading the movers", sql, MoverRow._make))


def _moved(query: Query, since: datetime, until: datetime | None) -> str:
    """CTEs up to ``sums``: whole days from the roll-up, what is left of others from the ledger."""
    until = until or _EVER
    days, edges = split_whole_units(since, until, timedelta(days=1))
    first, last = days or (since, since)
    query.values.update(first=first.date(), last=last.date())
    within = "c.project_id = p.id AND c.observed_at >= e.since AND c.observed_at < e.until"
    ledger = query.seek("batch_changes", "c", within)
    edge = query.table("edge", {"since": "timestamptz", "until": "timestamptz"}, edges)
    return f"""{query.scope}, {edge},
moved AS (
    SELECT d.project_id AS id, d.changes, d.batches_added AS added, d.batches_removed AS removed, d.images_gained,
        d.images_lost, d.jobs_gained, d.jobs_lost
    FROM scope p CROSS JOIN project_daily d WHERE d.project_id = p.id AND d.day >= :first AND d.day < :last
    UNION ALL
    SELECT c.project_id, 1, CASE WHEN c.change IN ('added', 'restored') THEN 1 ELSE 0 END,
        CASE WHEN c.change = 'removed' THEN 1 ELSE 0 END, {_GAINED_AND_LOST}
    FROM edge e CROSS JOIN scope p {ledger}
),
sums AS (SELECT id, CAST(sum(changes) AS bigint) AS changes, CAST(sum(added) AS bigint) AS added,
    CAST(sum(removed) AS bigint) AS removed, {_SUMS} FROM moved GROUP BY id)"""
