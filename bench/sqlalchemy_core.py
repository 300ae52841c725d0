"""The same poll with plain SQLAlchemy Core, as one would write it by hand. `sqlalchemy_core.py API DATABASE PROJECT…`

It keeps batches and a ledger as the floor does, in one transaction with one executemany for each table. As there, no
retries, limits, removals, runs, totals or checks.
"""

import sys
import time
from contextlib import closing
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    MetaData,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    insert,
    make_url,
    select,
    update,
)

from bench.fetch import Fetcher, Row

METADATA = MetaData()
BATCHES = Table(
    "batches",
    METADATA,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("uploaded", BigInteger),
    Column("name", Text),
    Column("images", BigInteger, nullable=False),
    Column("jobs", BigInteger, nullable=False),
)
CHANGES = Table(
    "changes",
    METADATA,
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("jobs", BigInteger, nullable=False),
    Column("images_delta", BigInteger, nullable=False),
    Column("jobs_delta", BigInteger, nullable=False),
)
COLUMNS = BATCHES.columns.keys()
UPDATE = (
    update(BATCHES)
    .where(BATCHES.c.project == bindparam("key_project"), BATCHES.c.id == bindparam("key_id"))
    .values({name: bindparam(name) for name in ("uploaded", "name", "images", "jobs")})
)


def write(engine: Engine, seen: list[Row]) -> None:
    at = time.time_ns() // 1000
    new, changed, changes = [], [], []
    with engine.begin() as connection:
        stored = {(row.project, row.id): row for row in connection.execute(select(BATCHES))}
        for row in seen:
            project, batch_id, uploaded, name, images, jobs = row
            old = stored.get((project, batch_id))
            if old == row:
                continue
            if old is None:
                new.append(dict(zip(COLUMNS, row, strict=True)))
            else:
                changed.append({
                    "key_project": project, "key_id": batch_id,
                    "uploaded": uploaded, "name": name, "images": images, "jobs": jobs,
                })  # fmt: skip
            changes.append({
                "project": project, "id": batch_id, "at": at, "images": images, "jobs": jobs,
                "images_delta": images - (old.images if old else 0), "jobs_delta": jobs - (old.jobs if old else 0),
            })  # fmt: skip
        for statement, rows in ((insert(BATCHES), new), (UPDATE, changed), (insert(CHANGES), changes)):
            if rows:
                connection.execute(statement, rows)


def set_pragmas(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = normal")


def main() -> None:
    api, url, *projects = sys.argv[1:]
    address = make_url(url)
    engine = create_engine(address.set(drivername="postgresql+psycopg") if address.host else address)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", set_pragmas)
    METADATA.create_all(engine)
    with closing(Fetcher(api, projects)) as fetcher:
        write(engine, fetcher.fetch())
    engine.dispose()


if __name__ == "__main__":
    main()
