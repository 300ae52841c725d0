"""Every query of docs/sql.md gives what the page shows, on each database that it is for."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import psycopg
import pytest

from rfsync.cli import demo
from rfsync.cli.options import Options
from rfsync.config import Config, DatabaseConfig
from rfsync.schema.views import VIEWS
from tests.conftest import DEMO_END, new_databases

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
#: One or two queries, and the table that follows.
SHOWN = re.findall(r"((?:```sql\n(?:(?!```).)*\n```\n\n)+)(\|(?:[^\n]*\|\n)+)", PAGE, re.DOTALL)
Columns, Rows = list[str], list[tuple[object, ...]]
Ask = Callable[[str], tuple[Columns, Rows]]


def queries(database: str) -> list[tuple[str, str]]:
    """The queries of the page that a database is meant to answer, with the tables shown."""
    found = []
    for blocks, table in SHOWN:
        for query in re.findall(r"```sql\n(.*?)\n```", blocks, re.DOTALL):
            mark = re.match(r"-- (PostgreSQL|SQLite)", query)
            if mark is None or mark[1] == database:
                found.append((query, table.strip()))
    return found


def as_markdown(columns: Columns, rows: Rows) -> str:
    cells = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return "" if value is None else value.isoformat() if isinstance(value, date) else str(value)


@pytest.fixture(scope="module")
def sqlite(demo_database: Path) -> Iterator[Ask]:
    """The demo's database."""
    with closing(sqlite3.connect(demo_database)) as connection:

        def ask(sql: str) -> tuple[Columns, Rows]:
            cursor = connection.execute(sql)
            return [column[0] for column in cursor.description], cursor.fetchall()

        yield ask


@pytest.fixture(scope="module")
def postgresql(postgres: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """The same tour into PostgreSQL."""
    with new_databases(postgres) as make:
        url = make(postgres_template)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path_factory.mktemp("tour"))  # where a tour replaces what an earlier one left
            patch.setattr(demo, "_config", lambda: Config(database=DatabaseConfig(url=url)))
            assert demo.tour(Options(), DEMO_END, seed=1) == 0
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET TIME ZONE 'UTC'")

            def ask(sql: str) -> tuple[Columns, Rows]:
                cursor = connection.execute(sql.encode())
                return [column.name for column in cursor.description or ()], cursor.fetchall()

            yield ask


@pytest.mark.parametrize(("query", "table"), queries("SQLite"))
def test_sqlite_answers_what_the_page_shows(sqlite: Ask, query: str, table: str) -> None:
    assert as_markdown(*sqlite(query)) == table


@pytest.mark.parametrize(("query", "table"), queries("PostgreSQL"))
def test_postgresql_answers_what_the_page_shows(postgresql: Ask, query: str, table: str) -> None:
    assert as_markdown(*postgresql(query)) == table


def test_no_query_and_no_view_is_left_out() -> None:
    asked = {query for database in ("SQLite", "PostgreSQL") for query, _ in queries(database)}
    assert len(asked) == PAGE.count("```sql")
    assert len(queries("SQLite")) == len(queries("PostgreSQL")) == len(SHOWN)
    described = re.findall(r"^### `(\w+)`: .*?\n(.*?)(?=\n###? )", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in described] == [*VIEWS]
    for name, text in described:
        assert f"FROM {name}" in text


def test_what_the_page_says_of_times_on_sqlite_is_true(sqlite: Ask) -> None:
    here = "SELECT count(*) FROM change_log WHERE observed_at = '2026-02-01 12:00:00.000000'"
    until = "SELECT count(*) FROM change_log WHERE observed_at <= '{}'"
    ((there,),) = sqlite(here)[1]
    ((whole,),) = sqlite(until.format("2026-02-01 12:00:00.000000"))[1]
    ((short,),) = sqlite(until.format("2026-02-01 12:00:00"))[1]
    ((with_t,),) = sqlite(until.format("2026-02-01T12:00:00.000000"))[1]
    ((day,),) = sqlite(until.format("2026-02-01 23:59:59.999999"))[1]
    assert whole - short == there > 0
    assert with_t == day > whole
    ((computed,),) = sqlite("SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now', '-7 days')")[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", str(computed))
