"""Every query of docs/sql.md gives what the page shows, on each database that it is for."""

from __future__ import annotations

import re

import pytest

from rfsync.schema.views import VIEWS
from tests.deploy.pages import DOCS, Ask, as_markdown, queries, shown

PAGE = (DOCS / "sql.md").read_text()


@pytest.mark.parametrize(("query", "table"), queries(PAGE, "SQLite"))
def test_sqlite_answers_what_the_page_shows(ask_sqlite: Ask, query: str, table: str) -> None:
    assert as_markdown(*ask_sqlite(query)) == table


@pytest.mark.parametrize(("query", "table"), queries(PAGE, "PostgreSQL"))
def test_postgresql_answers_what_the_page_shows(ask_postgresql: Ask, query: str, table: str) -> None:
    assert as_markdown(*ask_postgresql(query)) == table


def test_no_query_and_no_view_is_left_out() -> None:
    asked = {query for database in ("SQLite", "PostgreSQL") for query, _ in queries(PAGE, database)}
    assert len(asked) == PAGE.count("```sql")
    assert len(queries(PAGE, "SQLite")) == len(queries(PAGE, "PostgreSQL")) == len(shown(PAGE))
    described = re.findall(r"^### `(\w+)`: .*?\n(.*?)(?=\n###? )", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in described] == [*VIEWS]
    for name, text in described:
        assert f"FROM {name}" in text


def test_what_the_page_says_of_times_on_sqlite_is_true(ask_sqlite: Ask) -> None:
    here = "SELECT count(*) FROM change_log WHERE observed_at = '2026-02-01 12:00:00.000000'"
    until = "SELECT count(*) FROM change_log WHERE observed_at <= '{}'"
    ((there,),) = ask_sqlite(here)[1]
    ((whole,),) = ask_sqlite(until.format("2026-02-01 12:00:00.000000"))[1]
    ((short,),) = ask_sqlite(until.format("2026-02-01 12:00:00"))[1]
    ((with_t,),) = ask_sqlite(until.format("2026-02-01T12:00:00.000000"))[1]
    ((day,),) = ask_sqlite(until.format("2026-02-01 23:59:59.999999"))[1]
    assert whole - short == there > 0
    assert with_t == day > whole
    ((computed,),) = ask_sqlite("SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now', '-7 days')")[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", str(computed))
