"""The queries on the large ledger: rfsync's, and the floor's, which is SQL by hand on minimal tables.

The floor's tables have only the columns and indexes that its queries need. They are filled from rfsync's: a ledger in
the order of time, the versions of each batch, what each project gained and lost on each day, and the days on which it
was observed. For a whole workspace the floor sums up its projects. Its SQL does the same work as rfsync's: it fills
gaps, sums up, and tells observed days from others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine

from bench.world import END
from rfsync import history

TABLES = (
    "DROP TABLE IF EXISTS floor.ledger",
    "DROP TABLE IF EXISTS floor.version",
    "DROP TABLE IF EXISTS floor.day",
    "DROP TABLE IF EXISTS floor.observed",
    """CREATE TABLE floor.ledger (project integer, at {time}, batch text, name text, change text, after {time},
    images integer, jobs integer, di integer, dj integer, run integer)""",
    """INSERT INTO floor.ledger SELECT project_id, observed_at, batch_id, name, change, observed_after, images,
    num_jobs, images_delta, num_jobs_delta, run_id FROM batch_changes ORDER BY id""",
    "CREATE INDEX {schema}ledger_at ON {on}ledger (at)",
    """CREATE TABLE floor.version (project integer, batch text, since {time}, until {time}, name text, images integer,
    jobs integer, uploaded {time}, first {time}, PRIMARY KEY (project, batch, since)){without_rowid}""",
    """INSERT INTO floor.version SELECT * FROM (SELECT c.project_id, c.batch_id, c.observed_at,
        lead(c.observed_at, 1, {never}) OVER (PARTITION BY c.project_id, c.batch_id ORDER BY c.observed_at), c.name,
        c.images, c.num_jobs, b.uploaded_at, b.first_seen_at
        FROM batch_changes c JOIN batches b ON b.project_id = c.project_id AND b.batch_id = c.batch_id
        WHERE c.project_id = {large}) v ORDER BY 1, 2, 3""",
    """DELETE FROM floor.version WHERE (project, batch, since) IN (SELECT project_id, batch_id, observed_at
    FROM batch_changes WHERE project_id = {large} AND change = 'removed')""",
    """CREATE TABLE floor.day (project integer, day {date}, batches integer, ig bigint, il bigint, jg bigint, jl bigint,
    changes integer, PRIMARY KEY (project, day)){without_rowid}""",
    """INSERT INTO floor.day SELECT project_id, day, batches_added - batches_removed, images_gained, images_lost,
    jobs_gained, jobs_lost, changes FROM project_daily ORDER BY 1, 2""",
    "CREATE INDEX {schema}day_day ON {on}day (day, project, batches, ig, il, jg, jl, changes)",
    "CREATE TABLE floor.observed (project integer, day {date}, PRIMARY KEY (project, day)){without_rowid}",
    """INSERT INTO floor.observed SELECT DISTINCT project_id, {day_of} FROM sync_runs
    WHERE outcome IN ('changed', 'unchanged') UNION SELECT project_id, day FROM project_observed ORDER BY 1, 2""",
)
DIALECTS = {
    "sqlite": {
        "time": "text", "date": "text", "schema": "floor.", "on": "", "without_rowid": " WITHOUT ROWID",
        "never": "'9999'", "day_of": "substr(started_at, 1, 10)",
        "next_day": "date(day, '+1 day')", "text": "day", "quarter_day": "substr(start, 1, 10)",
    },
    "postgresql": {
        "time": "timestamptz", "date": "date", "schema": "", "on": "floor.", "without_rowid": "",
        "never": "'infinity'::timestamptz", "day_of": "CAST(started_at AT TIME ZONE 'UTC' AS date)",
        "next_day": "day + 1", "text": "CAST(day AS text)",
        "quarter_day": "CAST(CAST(start AT TIME ZONE 'UTC' AS date) AS text)",
    },
}  # fmt: skip

#: Days without gaps, their running totals, and whether they were observed; {where} selects one project or all.
_DAYS = """WITH RECURSIVE calendar(day) AS (
    SELECT CAST({since} AS {date})
    UNION ALL SELECT {next_day} FROM calendar WHERE {next_day} < CAST({until} AS {date})),
flow AS (SELECT day, sum(batches) AS batches, sum(ig) AS ig, sum(il) AS il, sum(jg) AS jg, sum(jl) AS jl
    FROM floor.day WHERE {where} AND day >= {since} AND day < {until} GROUP BY day),
before AS (SELECT sum(batches) AS batches, sum(ig - il) AS images, sum(jg - jl) AS jobs
    FROM floor.day WHERE {where} AND day < {since})
SELECT {text}, b.batches + coalesce(sum(f.batches) OVER w, 0), b.images + coalesce(sum(f.ig - f.il) OVER w, 0),
    b.jobs + coalesce(sum(f.jg - f.jl) OVER w, 0), coalesce(ig, 0), coalesce(il, 0), coalesce(jg, 0), coalesce(jl, 0),
    EXISTS (SELECT 1 FROM floor.observed o WHERE {where} AND o.day = calendar.day)
FROM calendar LEFT JOIN flow f USING (day) CROSS JOIN before b WINDOW w AS (ORDER BY calendar.day) ORDER BY 1"""


class Query(NamedTuple):
    key: str
    name: str
    run: Callable[[Engine], Iterable[Any]]
    floor: str = ""
    """SQL; empty: there is no floor, and the time is only shown."""
    limit_ms: float | None = None
    columns: Callable[[Any], tuple[Any, ...]] = tuple
    """The columns of rfsync's row that the floor's row has."""
    base: Callable[[Engine], Iterable[Any]] | None = None
    """Another query of rfsync's in the floor's place, whose rows may be different ones."""


def _total(row: history.TotalRow) -> tuple[Any, ...]:
    counts = (row.batches, row.images, row.num_jobs, row.images_gained, row.images_lost, row.jobs_gained, row.jobs_lost)
    return (f"{row.period:%Y-%m-%d}", *counts, row.observed)


def queries(project: str, number: int, workspace_projects: int) -> list[Query]:
    """Queries on the large project and on the whole first workspace, whose projects have the lowest numbers."""
    year = (END - timedelta(days=366), END - timedelta(days=1))
    since, until = (f"'{at:%Y-%m-%d}'" for at in year)
    autumn: Any = {"by": "hour", "since": year[1] - timedelta(days=91), "until": year[1]}
    moment = END - timedelta(days=400, hours=-11)
    a_day = (END - timedelta(days=101), END - timedelta(days=100))  # a Tuesday
    a_week = (END - timedelta(days=107), END - timedelta(days=100))
    in_workspace = f"project <= {workspace_projects}"
    sums = "sum(changes), sum(ig) - sum(il), sum(jg) - sum(jl), sum(ig), sum(il), sum(jg), sum(jl)"
    return [
        Query(
            "project-year", "daily totals of one project over a year",
            lambda e: history.totals(e, project, since=year[0], until=year[1]),
            _DAYS.replace("{where}", f"project = {number}").replace("{since}", since).replace("{until}", until),
            100.0, _total,
        ),
        Query(
            "workspace-year", "daily totals of the whole workspace over a year",
            lambda e: history.totals(e, "acme", since=year[0], until=year[1], summed=True),
            _DAYS.replace("{where}", in_workspace).replace("{since}", since).replace("{until}", until), 100.0, _total,
        ),
        Query(
            "state", "state of a project of 10,000 batches at a past moment",
            lambda e: history.batches(e, project, as_of=moment),
            f"SELECT batch, name, uploaded, images, jobs, first, since FROM floor.version WHERE project = {number} "
            f"AND since <= {literal(moment)} AND until > {literal(moment)} ORDER BY batch",
            columns=lambda r: tuple(r[2:]),
        ),
        Query(
            "changes-day", "changes of a day",
            lambda e: history.changes(e, since=a_day[0], until=a_day[1]),
            f"SELECT batch, name, change, after, at, images, jobs, di, dj, run FROM floor.ledger "
            f"WHERE at >= {literal(a_day[0])} AND at < {literal(a_day[1])} ORDER BY at",
            columns=lambda r: tuple(r[2:]),
        ),
        Query(
            "movers-week", "biggest movers of a week",
            lambda e: history.movers(e, "acme", since=a_week[0], until=a_week[1]),
            f"SELECT {sums} FROM floor.day WHERE {in_workspace} AND day >= '{a_week[0]:%Y-%m-%d}' "
            f"AND day < '{a_week[1]:%Y-%m-%d}' GROUP BY project ORDER BY sum(ig) + sum(il) DESC LIMIT 10",
            columns=lambda r: tuple(r[4:]),
        ),
        Query(
            "movers-batches", "biggest movers of a week among the batches",
            lambda e: history.movers(e, of="batches", since=a_week[0], until=a_week[1]),
            "SELECT count(*), sum(di), sum(dj), sum(max0(di)), sum(max0(-di)), sum(max0(dj)), sum(max0(-dj)) "
            f"FROM floor.ledger WHERE at >= {literal(a_week[0])} AND at < {literal(a_week[1])} "
            "GROUP BY project, batch ORDER BY sum(abs(di)) DESC LIMIT 10",
            columns=lambda r: tuple(r[4:]),
        ),
        Query(
            "project-year-berlin", "the first one by the days of Berlin",
            lambda e: history.totals(e, project, since=year[0], until=year[1], tz="Europe/Berlin"),
        ),
        Query(
            "workspace-year-berlin", "the second one by the days of Berlin (floor: by those of UTC)",
            lambda e: history.totals(e, "acme", since=year[0], until=year[1], tz="Europe/Berlin", summed=True),
            base=lambda e: history.totals(e, "acme", since=year[0], until=year[1], summed=True),
        ),
        Query(
            "workspace-hours-kathmandu", "the hours of a quarter of a year in Kathmandu (floor: in UTC)",
            lambda e: history.totals(e, "acme", **autumn, tz="Asia/Kathmandu", summed=True),
            base=lambda e: history.totals(e, "acme", **autumn, summed=True),
        ),
    ]  # fmt: skip


def literal(at: datetime) -> str:
    """An instant in the floor's SQL."""
    # Without an offset: the floor's session on PostgreSQL is in UTC, and SQLite compares it as text.
    return f"'{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.000000}'"


def floor_sql(sql: str, dialect: str) -> str:
    """The floor's SQL in one dialect."""
    for number in ("di", "-di", "dj", "-dj"):
        larger = "max" if dialect == "sqlite" else "greatest"
        sql = sql.replace(f"max0({number})", f"{larger}(0, {number})")
    for name, value in DIALECTS[dialect].items():
        sql = sql.replace(f"{{{name}}}", value)
    return sql
