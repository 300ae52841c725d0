"""Jobs that are not done, and how long the batches took to get so far."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from rfsync.history.arguments import Age, Time, read_age, read_span, read_time, require_count, utc_now
from rfsync.history.known import known_query
from rfsync.history.place_rows import OpenJobRow, StageRow
from rfsync.history.places import places_of
from rfsync.history.query import Targets
from rfsync.schema.views import PERSON

#: Of a job ``j``: it is not done. Any status but ``complete`` is another word for open: the API may have new ones.
_OPEN: Final = "j.removed_at IS NULL AND j.approved < j.num_images AND lower(coalesce(j.status, '')) <> 'complete'"
#: Stands for a time before the jobs were first read. Nothing is as old.
_BEFORE: Final = datetime(1900, 1, 1, tzinfo=UTC)


def open_jobs(
    engine: Engine,
    targets: Targets = None,
    *,
    unchanged_for: Age | None = None,
    limit: int | None = 10,
    now: Time | None = None,
) -> list[OpenJobRow]:
    """Jobs that are not done, with how far they are; the longest open first.

    A job is done if its status is ``complete``, or all of its images are approved.

    Args:
        unchanged_for: only those that are stuck: no change of them was observed for so long, such as ``"7d"``; the
            longest unchanged first.
        limit: the most rows to return; None: no limit.
        now: the time at which this age ends; None: the clock's.

    Raises:
        ConfigError: a target is malformed or unknown, the age or ``now`` is none, or ``limit`` is negative.
        DatabaseError: the database can't be read.
    """
    at = utc_now() if now is None else read_time(now, "now", utc_now())
    age = None if unchanged_for is None else read_age(unchanged_for, "unchanged_for")
    require_count(limit, "limit")
    query = known_query(engine, targets)
    unchanged, order, most = "", "opened_at", ""
    if age is not None:
        query.values["unchanged_since"] = at - age
        unchanged, order = "AND j.changed_at <= :unchanged_since", "j.changed_at"
    if limit is not None:
        query.values["limit"] = limit
        most = " LIMIT :limit"
    sql = f"""
SELECT p.workspace, p.project, j.job_id, j.batch_id, j.name, j.status, {PERSON.format("l")}, {PERSON.format("r")},
    j.num_images, {", ".join(places_of("j").values())}, coalesce(j.created_at, j.first_seen_at) AS opened_at,
    j.changed_at
FROM scope p CROSS JOIN jobs j LEFT JOIN people l ON l.id = j.labeler_id LEFT JOIN people r ON r.id = j.reviewer_id
WHERE j.project_id = p.id AND {_OPEN} {unchanged}
ORDER BY {order}, p.workspace, p.project, j.job_id{most}"""
    return list(query.rows("reading the open jobs", sql, OpenJobRow._make, times=(13, 14)))


def count_open_jobs(engine: Engine, targets: Targets, *, unchanged_for: timedelta, now: datetime) -> tuple[int, int]:
    """How many rows ``open_jobs`` has without a limit: all of them, and those that are stuck.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    query = known_query(engine, targets)
    query.values["unchanged_since"] = now - unchanged_for
    sql = f"""
SELECT count(*), count(CASE WHEN j.changed_at <= :unchanged_since THEN 1 END)
FROM scope p CROSS JOIN jobs j WHERE j.project_id = p.id AND {_OPEN}"""
    ((opened, stuck),) = query.rows("counting the open jobs", sql, tuple)
    return opened, stuck


def stages(
    engine: Engine, targets: Targets = None, *, since: Time | None = None, until: Time | None = None
) -> Iterator[StageRow]:
    """Batches, and the time from their upload to their first job, first annotation and last approval; oldest first.

    Args:
        since: earliest upload, inclusive; None: any.
        until: latest one, exclusive; None: any.

    Raises:
        ConfigError: a target is malformed or unknown, a time is none, or ``since`` is not before ``until``.
        DatabaseError: the database can't be read.
    """
    first, end = read_span(since, until, utc_now())
    query = known_query(engine, targets)
    query.values["before"] = _BEFORE
    conditions = ""
    for name, instant, operator in (("since", first, ">="), ("until", end, "<")):
        if instant is not None:
            query.values[name] = instant
            conditions += f" AND coalesce(b.uploaded_at, b.first_seen_at) {operator} :{name}"
    seen = "CASE WHEN c.observed_after IS NULL THEN :before ELSE c.observed_at END"
    of_job = "FROM job_changes c WHERE c.project_id = j.project_id AND c.job_id = j.job_id"
    query.define(
        "reached",
        f"""SELECT j.project_id, j.batch_id,
        coalesce(j.created_at, (SELECT {seen} {of_job} ORDER BY c.observed_at LIMIT 1)) AS opened_at,
        (SELECT {seen} {of_job} AND c.annotated + c.approved + c.rejected > 0
            ORDER BY c.observed_at LIMIT 1) AS annotated_at,
        (SELECT c.observed_at {of_job} AND c.approved_delta > 0 AND c.change <> 'restored'
            AND c.observed_after IS NOT NULL ORDER BY c.observed_at DESC LIMIT 1) AS approved_at
    FROM scope p CROSS JOIN jobs j WHERE j.project_id = p.id AND j.batch_id IS NOT NULL""",
    )
    query.define(
        "stage",
        """SELECT project_id, batch_id, nullif(min(opened_at), :before) AS first_job_at,
        nullif(min(annotated_at), :before) AS first_annotated_at, max(approved_at) AS last_approved_at
    FROM reached GROUP BY project_id, batch_id""",
    )
    query.define(
        "batch",
        f"""SELECT p.workspace, p.project, b.batch_id, b.name, coalesce(b.uploaded_at, b.first_seen_at) AS began_at,
        s.first_job_at, s.first_annotated_at, s.last_approved_at
    FROM scope p JOIN batches b ON b.project_id = p.id
    LEFT JOIN stage s ON s.project_id = b.project_id AND s.batch_id = b.batch_id WHERE true{conditions}""",
    )
    reached = ("first_job_at", "first_annotated_at", "last_approved_at")
    sql = f"""
SELECT workspace, project, batch_id, name, began_at, {", ".join(reached)},
    {", ".join(query.dialect.seconds(name, "began_at") for name in reached)}
FROM batch ORDER BY began_at, workspace, project, batch_id"""
    return query.rows("reading the stages of batches", sql, StageRow._make, times=(4, 5, 6, 7))
