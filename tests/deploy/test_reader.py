"""The role of deploy/postgres/reader.sql, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import inspect

from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.schema import upgrade as schema
from rfsync.schema.views import VIEWS
from tests.deploy.conftest import DEPLOY, Reader
from tests.e2e.conftest import MakeCli

WRITES = (
    "DELETE FROM batches",
    "UPDATE projects SET images = 0",
    "INSERT INTO sync_runs (id) VALUES (1)",
    "TRUNCATE batch_changes",
    "CREATE TABLE mine (id int)",
    "DROP VIEW sync_health",
    "ALTER TABLE batches ADD COLUMN mine int",
    "CREATE ROLE mine",
)


def test_it_reads_every_table_but_those_of_people_and_every_view(reader: Reader) -> None:
    inspector = inspect(open_engine(parse_url(reader.url), read_only=True))
    names = [*inspector.get_table_names(), *inspector.get_view_names()]
    assert {*names} >= {"projects", "batches", "batch_changes", "project_daily", "sync_runs", *VIEWS}
    with psycopg.connect(reader.url, autocommit=True) as connection:
        for name in {*names} - {"people", "people_key", "rate_limits"}:
            connection.execute(f"SELECT * FROM {name} LIMIT 1".encode())


def test_of_people_it_reads_what_the_views_show(reader: Reader) -> None:
    with psycopg.connect(reader.url, autocommit=True) as connection:
        connection.execute("SELECT id, address, forgotten_at, mode FROM people LEFT JOIN people_key USING (id)")
        hidden = ("SELECT * FROM people", "SELECT digest FROM people", "SELECT secret FROM people_key")
        for query in (*hidden, "SELECT * FROM rate_limits"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query.encode())


def test_an_upgrade_gives_a_role_of_earlier_no_more_of_people(new_postgres: Callable[[str | None], str]) -> None:
    url = new_postgres(None)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE rfsync_reader LOGIN")
        connection.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO rfsync_reader")
    try:
        engine = open_engine(parse_url(url), read_only=False)
        schema.upgrade(engine, None)
        engine.dispose()
        may = "SELECT has_column_privilege('rfsync_reader', '{}', '{}', 'SELECT')"
        with psycopg.connect(url, autocommit=True) as connection:
            found = [
                connection.execute(may.format(table, column).encode()).fetchone()
                for table, column in (
                    *(("people", "address"), ("people", "digest"), ("people_key", "secret")),
                    ("rate_limits", "key_digest"),
                )
            ]
        assert found == [(True,), (False,), (False,), (False,)]
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY rfsync_reader")
            connection.execute("DROP ROLE rfsync_reader")


@pytest.mark.parametrize("statement", WRITES)
def test_it_can_write_nothing_even_where_it_says_that_it_wants_to(reader: Reader, statement: str) -> None:
    with psycopg.connect(reader.url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(statement.encode())
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_what_an_upgrade_makes_anew_can_be_read_at_once(reader: Reader) -> None:
    reader.cli.database.execute(
        "CREATE TABLE later (id int)",
        "DROP VIEW current_batches",
        "CREATE VIEW current_batches AS SELECT 1 AS one",
    )
    with psycopg.connect(reader.url, autocommit=True) as connection:
        assert connection.execute("SELECT * FROM later").fetchall() == []
        assert connection.execute("SELECT * FROM current_batches").fetchall() == [(1,)]


def test_a_superuser_can_run_it_for_an_owner_who_may_not_make_roles(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.database.execute(
        "CREATE ROLE plain", "GRANT CREATE ON SCHEMA public TO plain", "ALTER TABLE projects OWNER TO plain"
    )
    made = Reader(cli)
    made.make()
    cli.database.execute("SET ROLE plain", "CREATE TABLE later (id int)")
    try:
        with psycopg.connect(made.url, autocommit=True) as connection:
            assert connection.execute("SELECT * FROM later").fetchall() == []
    finally:
        cli.database.execute("DROP OWNED BY rfsync_reader, plain CASCADE", "DROP ROLE rfsync_reader, plain")


def test_before_the_first_upgrade_it_says_what_is_missing(new_postgres: Callable[[str | None], str]) -> None:
    with (
        psycopg.connect(new_postgres(None)) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="rfsync db upgrade makes them"),
    ):
        connection.execute((DEPLOY / "postgres" / "reader.sql").read_bytes())


def test_to_run_it_again_does_no_harm(reader: Reader) -> None:
    reader.make()
    with psycopg.connect(reader.url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM sync_health").fetchone() == (0,)


def test_the_commands_that_only_read_need_no_more(reader: Reader) -> None:
    reader.cli.sync()
    for command in ("status", "verify", "jobs", "progress", "work"):
        reader.cli.run(command, "--database", reader.url)
