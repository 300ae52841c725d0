"""The databases for `bench.history`: rfsync's with a large ledger, the floor's tables beside it, and a small one."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from bench.job_questions import TABLES as JOB_TABLES
from bench.ledger import build
from bench.questions import TABLES, floor_sql
from bench.rounds import say
from bench.world import Size, World
from rfsync.history.connect import connect
from rfsync.ledger.verify import verify

#: The database that the cost of an insert is compared with.
SMALL = Size(rows=10_000, projects=10, large=4_000, days=60)


class HistoryDatabase(ABC):
    """A large and a small database of one kind, by their URLs."""

    name: str
    dialect: str

    def __init__(self, large: str, small: str) -> None:
        self.large, self.small = large, small

    def fill(self, size: Size) -> None:
        """Build each database unless it exists, and the floor's tables."""
        for url, wanted in ((self.small, SMALL), (self.large, size)):
            if self.exists(url):
                continue
            say(f"{self.name}: building {wanted.rows:,} rows, and {wanted.jobs:,} of jobs")
            began = time.perf_counter()
            self.create(url)
            build(url, wanted)
            say(f"{self.name}: built in {time.perf_counter() - began:.0f} s")
            began = time.perf_counter()
            verdict = verify(connect(url))
            assert verdict.ok, verdict.findings
            say(f"{self.name}: verified in {time.perf_counter() - began:.0f} s")
            if url == self.large:
                self._build_floor(wanted)

    def _build_floor(self, size: Size) -> None:
        """Fill the floor's tables from rfsync's."""
        with self.floor() as cursor:
            if self.dialect == "postgresql":
                cursor.execute("CREATE SCHEMA IF NOT EXISTS floor")
            for statement in (*TABLES, *(JOB_TABLES if size.jobs else ())):
                cursor.execute(floor_sql(statement, self.dialect).replace("{large}", str(World(size).large)))
            self.analyze(cursor)

    @abstractmethod
    def exists(self, url: str) -> bool:
        """Tell if the database has rfsync's tables."""

    @abstractmethod
    def create(self, url: str) -> None:
        """Create an empty database."""

    @abstractmethod
    def floor(self) -> Any:
        """Connect to the floor's tables; a context manager that gives a cursor."""

    @abstractmethod
    def analyze(self, cursor: Any) -> None:
        """Collect the statistics that the floor's queries need."""

    @abstractmethod
    def sizes(self) -> tuple[int, int, str]:
        """Bytes of the ledger with its indexes, bytes of all of rfsync's tables, and the database's version."""


class Sqlite(HistoryDatabase):
    name, dialect = "SQLite", "sqlite"

    def exists(self, url: str) -> bool:
        return _path(url).exists()

    def create(self, url: str) -> None:
        """SQLite creates the file with its tables."""

    @contextmanager
    def floor(self) -> Iterator[Any]:
        path = _path(self.large)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("ATTACH ? AS floor", (str(path.with_suffix(".floor")),))
            yield connection.cursor()

    def analyze(self, cursor: Any) -> None:
        cursor.execute("ANALYZE floor")

    def sizes(self) -> tuple[int, int, str]:
        with closing(sqlite3.connect(_path(self.large))) as connection:
            (whole,) = connection.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ).fetchone()
            (ledger,) = connection.execute(
                "SELECT sum(pgsize) FROM dbstat WHERE aggregate = 1 AND name IN "
                "(SELECT name FROM sqlite_master WHERE tbl_name = 'batch_changes')"
            ).fetchone()
        return ledger, whole, f"SQLite {sqlite3.sqlite_version}"


class Postgres(HistoryDatabase):
    name, dialect = "PostgreSQL", "postgresql"

    def exists(self, url: str) -> bool:
        try:
            with psycopg.connect(url) as connection:
                return connection.execute("SELECT to_regclass('rfsync_version')").fetchone() != (None,)
        except psycopg.OperationalError:
            return False

    def create(self, url: str) -> None:
        address = make_url(url)
        server = address.set(database="postgres").render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {address.database}".encode())

    @contextmanager
    def floor(self) -> Iterator[Any]:
        with psycopg.connect(self.large, autocommit=True, options="-c TimeZone=UTC") as connection:
            yield connection.cursor()

    def analyze(self, cursor: Any) -> None:
        cursor.execute("VACUUM ANALYZE")

    def sizes(self) -> tuple[int, int, str]:
        with psycopg.connect(self.large) as connection:
            row = connection.execute(
                "SELECT pg_total_relation_size('batch_changes')::bigint, "
                "(SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class "
                "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'), "
                "split_part(version(), ' ', 2)"
            ).fetchone()
        assert row is not None
        return row[0], row[1], f"PostgreSQL {row[2]}"


def _path(url: str) -> Path:
    return Path(make_url(url).database or "")
