"""Builds a database as years of polling would leave it, in rfsync's own schema, with a ledger of any size.

Rows are written in the order of time across all projects, so that tables and indexes are laid out on disk as they would
really be. `verify` proves that the ledger balances.
"""

import importlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import make_url

from bench.databases import create_schema
from bench.job_world import (
    CHANGE_COLUMNS,
    DAY_COLUMNS,
    JOB_COLUMNS,
    PEOPLE,
    RUN_COLUMNS,
    WORK_COLUMNS,
    JobWorld,
    Observed,
)
from bench.world import END, FROM, KEPT_DAYS, Project, Size, World

_CHANGES = (
    "run_id", "project_id", "batch_id", "observed_after", "observed_at", "change", "images", "num_jobs",
    "images_delta", "num_jobs_delta", "name",
)  # fmt: skip
_RUNS = (
    "id", "project_id", "started_at", "finished_at", "outcome", "batches", "added", "changed", "removed", "restored",
    "images_delta", "num_jobs_delta", "trigger", "attempts", "http_status", "response_bytes", "jobs",
)  # fmt: skip
_BATCHES = (
    "project_id", "batch_id", "name", "uploaded_at", "images", "num_jobs", "first_seen_at", "changed_at", "removed_at",
)  # fmt: skip
_PROJECTS = (
    "id", "workspace", "project", "name", "batches", "images", "num_jobs", "observed_at", "written_at", "fingerprint",
    "listed", "jobs", "images_in_jobs", "annotated", "unannotated", "approved", "rejected", "jobs_observed_at",
)  # fmt: skip

_FLOWS = "changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost"
_SUMS = """CAST(count(*) AS bigint) AS changes,
    sum(CASE WHEN c.change IN ('added', 'restored') THEN 1 ELSE 0 END) AS batches_added,
    sum(CASE WHEN c.change = 'removed' THEN 1 ELSE 0 END) AS batches_removed,
    sum(CASE WHEN c.images_delta > 0 THEN c.images_delta ELSE 0 END) AS images_gained,
    -sum(CASE WHEN c.images_delta < 0 THEN c.images_delta ELSE 0 END) AS images_lost,
    sum(CASE WHEN c.num_jobs_delta > 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_gained,
    -sum(CASE WHEN c.num_jobs_delta < 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_lost"""
_ROLL_UPS = (
    f"""INSERT INTO project_daily (project_id, day, {_FLOWS}, batches, images, num_jobs)
SELECT project_id, day, {_FLOWS}, sum(batches_added - batches_removed) OVER w, sum(images_gained - images_lost) OVER w,
    sum(jobs_gained - jobs_lost) OVER w
FROM (SELECT c.project_id, {{day}} AS day, {_SUMS} FROM batch_changes c GROUP BY 1, 2) days
WINDOW w AS (PARTITION BY project_id ORDER BY day) ORDER BY day, project_id""",
    f"""INSERT INTO workspace_daily (workspace, day, {_FLOWS})
SELECT p.workspace, d.day, {", ".join(f"sum(d.{name})" for name in _FLOWS.split(", "))}
FROM project_daily d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2 ORDER BY 1, 2""",
)
# Not by triggers, since the days of labelers are written before the projects.
_LABELERS = f"""INSERT INTO workspace_labeler_daily (workspace, {", ".join(DAY_COLUMNS[1:])})
SELECT p.workspace, d.day, d.labeler_id, {", ".join(f"sum(d.{name})" for name in WORK_COLUMNS)}
FROM labeler_daily d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
# The work is there already, where there was any.
_QUARTER_HOURS = f"""INSERT INTO workspace_quarter_hours (workspace, start, {_FLOWS}, {", ".join(WORK_COLUMNS)})
SELECT p.workspace, {{quarter_hour}}, {_SUMS}, {", ".join("0" for _ in WORK_COLUMNS)}
FROM batch_changes c JOIN projects p ON p.id = c.project_id GROUP BY 1, 2
ON CONFLICT (workspace, start) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _FLOWS.split(", "))}"""
_DAY = {"sqlite": "substr(c.observed_at, 1, 10)", "postgresql": "CAST(c.observed_at AT TIME ZONE 'UTC' AS date)"}
_QUARTER_HOUR = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:00.000000', strftime('%s', c.observed_at) / 900 * 900, 'unixepoch')",
    "postgresql": "to_timestamp(floor(extract(epoch FROM c.observed_at) / 900) * 900)",
}


class Sink(Protocol):
    """A bulk writer into a new database: it checks only the tables' own constraints, and is safe only after `close`."""

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append rows."""

    def roll_up(self) -> None:
        """Compute the daily totals of projects and workspaces from the ledger."""

    def close(self) -> None:
        """Commit, and leave the database as rfsync expects it."""


class SqliteSink:
    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -2000000", "temp_store = memory"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("BEGIN")

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        places = ", ".join("?" * len(columns))
        self._database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)

    def roll_up(self) -> None:
        # Triggers compute the workspaces' days from the projects'.
        self._database.execute(_ROLL_UPS[0].format(day=_DAY["sqlite"]))
        self._database.execute(_LABELERS)
        self._database.execute(_QUARTER_HOURS.format(quarter_hour=_QUARTER_HOUR["sqlite"]))

    def close(self) -> None:
        self._database.execute("COMMIT")
        self._database.execute("PRAGMA journal_mode = wal")
        self._database.close()


class PostgresSink:
    """Needs a superuser."""

    def __init__(self, url: str) -> None:
        self._database = importlib.import_module("psycopg").connect(url, autocommit=True)
        # Without triggers, which stand in for foreign keys; `verify` checks those afterwards.
        for setting in ("session_replication_role = replica", "synchronous_commit = off", "work_mem = '1GB'"):
            self._database.execute(f"SET {setting}")
        self._database.execute("SET TimeZone = 'UTC'")

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        with self._database.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def roll_up(self) -> None:
        for statement in (*_ROLL_UPS, _LABELERS, _QUARTER_HOURS):
            self._database.execute(statement.format(day=_DAY["postgresql"], quarter_hour=_QUARTER_HOUR["postgresql"]))

    def close(self) -> None:
        for table in ("projects", "sync_runs"):
            self._database.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            )
        self._database.execute("VACUUM ANALYZE")  # as autovacuum would have done
        self._database.close()


def open_sink(url: str) -> Sink:
    """Create rfsync's tables in a new SQLite file or an empty PostgreSQL database, and open it."""
    create_schema(url)
    address = make_url(url)
    return SqliteSink(address.database or "") if address.get_backend_name() == "sqlite" else PostgresSink(url)


def build(url: str, size: Size) -> None:
    """Fill a new database with a history of that size."""
    with closing(open_sink(url)) as sink:
        world = World(size)
        jobs = 0 if size.jobs else None
        for changes, runs in world.days():
            sink.write("sync_runs", _RUNS, ((*run, "schedule", 1, 200, 150 * run[5], jobs) for run in runs))
            sink.write("batch_changes", _CHANGES, changes)
        last = f"{END - timedelta(hours=1):%Y-%m-%d %H:}"
        jobs_of = _write_jobs(sink, world) if size.jobs else {}
        sink.write("projects", _PROJECTS, (_project(p, last, jobs_of.get(p.number)) for p in world.projects))
        sink.write("batches", _BATCHES, (row for p in world.projects for row in _batches(p)))
        sink.write("jobs", JOB_COLUMNS, (row for number, of in jobs_of.items() for row in _jobs(number, of)))
        sink.write("project_observed", ("project_id", "day", "am", "pm", "jobs_am", "jobs_pm"), _observed(world))
        sink.roll_up()


def _write_jobs(sink: Sink, world: World) -> dict[int, Observed]:
    """Write the ledger of jobs and what goes with it; the jobs at the end, by the project's number."""
    simulated = JobWorld(world)
    people = ((n, f"labeler-{n:03}@example.com", f"{n:064x}") for n in range(1, PEOPLE + 1))
    sink.write("people", ("id", "address", "digest"), people)
    for changes, runs in simulated.days():
        sink.write("sync_runs", RUN_COLUMNS, runs)
        sink.write("job_changes", CHANGE_COLUMNS, changes)
    days = simulated.days_of_labelers
    sink.write("labeler_daily", DAY_COLUMNS, ((*key, *days[key]) for key in sorted(days)))
    quarters, no_batches = simulated.quarter_hours, (0,) * len(_FLOWS.split(", "))
    columns = ("workspace", "start", *_FLOWS.split(", "), *WORK_COLUMNS)
    sink.write("workspace_quarter_hours", columns, ((*k, *no_batches, *quarters[k]) for k in sorted(quarters)))
    return {project.number: simulated.ended(project) for project in world.projects}


def _jobs(number: int, observed: Observed) -> Iterator[tuple[Any, ...]]:
    for job in observed.jobs:
        yield (
            number, job.id, job.batch, f"job {job.id[:4]}", job.status, job.labeler, None, "API", job.first,
            *job.counts, job.first, job.changed, job.changed if job.removed else None,
        )  # fmt: skip


def _project(project: Project, hour: str, jobs: Observed | None) -> tuple[Any, ...]:
    # The last poll of a project is in the last hour, each a tenth of a second after the one before.
    tenths = project.number
    observed = f"{hour}{tenths // 600:02}:{tenths % 600 // 10:02}.{tenths % 10}00099"
    name = project.name.replace("-", " ").capitalize()
    return (
        project.number, project.workspace, project.name, name, *project.totals, observed, observed, "0" * 64,
        project.totals[0], *(jobs.totals if jobs else (0,) * 6), jobs.at if jobs else None,
    )  # fmt: skip


def _batches(project: Project) -> Iterator[tuple[Any, ...]]:
    """Rows of a project's batches, sorted by id."""
    for n in sorted(range(len(project.ids)), key=project.ids.__getitem__):
        yield (
            project.number, project.ids[n], project.names[n], project.uploaded[n], project.images[n], project.jobs[n],
            project.first[n], project.changed[n], project.changed[n] if project.removed[n] else None,
        )  # fmt: skip


def _observed(world: World) -> Iterator[tuple[int, str, int, int, int, int]]:
    """Days whose unchanged runs were pruned, polled all day; the first day from the first poll on."""
    whole = (1 << 48) - 1
    for number in range(world.size.days - KEPT_DAYS):
        day = f"{world.size.first + timedelta(days=number):%Y-%m-%d}"
        am = whole if number else whole >> (FROM // 900) << (FROM // 900)
        for project in world.projects:
            yield (project.number, day, am, whole, *((am, whole) if world.size.jobs else (0, 0)))
