"""The floor: the smallest program that polls, compares and writes a ledger. `floor.py API DATABASE POLLS PROJECT…`

No retries, limits, removals, runs, totals or checks: the distance to rfsync is the price of those. It imports only what
it uses, and runs without a garbage collector.
"""
# ruff: noqa: E402 - the imports alone would cost 10 ms of garbage collection

import gc

gc.disable()

import sqlite3
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from bench.fetch import Fetcher, Row
from bench.repeat import repeat

if TYPE_CHECKING:
    import psycopg

BATCHES = """CREATE TABLE IF NOT EXISTS batches (project text NOT NULL, id text NOT NULL{key}, uploaded bigint,
    name text, images bigint NOT NULL, jobs bigint NOT NULL)"""
CHANGES = """CREATE TABLE IF NOT EXISTS changes (id text NOT NULL, at bigint NOT NULL, images bigint NOT NULL,
    jobs bigint NOT NULL, images_delta bigint NOT NULL, jobs_delta bigint NOT NULL)"""
UPSERT = """INSERT INTO batches VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE
    SET uploaded = excluded.uploaded, name = excluded.name, images = excluded.images, jobs = excluded.jobs"""
Change = tuple[str, int, int, int, int, int]


def compare(stored: set[Row], seen: list[Row]) -> tuple[list[Row], list[Change]]:
    """Changed rows in the order of the answer: writing a million rows in a set's order takes twice as long."""
    changed = [row for row in seen if row not in stored]
    old = {row[1]: row[4:] for row in stored.difference(seen)}
    at = time.time_ns() // 1000
    changes = []
    for _, name, _, _, images, jobs in changed:
        images_before, jobs_before = old.get(name, (0, 0))
        changes.append((name, at, images, jobs, images - images_before, jobs - jobs_before))
    return changed, changes


def open_sqlite(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = wal")
    db.execute("PRAGMA synchronous = normal")
    db.execute(BATCHES.format(key=" PRIMARY KEY"))
    db.execute(CHANGES)
    return db


def write_sqlite(db: sqlite3.Connection, seen: list[Row]) -> None:
    with db:
        changed, changes = compare(set(db.execute("SELECT * FROM batches")), seen)
        db.executemany("REPLACE INTO batches VALUES (?, ?, ?, ?, ?, ?)", changed)
        db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", changes)


def open_postgres(url: str) -> "psycopg.Connection":
    import psycopg

    db = psycopg.connect(url)
    db.execute(BATCHES.format(key=""))
    db.execute(CHANGES)
    return db


def write_postgres(db: "psycopg.Connection", seen: list[Row]) -> None:
    with db.cursor() as cursor:
        stored: set[Row] = set(cursor.execute("SELECT * FROM batches"))
        changed, changes = compare(stored, seen)
        if stored:
            cursor.executemany(UPSERT, changed)
        else:
            with cursor.copy("COPY batches FROM STDIN") as copy:
                for row in changed:
                    copy.write_row(row)
            cursor.execute("ALTER TABLE batches ADD PRIMARY KEY (id)")
        with cursor.copy("COPY changes FROM STDIN") as copy:
            for change in changes:
                copy.write_row(change)
    db.commit()


def main() -> None:
    api, url, polls, *projects = sys.argv[1:]
    with closing(Fetcher(api, projects)) as fetcher:
        if url.startswith("sqlite"):
            with closing(open_sqlite(url.removeprefix("sqlite:///"))) as sqlite:
                repeat(lambda: write_sqlite(sqlite, fetcher.fetch()), int(polls))
        else:
            with closing(open_postgres(url)) as postgres:
                repeat(lambda: write_postgres(postgres, fetcher.fetch()), int(polls))


if __name__ == "__main__":
    main()
