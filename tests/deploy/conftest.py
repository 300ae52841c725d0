"""The command, the stand-in and the databases of the end-to-end tests, and the role that only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.deploy.pages import Ask, Columns, Rows
from tests.e2e.conftest import Cli, MakeCli, cli, fresh, make_cli, simulator, world

__all__ = ["cli", "fresh", "make_cli", "simulator", "world"]

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True)
class Reader:
    """A PostgreSQL database with the role of ``deploy/postgres/reader.sql``."""

    cli: Cli

    @property
    def url(self) -> str:
        """Of that role."""
        return make_url(self.cli.database.url).set(username="rfsync_reader").render_as_string(hide_password=False)

    def make(self) -> None:
        """Runs the file as the owner."""
        self.cli.database.execute((DEPLOY / "postgres" / "reader.sql").read_text())


@pytest.fixture
def reader(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str, world: object
) -> Iterator[Reader]:
    """On an empty database at this version's schema."""
    made = Reader(make_cli(new_postgres(postgres_template)))
    made.cli.list()
    made.make()
    yield made
    made.cli.database.execute("DROP OWNED BY rfsync_reader", "DROP ROLE rfsync_reader")


@pytest.fixture(scope="session")
def ask_sqlite(demo_database: Path) -> Iterator[Ask]:
    """SQL to the demo's SQLite file."""
    with closing(sqlite3.connect(demo_database)) as connection:

        def ask(sql: str) -> tuple[Columns, Rows]:
            cursor = connection.execute(sql)
            return [column[0] for column in cursor.description], cursor.fetchall()

        yield ask


@pytest.fixture(scope="session")
def ask_postgresql(demo_postgres: str) -> Iterator[Ask]:
    """SQL to the same demo in PostgreSQL."""
    with psycopg.connect(demo_postgres, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")

        def ask(sql: str) -> tuple[Columns, Rows]:
            cursor = connection.execute(sql.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()

        yield ask
