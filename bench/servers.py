"""The databases of the large ledger: made once, each with the floor's tables beside it, and a small one."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from sqlalchemy import make_url

from bench.ledger import build
from bench.questions import TABLES, floor_sql
from bench.rounds import say
from bench.world import Size, World
from rfsync.database.url import parse_url
from rfsync.history.connect import connect
from rfsync.ledger.verify import verify

#: For the cost of an insert to be compared with.
SMALL = Size(rows=10_000, projects=10, large=4_000, days=60)


class Server(ABC):
    """A database of that size, made unless it is there, and the floor's tables beside it."""

    name: str
    dialect: str

    def __init__(self, url: str, small: str) -> None:
        self.url, self.small = url, small

    def fill(self, size: Size) -> None:
        """Makes what is not there."""
        for url, wanted in ((self.small, SMALL), (self.url, size)):
            if self.exists(url):
                continue
            say(f"{self.name}: building {wanted.rows:,} rows")
            began = time.perf_counter()
            self.make(url)
            build(url, wanted)
            say(f"{self.name}: built in {time.perf_counter() - began:.0f} s")
            began = time.perf_counter()
            verdict = verify(connect(url))
            assert verdict.ok, verdict.findings
            say(f"{self.name}: verified in {time.perf_counter() - began:.0f} s")
            if url == self.url:
                self.make_floor(wanted)

    def make_floor(self, size: Size) -> None:
        """Makes the floor's tables of rfsync's."""
        with self.floor() as cursor:
            if self.dialect == "postgresql":
                cursor.execute("CREATE SCHEMA IF NOT EXISTS floor")
            for statement in TABLES:
                cursor.execute(floor_sql(statement, self.dialect).replace("{large}", str(World(size).large)))
            self.settle(cursor)

    @abstractmethod
    def exists(self, url: str) -> bool:
        """Whether the database is there."""

    @abstractmethod
    def make(self, url: str) -> None:
        """Makes what can't be made by filling it."""

    @abstractmethod
    def floor(self) -> Any:
        """A cursor, for as long as it is needed."""

    @abstractmethod
    def settle(self, cursor: Any) -> None:
        """What keeps the floor quick."""

    @abstractmethod
    def sizes(self) -> tuple[int, int, str]:
        """Bytes of the ledger with its indexes, of everything of rfsync's, and the version."""


class Sqlite(Server):
    name, dialect = "SQLite", "sqlite"

    def exists(self, url: str) -> bool:
        return bool((path := parse_url(url).path) and path.exists())

    def make(self, url: str) -> None:
        """The file is made with its schema."""

    @contextmanager
    def floor(self) -> Iterator[Any]:
        path = parse_url(self.url).path
        assert path is not None
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("ATTACH ? AS floor", (str(path.with_suffix(".floor")),))
            yield connection.cursor()

    def settle(self, cursor: Any) -> None:
        cursor.execute("ANALYZE floor")

    def sizes(self) -> tuple[int, int, str]:
        path = parse_url(self.url).path
        assert path is not None
        with closing(sqlite3.connect(path)) as connection:
            (whole,) = connection.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ).fetchone()
            (ledger,) = connection.execute(
                "SELECT sum(pgsize) FROM dbstat WHERE aggregate = 1 AND name IN "
                "(SELECT name FROM sqlite_master WHERE tbl_name = 'batch_changes')"
            ).fetchone()
        return ledger, whole, f"SQLite {sqlite3.sqlite_version}"


class Postgres(Server):
    name, dialect = "PostgreSQL", "postgresql"

    def exists(self, url: str) -> bool:
        try:
            with psycopg.connect(url) as connection:
                return connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,)
        except psycopg.OperationalError:
            return False

    def make(self, url: str) -> None:
        address = make_url(url)
        server = address.set(database="postgres").render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {address.database}".encode())

    @contextmanager
    def floor(self) -> Iterator[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection.cursor()

    def settle(self, cursor: Any) -> None:
        cursor.execute("VACUUM ANALYZE")

    def sizes(self) -> tuple[int, int, str]:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(
                "SELECT pg_total_relation_size('batch_changes')::bigint, "
                "(SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class "
                "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'), "
                "split_part(version(), ' ', 2)"
            ).fetchone()
        assert row is not None
        return row[0], row[1], f"PostgreSQL {row[2]}"
