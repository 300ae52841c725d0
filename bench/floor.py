"""The floor: the least honest code that polls, compares and writes a ledger. `floor.py API DATABASE PROJECT…`

No retries, no limits, no removals, no runs, no totals, nothing checked: what rfsync's other work costs is the distance
between the two. It imports only what it uses, and reads as one script on purpose.
"""

import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import msgspec
import requests

KEY = {"Authorization": "Bearer bench"}
BATCHES = """CREATE TABLE IF NOT EXISTS batches (project text NOT NULL, id text NOT NULL{key}, uploaded bigint,
    name text, images bigint NOT NULL, jobs bigint NOT NULL)"""
CHANGES = """CREATE TABLE IF NOT EXISTS changes (id text NOT NULL, at bigint NOT NULL, images bigint NOT NULL,
    jobs bigint NOT NULL, images_delta bigint NOT NULL, jobs_delta bigint NOT NULL)"""
UPSERT = """INSERT INTO batches VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE
    SET uploaded = excluded.uploaded, name = excluded.name, images = excluded.images, jobs = excluded.jobs"""
Row = tuple[str, str, int, str, int, int]
Change = tuple[str, int, int, int, int, int]


class Uploaded(msgspec.Struct, gc=False):
    seconds: int = msgspec.field(name="_seconds")
    nanoseconds: int = msgspec.field(name="_nanoseconds")

    @property
    def microseconds(self) -> int:
        return self.seconds * 1_000_000 + self.nanoseconds // 1000


class Batch(msgspec.Struct, gc=False):
    id: str
    name: str
    images: int
    jobs: int = msgspec.field(name="numJobs")
    uploaded: Uploaded


class Answer(msgspec.Struct, gc=False):
    batches: list[Batch]


def fetch(session: requests.Session, api: str, project: str) -> list[Row]:
    body = session.get(f"{api}/acme/{project}/batches", headers=KEY).content
    batches = msgspec.json.decode(body, type=Answer).batches
    return [(project, one.id, one.uploaded.microseconds, one.name, one.images, one.jobs) for one in batches]


def fetch_all(api: str, projects: list[str]) -> list[Row]:
    with requests.Session() as session, ThreadPoolExecutor(8) as pool:
        return list(chain.from_iterable(pool.map(partial(fetch, session, api), projects)))


def compare(stored: set[Row], seen: list[Row]) -> tuple[list[Row], list[Change]]:
    """In the order of the answer: writing a million rows in a set's order takes twice as long."""
    changed = [row for row in seen if row not in stored]
    old = {row[1]: row[4:] for row in stored.difference(seen)}
    at = time.time_ns() // 1000
    changes = []
    for _, name, _, _, images, jobs in changed:
        images_before, jobs_before = old.get(name, (0, 0))
        changes.append((name, at, images, jobs, images - images_before, jobs - jobs_before))
    return changed, changes


def poll_sqlite(path: str, seen: list[Row]) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = wal")
    db.execute("PRAGMA synchronous = normal")
    db.execute(BATCHES.format(key=" PRIMARY KEY"))
    db.execute(CHANGES)
    with db:
        stored = set(db.execute("SELECT * FROM batches"))
        changed, changes = compare(stored, seen)
        db.executemany("REPLACE INTO batches VALUES (?, ?, ?, ?, ?, ?)", changed)
        db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", changes)
    db.close()


def poll_postgres(url: str, seen: list[Row]) -> None:
    import psycopg

    with psycopg.connect(url) as db, db.cursor() as cursor:
        cursor.execute(BATCHES.format(key=""))
        cursor.execute(CHANGES)
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


def main() -> None:
    api, database, *projects = sys.argv[1:]
    seen = fetch_all(api, projects)
    if database.startswith("sqlite"):
        poll_sqlite(database.removeprefix("sqlite:///"), seen)
    else:
        poll_postgres(database, seen)


if __name__ == "__main__":
    main()
