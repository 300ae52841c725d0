"""A database that years of polling could have left, with as large a ledger as wanted, in rfsync's own schema.

The rows go in in the order of time, over all projects, so that tables and indexes lie on the disk as they really would.
`verify` proves that the books balance.
"""

import importlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from bench.world import END, FROM, KEPT_DAYS, Project, Size, World
from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.schema import upgrade as schema

_CHANGES = (
    "run_id", "project_id", "batch_id", "observed_after", "observed_at", "change", "images", "num_jobs",
    "images_delta", "num_jobs_delta", "name",
)  # fmt: skip
_RUNS = (
    "id", "project_id", "started_at", "finished_at", "outcome", "batches", "added", "changed", "removed", "restored",
    "images_delta", "num_jobs_delta", "trigger", "attempts", "http_status", "response_bytes",
)  # fmt: skip
_BATCHES = (
    "project_id", "batch_id", "name", "uploaded_at", "images", "num_jobs", "first_seen_at", "changed_at", "removed_at",
)  # fmt: skip
_PROJECTS = (
    "id", "workspace", "project", "name", "batches", "images", "num_jobs", "observed_at", "written_at", "fingerprint",
    "listed",
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
_DAY = {"sqlite": "substr(c.observed_at, 1, 10)", "postgresql": "CAST(c.observed_at AT TIME ZONE 'UTC' AS date)"}


class Sink(Protocol):
    """Where the rows go: nothing is checked but what the tables themselves check, nothing is safe until `close`."""

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Appends rows."""

    def roll_up(self) -> None:
        """Makes the days of the projects and of the workspaces of the ledger."""

    def close(self) -> None:
        """Commits."""


class SqliteSink:
    """A new file."""

    def __init__(self, path: Path) -> None:
        schema.ensure_sqlite(path).close()
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -2000000", "temp_store = memory"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("BEGIN")

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """As `Sink.write`."""
        places = ", ".join("?" * len(columns))
        self._database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)

    def roll_up(self) -> None:
        """As `Sink.roll_up`; the triggers have made the workspaces' days of the projects'."""
        self._database.execute(_ROLL_UPS[0].format(day=_DAY["sqlite"]))

    def close(self) -> None:
        """As `Sink.close`; the file is then as rfsync wants it."""
        self._database.execute("COMMIT")
        self._database.execute("PRAGMA journal_mode = wal")
        self._database.close()


class PostgresSink:
    """An empty database of a server at which one may do anything."""

    def __init__(self, url: str) -> None:
        schema.upgrade(open_engine(parse_url(url), read_only=False), None)
        self._psycopg = importlib.import_module("psycopg")
        self._database = self._psycopg.connect(url, autocommit=True)
        # The triggers stand in for foreign keys, which `verify` checks afterwards.
        for setting in ("session_replication_role = replica", "synchronous_commit = off", "work_mem = '1GB'"):
            self._database.execute(f"SET {setting}")
        self._database.execute("SET TimeZone = 'UTC'")

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """As `Sink.write`."""
        with self._database.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def roll_up(self) -> None:
        """As `Sink.roll_up`."""
        for statement in _ROLL_UPS:
            self._database.execute(statement.format(day=_DAY["postgresql"]))

    def close(self) -> None:
        """As `Sink.close`, and what autovacuum would have done."""
        for table in ("projects", "sync_runs"):
            self._database.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            )
        self._database.execute("VACUUM ANALYZE")
        self._database.close()


def sink(url: str) -> Sink:
    """For an SQLite file that is not there, or an empty PostgreSQL database."""
    path = parse_url(url).path
    return PostgresSink(url) if path is None else SqliteSink(path)


def build(url: str, size: Size) -> None:
    """Fills a new database with a history of that size."""
    with closing(sink(url)) as to:
        world = World(size)
        for changes, runs in world.days():
            to.write("sync_runs", _RUNS, ((*run, "schedule", 1, 200, 150 * run[5]) for run in runs))
            to.write("batch_changes", _CHANGES, changes)
        last = f"{END - timedelta(hours=1):%Y-%m-%d %H:}"
        to.write("projects", _PROJECTS, (_project(p, last) for p in world.projects))
        to.write("batches", _BATCHES, (row for p in world.projects for row in _batches(p)))
        to.write("project_observed", ("project_id", "day", "am", "pm"), _observed(world))
        to.roll_up()


def _project(project: Project, hour: str) -> tuple[Any, ...]:
    # Every project is polled once an hour to the end, the n-th of them after n tenths of a second.
    tenths = project.number
    looked = f"{hour}{tenths // 600:02}:{tenths % 600 // 10:02}.{tenths % 10}00099"
    name = project.name.replace("-", " ").capitalize()
    return (
        project.number, project.workspace, project.name, name, *project.totals, looked, looked, "0" * 64,
        project.totals[0],
    )  # fmt: skip


def _batches(project: Project) -> Iterator[tuple[Any, ...]]:
    """In the order of their ids."""
    for n in sorted(range(len(project.ids)), key=project.ids.__getitem__):
        yield (
            project.number, project.ids[n], project.names[n], project.uploaded[n], project.images[n], project.jobs[n],
            project.first[n], project.changed[n], project.changed[n] if project.removed[n] else None,
        )  # fmt: skip


def _observed(world: World) -> Iterator[tuple[int, str, int, int]]:
    """Of the days whose unchanged runs were deleted: polls all day, on the first from its first."""
    whole = (1 << 48) - 1
    for number in range(world.size.days - KEPT_DAYS):
        day = f"{world.size.first + timedelta(days=number):%Y-%m-%d}"
        am = whole if number else whole >> (FROM // 900) << (FROM // 900)
        for project in world.projects:
            yield project.number, day, am, whole
