"""The same poll with plain SQLAlchemy Core, as one would write it by hand. `sqlalchemy_core.py API DATABASE PROJECT…`

It fetches and decodes as the floor does, and keeps the same batches and ledger: in one transaction, with an executemany
for each table. It has no retries, limits, removals, runs, totals or checks either.
"""

import sys
import time
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from bench.fetch import Fetcher, Row

METADATA = sa.MetaData()
BATCHES = sa.Table(
    "batches",
    METADATA,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("uploaded", sa.BigInteger),
    sa.Column("name", sa.Text),
    sa.Column("images", sa.BigInteger, nullable=False),
    sa.Column("jobs", sa.BigInteger, nullable=False),
)
CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("images", sa.BigInteger, nullable=False),
    sa.Column("jobs", sa.BigInteger, nullable=False),
    sa.Column("images_delta", sa.BigInteger, nullable=False),
    sa.Column("jobs_delta", sa.BigInteger, nullable=False),
)
COLUMNS = BATCHES.columns.keys()
UPDATE = (
    sa.update(BATCHES)
    .where(BATCHES.c.project == sa.bindparam("key_project"), BATCHES.c.id == sa.bindparam("key_id"))
    .values({name: sa.bindparam(name) for name in ("uploaded", "name", "images", "jobs")})
)


def write(engine: sa.Engine, seen: list[Row]) -> None:
    at = time.time_ns() // 1000
    new, changed, changes = [], [], []
    with engine.begin() as connection:
        # Plain tuples: SQLAlchemy's rows are slower to compare.
        stored = {(row[0], row[1]): tuple(row) for row in connection.execute(sa.select(BATCHES))}
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
            images_before, jobs_before = old[4:] if old else (0, 0)
            changes.append({
                "project": project, "id": batch_id, "at": at, "images": images, "jobs": jobs,
                "images_delta": images - images_before, "jobs_delta": jobs - jobs_before,
            })  # fmt: skip
        for statement, rows in ((sa.insert(BATCHES), new), (UPDATE, changed), (sa.insert(CHANGES), changes)):
            if rows:
                connection.execute(statement, rows)


def set_pragmas(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = normal")


def main() -> None:
    api, url, *projects = sys.argv[1:]
    address = sa.make_url(url)
    engine = sa.create_engine(address.set(drivername="postgresql+psycopg") if address.host else address)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", set_pragmas)
    METADATA.create_all(engine)
    with closing(Fetcher(api, projects)) as fetcher:
        write(engine, fetcher.fetch())
    engine.dispose()


if __name__ == "__main__":
    main()
