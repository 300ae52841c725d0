"""The floor: the smallest program that polls, compares and writes ledgers.

`floor.py API DATABASE POLLS LISTS CONCURRENCY PROJECT…`; LISTS is `batches` or `batches+jobs`. No retries, limits,
removals, runs, totals or checks, and people are kept as the text that names them: the distance to rfsync is the price
of those. It imports only what it uses, and runs without a garbage collector.
"""
# ruff: noqa: E402 - the imports alone would cost 10 ms of garbage collection

import gc

gc.disable()

import sqlite3
import sys
import time
from contextlib import closing
from operator import sub
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.fetch import Fetcher, JobRow, Row
from bench.repeat import repeat

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

BATCHES = """CREATE TABLE IF NOT EXISTS batches (project text NOT NULL, id text NOT NULL{key}, uploaded bigint,
    name text, images bigint NOT NULL, jobs bigint NOT NULL)"""
CHANGES = """CREATE TABLE IF NOT EXISTS changes (id text NOT NULL, at bigint NOT NULL, images bigint NOT NULL,
    jobs bigint NOT NULL, images_delta bigint NOT NULL, jobs_delta bigint NOT NULL)"""
JOBS = """CREATE TABLE IF NOT EXISTS jobs (project text NOT NULL, id text NOT NULL{key}, created bigint, name text,
    status text, labeler text, reviewer text, batch text, created_by text, num_images bigint NOT NULL,
    annotated bigint NOT NULL, unannotated bigint NOT NULL, approved bigint NOT NULL, rejected bigint NOT NULL)"""
JOB_CHANGES = """CREATE TABLE IF NOT EXISTS job_changes (id text NOT NULL, at bigint NOT NULL, name text, status text,
    labeler text, reviewer text, batch text, num_images bigint NOT NULL, annotated bigint NOT NULL,
    unannotated bigint NOT NULL, approved bigint NOT NULL, rejected bigint NOT NULL, num_images_delta bigint NOT NULL,
    annotated_delta bigint NOT NULL, unannotated_delta bigint NOT NULL, approved_delta bigint NOT NULL,
    rejected_delta bigint NOT NULL)"""


class List(NamedTuple):
    """A list, its table and its ledger."""

    name: str
    create: str
    columns: tuple[str, ...]
    """Of the table, after project and id."""
    ledger: str
    create_ledger: str
    ledger_width: int
    compare: "Callable[[set[Any], list[Any]], tuple[list[Any], list[Any]]]"
    fetch: "Callable[[Fetcher], list[Any]]"

    def insert(self, sign: str) -> str:
        return f"INTO {self.name} VALUES ({', '.join([sign] * (2 + len(self.columns)))})"

    def upsert(self) -> str:
        new = ", ".join(f"{name} = excluded.{name}" for name in self.columns)
        return f"INSERT {self.insert('%s')} ON CONFLICT (id) DO UPDATE SET {new}"


def compare(stored: set[Row], seen: list[Row]) -> tuple[list[Row], list[tuple[object, ...]]]:
    """Changed rows in the order of the answer: writing a million rows in a set's order takes twice as long."""
    changed = [row for row in seen if row not in stored]
    old = {row[1]: row[4:] for row in stored.difference(seen)}
    at = time.time_ns() // 1000
    changes: list[tuple[object, ...]] = []
    for _, name, _, _, images, jobs in changed:
        images_before, jobs_before = old.get(name, (0, 0))
        changes.append((name, at, images, jobs, images - images_before, jobs - jobs_before))
    return changed, changes


def compare_jobs(stored: set[JobRow], seen: list[JobRow]) -> tuple[list[JobRow], list[tuple[object, ...]]]:
    changed = [row for row in seen if row not in stored]
    old = {row[1]: row[9:] for row in stored.difference(seen)}
    at, nothing = time.time_ns() // 1000, (0, 0, 0, 0, 0)
    changes: list[tuple[object, ...]] = []
    for row in changed:
        counts = row[9:]
        changes.append((row[1], at, *row[3:8], *counts, *map(sub, counts, old.get(row[1], nothing))))
    return changed, changes


LISTS = {
    "batches": List(
        "batches", BATCHES, ("uploaded", "name", "images", "jobs"), "changes", CHANGES, 6, compare, Fetcher.fetch
    ),
    "jobs": List(
        "jobs", JOBS,
        ("created", "name", "status", "labeler", "reviewer", "batch", "created_by", "num_images", "annotated",
         "unannotated", "approved", "rejected"),
        "job_changes", JOB_CHANGES, 17, compare_jobs, Fetcher.fetch_jobs,
    ),
}  # fmt: skip


def open_sqlite(path: str, lists: list[List]) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = wal")
    db.execute("PRAGMA synchronous = normal")
    for one in lists:
        db.execute(one.create.format(key=" PRIMARY KEY"))
        db.execute(one.create_ledger)
    return db


def write_sqlite(db: sqlite3.Connection, lists: list[List], seen: list[list[Any]]) -> None:
    with db:
        for one, rows in zip(lists, seen, strict=True):
            changed, changes = one.compare(set(db.execute(f"SELECT * FROM {one.name}")), rows)
            db.executemany(f"REPLACE {one.insert('?')}", changed)
            db.executemany(f"INSERT INTO {one.ledger} VALUES ({', '.join('?' * one.ledger_width)})", changes)


def open_postgres(url: str, lists: list[List]) -> "psycopg.Connection":
    import psycopg

    db = psycopg.connect(url)
    for one in lists:
        db.execute(one.create.format(key="").encode())
        db.execute(one.create_ledger.encode())
    return db


def write_postgres(db: "psycopg.Connection", lists: list[List], seen: list[list[Any]]) -> None:
    with db.cursor() as cursor:
        for one, rows in zip(lists, seen, strict=True):
            stored = set(cursor.execute(f"SELECT * FROM {one.name}".encode()))
            changed, changes = one.compare(stored, rows)
            if stored:
                cursor.executemany(one.upsert().encode(), changed)
            else:
                copy_in(cursor, one.name, changed)
                cursor.execute(f"ALTER TABLE {one.name} ADD PRIMARY KEY (id)".encode())
            copy_in(cursor, one.ledger, changes)
    db.commit()


def copy_in(cursor: "psycopg.Cursor", table: str, rows: list[Any]) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)


def main() -> None:
    api, url, polls, names, concurrency, *projects = sys.argv[1:]
    lists = [LISTS[name] for name in names.split("+")]
    with closing(Fetcher(api, projects, int(concurrency))) as fetcher:

        def fetch() -> list[list[Any]]:
            return [one.fetch(fetcher) for one in lists]

        if url.startswith("sqlite"):
            with closing(open_sqlite(url.removeprefix("sqlite:///"), lists)) as sqlite:
                repeat(lambda: write_sqlite(sqlite, lists, fetch()), int(polls))
        else:
            with closing(open_postgres(url, lists)) as postgres:
                repeat(lambda: write_postgres(postgres, lists, fetch()), int(polls))


if __name__ == "__main__":
    main()
