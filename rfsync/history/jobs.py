"""Annotation jobs at a moment, their versions, and their ledger."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Engine

from rfsync.history.arguments import Age, Time, read_age, read_past, read_span, require_count, utc_now
from rfsync.history.job_rows import JobChangeRow, JobRow, JobVersionRow, ProgressRow
from rfsync.history.known import known_query, read_ids
from rfsync.history.people import read_person
from rfsync.history.query import Query, Targets
from rfsync.records import Kind
from rfsync.schema.views import PERSON

#: Joins a job, or a row of its ledger, with its people.
_PEOPLE: Final = "LEFT JOIN people l ON l.id = {0}.labeler_id LEFT JOIN people r ON r.id = {0}.reviewer_id"
_LABELER: Final = PERSON.format("l")
_REVIEWER: Final = PERSON.format("r")


def jobs(
    engine: Engine,
    targets: Targets = None,
    *,
    as_of: Time | None = None,
    status: str | None = None,
    labeler: str | None = None,
    reviewer: str | None = None,
    unchanged_for: Age | None = None,
) -> Iterator[JobRow]:
    """The jobs that existed at a moment, as they were then; by workspace, project and id.

    ``created_at`` is not in the ledger: it is as last reported by the API, also for the past.

    Args:
        as_of: the moment; None: now.
        status: only those with this status then, one of the API's words; None: all.
        labeler, reviewer: only those of this person then: a mail address, ``person-7``, or ``nobody``; None: all.
        unchanged_for: only those of which no change was observed for so long before that moment, such as ``"7d"``.

    Raises:
        ConfigError: a target or person is malformed or unknown, or the moment or the age is none, or in the future.
        DatabaseError: the database can't be read.
    """
    now = utc_now()
    moment = read_past(as_of, "as_of", now)
    age = None if unchanged_for is None else read_age(unchanged_for, "unchanged_for")
    query = known_query(engine, targets)
    people = (read_person(engine, labeler, "labeler"), read_person(engine, reviewer, "reviewer"))
    having, having_then = _restrict(query, status, *people, None if age is None else (moment or now) - age)
    job = "p.workspace, p.project, j.job_id"
    names = f"{_LABELER}, {_REVIEWER}"
    counts = "{0}.num_images, {0}.annotated, {0}.unannotated, {0}.approved, {0}.rejected"
    unchanged = "" if moment is None else "AND j.changed_at <= :as_of"
    sql = f"""
SELECT {job}, j.batch_id, j.name, j.status, {names}, {counts.format("j")}, j.created_at, j.first_seen_at, j.changed_at
FROM scope p CROSS JOIN jobs j {_PEOPLE.format("j")}
WHERE j.project_id = p.id AND j.removed_at IS NULL {unchanged} {having}"""
    if moment is not None:
        query.values["as_of"] = moment
        before = "c.project_id = j.project_id AND c.job_id = j.job_id AND c.observed_at <= :as_of"
        last = query.dialect.seek("job_changes", "c", before, latest_by="observed_at")
        # Those that have changed since then are read from their last ledger row until then.
        sql += f"""
UNION ALL
SELECT {job}, c.batch_id, c.name, c.status, {names}, {counts.format("c")}, j.created_at, j.first_seen_at, c.observed_at
FROM scope p CROSS JOIN jobs j {last} {_PEOPLE.format("c")}
WHERE j.project_id = p.id AND j.first_seen_at <= :as_of AND j.changed_at > :as_of AND c.change <> 'removed'
    {having_then}"""
    return query.rows("reading the jobs", f"{sql}\nORDER BY 1, 2, 3", JobRow._make, times=(13, 14, 15))


def _restrict(
    query: Query, status: str | None, labeler: int | None, reviewer: int | None, unchanged_since: datetime | None
) -> tuple[str, str]:
    """Conditions on a job ``j`` now, and on the last row ``c`` of its ledger until a moment; None: no condition."""
    conditions = {
        "{0}.status = :status": status,
        "coalesce({0}.labeler_id, 0) = :labeler": labeler,
        "coalesce({0}.reviewer_id, 0) = :reviewer": reviewer,
        "{1} <= :unchanged_since": unchanged_since,
    }
    wanted = {condition: value for condition, value in conditions.items() if value is not None}
    query.values.update((condition.rpartition(":")[2], value) for condition, value in wanted.items())
    parts = [[f"AND {one.format(*of)}" for one in wanted] for of in (("j", "j.changed_at"), ("c", "c.observed_at"))]
    return " ".join(parts[0]), " ".join(parts[1])


def job_versions(
    engine: Engine, targets: Targets = None, *, job_ids: str | Sequence[str] | None = None
) -> Iterator[JobVersionRow]:
    """Every version of the jobs, by workspace, project, id and time; while a job is removed it has none.

    Args:
        job_ids: only of these jobs; None: of all.

    Raises:
        ConfigError: a target or job is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    query = known_query(engine, targets)
    conditions = []
    if ids := read_ids(engine, targets, job_ids, Kind.JOB):
        conditions.append(f"c.job_id IN ({query.add_values('j', ids)})")
    query.define(
        "version",
        f"""SELECT p.workspace, p.project, c.*,
        lead(c.observed_at) OVER (PARTITION BY c.project_id, c.job_id ORDER BY c.observed_at) AS valid_to
    FROM scope p {query.ledger(None, None, *conditions, table="job_changes")}""",
    )
    sql = f"""
SELECT workspace, project, v.job_id, v.batch_id, v.observed_at, v.valid_to, v.name, v.status, {_LABELER}, {_REVIEWER},
    v.num_images, v.annotated, v.unannotated, v.approved, v.rejected, v.change
FROM version v {_PEOPLE.format("v")} WHERE v.change <> 'removed'
ORDER BY workspace, project, v.job_id, v.observed_at"""
    return query.rows("reading the versions of the jobs", sql, JobVersionRow._make, times=(4, 5))


def job_changes(
    engine: Engine,
    targets: Targets = None,
    *,
    job_ids: str | Sequence[str] | None = None,
    batch_ids: str | Sequence[str] | None = None,
    since: Time | None = None,
    until: Time | None = None,
    newest_first: bool = False,
    limit: int | None = None,
) -> Iterator[JobChangeRow]:
    """The rows of the ledger of jobs by time.

    Args:
        job_ids: only of these jobs; None: of all.
        batch_ids: only of the jobs whose images are from these batches, as last known; None: of all.
        since: inclusive; None: from the first.
        until: exclusive; None: to the last.
        limit: the most rows to return; None: no limit.

    Raises:
        ConfigError: a target, job or batch is malformed or unknown, a time is none, ``since`` is not before ``until``,
            or ``limit`` is negative.
        DatabaseError: the database can't be read.
    """
    first, end = read_span(since, until, utc_now())
    require_count(limit, "limit")
    query = known_query(engine, targets)
    conditions = []
    if ids := read_ids(engine, targets, job_ids, Kind.JOB):
        conditions.append(f"c.job_id IN ({query.add_values('j', ids)})")
    if ids := read_ids(engine, targets, batch_ids):
        of_batch = f"SELECT project_id, job_id FROM jobs WHERE batch_id IN ({query.add_values('b', ids)})"
        query.define("wanted", f"{of_batch} AND project_id IN (SELECT id FROM scope)")
        conditions.append("c.job_id IN (SELECT w.job_id FROM wanted w WHERE w.project_id = p.id)")
    down = " DESC" if newest_first else ""
    if limit is not None:
        query.values["limit"] = limit
    sql = f"""
SELECT p.workspace, p.project, c.id, c.run_id, c.project_id, c.job_id, c.batch_id, c.observed_after, c.observed_at,
    c.change, c.status, c.labeler_id, c.reviewer_id, c.name,
    c.num_images, c.annotated, c.unannotated, c.approved, c.rejected,
    c.num_images_delta, c.annotated_delta, c.unannotated_delta, c.approved_delta, c.rejected_delta,
    {_LABELER}, {_REVIEWER}
FROM scope p {query.ledger(first, end, *conditions, table="job_changes")} {_PEOPLE.format("c")}
ORDER BY c.observed_at{down}, c.id{down}{"" if limit is None else " LIMIT :limit"}"""
    return query.rows("reading the ledger of jobs", sql, JobChangeRow._make, times=(7, 8))


def progress(engine: Engine, targets: Targets = None) -> Iterator[ProgressRow]:
    """The batches that exist or that a job names that does, and where their images are; by workspace, project and id.

    The last row of a project is that of the jobs that name no batch, if there are any.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    query = known_query(engine, targets)
    counts = ("images", "in_jobs", "annotated", "approved", "rejected")
    query.define(
        f"part (project_id, batch_id, {', '.join(counts)})",
        """SELECT b.project_id, b.batch_id, b.images, 0, 0, 0, 0 FROM scope p CROSS JOIN batches b
    WHERE b.project_id = p.id AND b.removed_at IS NULL
    UNION ALL
    SELECT j.project_id, j.batch_id, 0, j.num_images, j.annotated, j.approved, j.rejected
    FROM scope p CROSS JOIN jobs j WHERE j.project_id = p.id AND j.removed_at IS NULL""",
    )
    sums = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in counts)
    query.define("whole", f"SELECT project_id, batch_id, {sums} FROM part GROUP BY project_id, batch_id")
    sql = f"""
SELECT p.workspace, p.project, s.batch_id, b.name, {", ".join(f"s.{name}" for name in counts)}, s.images + s.in_jobs
FROM whole s JOIN scope p ON p.id = s.project_id
LEFT JOIN batches b ON b.project_id = s.project_id AND b.batch_id = s.batch_id
ORDER BY p.workspace, p.project, CASE WHEN s.batch_id IS NULL THEN 1 ELSE 0 END, s.batch_id"""
    return query.rows("reading the progress", sql, ProgressRow._make)
