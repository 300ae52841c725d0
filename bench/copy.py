"""Measure `rfsync copy`, both ways, on a large ledger. See `python -m bench.copy --help`.

The *floor* is the least that moves the rows: one SELECT and one COPY or `executemany` for each table, in one
transaction, into tables without a single key, index or check. It can't be resumed, and proves nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Date, DateTime, Integer

from bench.history import postgres_server
from bench.ledger import build
from bench.measure import BrokenError, Usage, measure
from bench.rounds import say
from bench.table import table, write
from bench.world import Size
from rfsync.copy.rows import copied_tables

AT_ONCE = 20_000
LIMIT_SECONDS = 4 * 3600.0


class Way(NamedTuple):
    """A direction, measured."""

    name: str
    floor_seconds: float
    usage: Usage


def columns(of: Any, *, as_text: bool = False) -> str:
    """The names of a table's columns; instants and days as SQLite has them."""
    if not as_text:
        return ", ".join(f'"{c.name}"' for c in of.columns)
    return ", ".join(
        f"to_char(\"{c.name}\", '{'YYYY-MM-DD' if isinstance(c.type, Date) else 'YYYY-MM-DD HH24:MI:SS.US'}')"
        if isinstance(c.type, Date) or isinstance(getattr(c.type, "impl", None), DateTime)
        else f'"{c.name}"'
        for c in of.columns
    )


def by_hand_to_postgres(path: Path, url: str) -> float:
    """Seconds that the floor takes from SQLite to an empty PostgreSQL database."""
    began = time.perf_counter()
    with closing(sqlite3.connect(path)) as source, psycopg.connect(url) as target:
        for of in copied_tables():
            types = (f'"{c.name}" {"bigint" if isinstance(c.type, Integer) else "text"}' for c in of.columns)
            target.execute(f"CREATE TABLE {of.name} ({', '.join(types)})".encode())
            with target.cursor() as cursor, cursor.copy(f"COPY {of.name} FROM STDIN".encode()) as copy:
                for row in source.execute(f"SELECT {columns(of)} FROM {of.name}"):
                    copy.write_row(row)
    return time.perf_counter() - began


def by_hand_to_sqlite(url: str, path: Path) -> float:
    """Seconds that the floor takes from PostgreSQL to a new SQLite file."""
    began = time.perf_counter()
    with psycopg.connect(url, options="-c TimeZone=UTC") as source, closing(sqlite3.connect(path)) as target:
        target.execute("PRAGMA journal_mode = wal")
        for of in copied_tables():
            target.execute(f"CREATE TABLE {of.name} ({columns(of)})")
            places = ", ".join("?" * len(of.columns))
            with source.cursor(name="rows") as cursor:
                cursor.execute(f"SELECT {columns(of, as_text=True)} FROM {of.name}".encode())
                while rows := cursor.fetchmany(AT_ONCE):
                    target.executemany(f"INSERT INTO {of.name} VALUES ({places})", rows)
        target.commit()
    return time.perf_counter() - began


def move(folder: Path, from_url: str, to_url: str) -> Usage:
    """Run the command from its start to its exit."""
    command = [sys.executable, "-m", "rfsync", "copy", "--from", from_url, "--to", to_url]
    usage = measure(command, dict(os.environ), folder, LIMIT_SECONDS)
    say((folder / "output.txt").read_text().splitlines()[0] + f" {usage.seconds:.0f} s")
    return usage


def report(ways: list[Way], rows: int, size: Size) -> str:
    """The table as Markdown."""
    lines = [
        [
            way.name, f"{way.floor_seconds:.0f} s", f"{way.usage.seconds:.0f} s",
            f"{way.usage.seconds / way.floor_seconds:.1f}", f"{rows / way.usage.seconds:,.0f}",
            f"{way.usage.cpu:.0f} s", f"{way.usage.peak:.0f} MiB",
        ]
        for way in ways
    ]  # fmt: skip
    command = shlex.join(["python", "-m", "bench.copy", *sys.argv[1:]])
    system = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores"
    data = f"{rows:,} rows in all, {size.rows:,} of them in the ledger of batches, {size.jobs:,} in that of jobs"
    headers = ["direction", "floor", "rfsync copy", "× floor", "rows/s", "CPU", "peak"]
    return f"Made by `{command}` with {system}: {data}.\n\n{table(headers, lines)}"


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the ledger (10,000,000)")
    parser.add_argument("--jobs", type=int, default=0, help="rows of the ledger of jobs (0)")
    parser.add_argument("--folder", type=Path, help="where large.db is, or is left for the next time")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table into this file too")
    options = parser.parse_args()
    size = Size(rows=options.rows) if options.rows >= 1_000_000 else Size(options.rows, 20, options.rows // 40, 730)
    size = size._replace(jobs=options.jobs)
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rfsync-bench-")))
        folder.mkdir(exist_ok=True)
        large, back, plain = folder / "large.db", folder / "back.db", folder / "plain.db"
        for path in (back, plain):
            path.unlink(missing_ok=True)
        if not large.exists():
            say(f"building {size.rows:,} rows, and {size.jobs:,} of jobs")
            # Elsewhere: what this process had at most would be taken for what the commands have that it starts.
            builder = get_context("spawn").Process(target=build, args=(f"sqlite:///{large}", size))
            builder.start()
            builder.join()
            if builder.exitcode:
                raise BrokenError("the ledger could not be built")
        url = stack.enter_context(postgres_server(folder))
        with psycopg.connect(url("postgres"), autocommit=True) as admin:
            for name in ("moved", "plain"):
                admin.execute(f"DROP DATABASE IF EXISTS {name}".encode())
                admin.execute(f"CREATE DATABASE {name}".encode())
        ways = [
            Way(
                "SQLite to PostgreSQL",
                by_hand_to_postgres(large, url("plain")),
                move(folder, f"sqlite:///{large}", url("moved")),
            ),
            Way(
                "PostgreSQL to SQLite",
                by_hand_to_sqlite(url("moved"), plain),
                move(folder, url("moved"), f"sqlite:///{back}"),
            ),
        ]
        with closing(sqlite3.connect(back)) as connection:
            rows = sum(connection.execute(f"SELECT count(*) FROM {of.name}").fetchone()[0] for of in copied_tables())
    text = report(ways, rows, size)
    sys.stdout.write(f"{text}\n")
    if options.markdown:
        write(options.markdown, text, "copy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
