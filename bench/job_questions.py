"""The queries on the large ledger of jobs, and the floor's: SQL by hand on minimal tables, as in `bench.questions`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bench.questions import Query, literal
from bench.world import END
from rfsync import history
from rfsync.schema.job_models import JOB_COUNTS
from rfsync.schema.models import LABELER_FLOWS

_DELTAS = tuple(f"{name}_delta" for name in JOB_COUNTS)

TABLES = (
    *(f"DROP TABLE IF EXISTS floor.{name}" for name in ("job_ledger", "job_version", "labeler_day", "jobs_observed")),
    f"""CREATE TABLE floor.job_ledger (project integer, at {{time}}, id bigint, run integer, job text, batch text,
    change text, after {{time}}, name text, status text, labeler text, reviewer text,
    {", ".join(f"{name} integer" for name in (*JOB_COUNTS, *_DELTAS))})""",
    f"""INSERT INTO floor.job_ledger SELECT project_id, observed_at, c.id, run_id, job_id, batch_id, change,
    observed_after, name, status, l.address, r.address, {", ".join((*JOB_COUNTS, *_DELTAS))}
    FROM job_changes c LEFT JOIN people l ON l.id = c.labeler_id LEFT JOIN people r ON r.id = c.reviewer_id
    ORDER BY c.id""",
    "CREATE INDEX {schema}job_ledger_at ON {on}job_ledger (at)",
    """CREATE TABLE floor.job_version (project integer, job text, since {time}, until {time}, batch text, name text,
    status text, labeler text, created {time}, first {time}, num_images integer, annotated integer,
    unannotated integer, approved integer, rejected integer, PRIMARY KEY (project, job, since)){without_rowid}""",
    f"""INSERT INTO floor.job_version SELECT * FROM (SELECT c.project_id, c.job_id, c.observed_at,
        lead(c.observed_at, 1, {{never}}) OVER (PARTITION BY c.project_id, c.job_id ORDER BY c.observed_at),
        c.batch_id, c.name, c.status, p.address, j.created_at, j.first_seen_at,
        {", ".join(f"c.{name}" for name in JOB_COUNTS)}
        FROM job_changes c JOIN jobs j ON j.project_id = c.project_id AND j.job_id = c.job_id
        LEFT JOIN people p ON p.id = c.labeler_id WHERE c.project_id = {{large}}) v ORDER BY 1, 2, 3""",
    """CREATE TABLE floor.labeler_day (project integer, day {date}, labeler integer, jo bigint, ia bigint, ag bigint,
    al bigint, pg bigint, pl bigint, rg bigint, rl bigint, PRIMARY KEY (project, day, labeler)){without_rowid}""",
    f"""INSERT INTO floor.labeler_day SELECT project_id, day, labeler_id, {", ".join(LABELER_FLOWS)} FROM labeler_daily
    ORDER BY 1, 2, 3""",
    "CREATE TABLE floor.jobs_observed (day {date}, project integer, PRIMARY KEY (day, project)){without_rowid}",
    """INSERT INTO floor.jobs_observed SELECT {day_of}, project_id FROM sync_runs
    WHERE outcome IN ('changed', 'unchanged') AND jobs IS NOT NULL
    UNION SELECT day, project_id FROM project_observed WHERE jobs_am <> 0 OR jobs_pm <> 0 ORDER BY 1, 2""",
)
_SUMS = ", ".join(f"sum({name})" for name in ("jo", "ia", "ag", "al", "pg", "pl", "rg", "rl"))
#: Of all workspaces, by the roll-ups that rfsync has: tables made for the floor would be the same.
_FLOWS = ", ".join(f"sum({name})" for name in LABELER_FLOWS)
_EVERY = "workspace IN ('acme', 'other')"
#: Days without gaps, and whether the jobs of some project were observed.
_WORK = f"""WITH RECURSIVE calendar(day) AS (
    SELECT CAST(substr({{since}}, 1, 10) AS {{date}})
    UNION ALL SELECT {{next_day}} FROM calendar WHERE {{next_day}} < CAST(substr({{until}}, 1, 10) AS {{date}})),
flow AS (SELECT {{quarter_day}} AS on_day, {", ".join(f"sum({name}) AS {name}" for name in LABELER_FLOWS)}
    FROM workspace_quarter_hours WHERE {_EVERY} AND start >= {{since}} AND start < {{until}} GROUP BY 1)
SELECT {{text}}, {", ".join(f"coalesce({name}, 0)" for name in LABELER_FLOWS)},
    EXISTS (SELECT 1 FROM floor.jobs_observed o WHERE o.day = calendar.day)
FROM calendar LEFT JOIN flow f ON f.on_day = {{text}} ORDER BY 1"""


def queries(project: str, number: int) -> list[Query]:
    """Queries on the jobs of one project, and of all."""
    year = (END - timedelta(days=366), END - timedelta(days=1))
    since, until = (f"'{at:%Y-%m-%d}'" for at in year)
    autumn = year[1] - timedelta(days=91)
    moment = END - timedelta(days=400, hours=-11)
    a_day = (END - timedelta(days=101), END - timedelta(days=100))  # a Tuesday
    own, days = f"project = {number}", f"day >= {since} AND day < {until}"
    return [
        Query(
            "labelers-year", "a year of each labeler of a project",
            lambda e: history.labelers(e, project, since=year[0], until=year[1]),
            f"SELECT p.address, {_SUMS} FROM floor.labeler_day d LEFT JOIN people p ON p.id = d.labeler "
            f"WHERE {own} AND {days} GROUP BY d.labeler, p.address", 100.0,
        ),
        Query(
            "labelers-year-days", "the same by day",
            lambda e: history.work(e, project, since=year[0], until=year[1], labelers=True), limit_ms=100.0,
        ),
        Query(
            "labelers-year-all", "a year of each labeler of all projects",
            lambda e: history.labelers(e, since=year[0], until=year[1]),
            f"SELECT p.address, {_FLOWS} FROM workspace_labeler_daily d LEFT JOIN people p ON p.id = d.labeler_id "
            f"WHERE {_EVERY} AND {days} GROUP BY d.labeler_id, p.address", 100.0,
        ),
        Query(
            "work-year-all", "the work of a year of all projects, by day",
            lambda e: history.work(e, since=year[0], until=year[1], summed=True),
            _WORK.replace("{since}", literal(year[0])).replace("{until}", literal(year[1])),
            columns=lambda row: (f"{row.period:%Y-%m-%d}", *row[4:13]),
        ),
        Query(
            "jobs-state", "jobs of a project at a past moment",
            lambda e: history.jobs(e, project, as_of=moment),
            f"SELECT job, batch, name, status, labeler, {', '.join(JOB_COUNTS)}, created, first, since "
            "FROM floor.job_version "
            f"WHERE {own} AND num_images > 0 AND since <= {literal(moment)} AND until > {literal(moment)}",
            columns=lambda row: (*row[2:7], *row[8:]),
        ),
        Query(
            "job-changes-day", "changes of jobs of a day",
            lambda e: history.job_changes(e, since=a_day[0], until=a_day[1]),
            f"SELECT * FROM floor.job_ledger WHERE at >= {literal(a_day[0])} AND at < {literal(a_day[1])} "
            "ORDER BY at, id",
            columns=_change,
        ),
        Query(
            "places-year", "where the images of a project were, by week over a year",
            lambda e: history.image_places(e, project, by="week", since=year[0], until=year[1]),
            _places(number, *year), columns=lambda row: (row.approved, row.annotated + row.unannotated + row.rejected),
        ),
        Query(
            "places-quarter-all", "the same of all projects, over three months",
            lambda e: history.image_places(e, by="week", since=autumn, until=year[1], summed=True),
        ),
        Query("open", "open jobs of all projects", lambda e: history.open_jobs(e, limit=None)),
        Query("stages", "how long the batches of a project took", lambda e: history.stages(e, project)),
        Query("falls-day", "why counts fell on a day", lambda e: history.falls(e, since=a_day[0], until=a_day[1])),
    ]  # fmt: skip


def _change(row: history.JobChangeRow) -> tuple[Any, ...]:
    numbers = (getattr(row, name) for name in (*JOB_COUNTS, *_DELTAS))
    what = (row.id, row.run_id, row.job_id, row.batch_id, row.change, row.observed_after, row.name, row.status)
    return (row.project_id, row.observed_at, *what, row.labeler, row.reviewer, *numbers)


def _places(number: int, since: datetime, until: datetime) -> str:
    """Approved images, and the others in jobs, at the end of each week."""
    first = since - timedelta(days=since.weekday())
    weeks = [first + timedelta(days=7 * n) for n in range(1, 60)]
    ends = [min(end, until) for end in weeks if end - timedelta(days=7) < until]
    at = " UNION ALL ".join(f"SELECT CAST({literal(end)} AS {{time}}) AS at" for end in ends)
    return f"""SELECT sum(CASE WHEN approved < num_images THEN approved ELSE num_images END),
    sum(num_images) - sum(CASE WHEN approved < num_images THEN approved ELSE num_images END)
FROM ({at}) w JOIN floor.job_version v ON v.project = {number} AND v.since < w.at AND v.until >= w.at GROUP BY w.at"""
