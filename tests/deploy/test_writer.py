"""The role of deploy/postgres/writer.sql, on a real PostgreSQL: it syncs, and can't change the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from rfsync.database.engine import open_database, open_engine
from rfsync.database.rights import missing_rights
from rfsync.database.url import parse_url
from rfsync.ledger.people import People
from rfsync.schema.models import metadata
from rfsync.worker.rescue import claim_tick, rescue_jobs
from tests.deploy.conftest import DEPLOY
from tests.e2e.conftest import Cli, MakeCli, batch

TABLES = sorted(metadata.tables)
SQL = (DEPLOY / "postgres" / "writer.sql").read_text()


@dataclass(frozen=True)
class Writer:
    """A database with the role of the file."""

    cli: Cli

    @property
    def url(self) -> str:
        """Of that role."""
        return make_url(self.cli.database.url).set(username="rfsync_writer").render_as_string(hide_password=False)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Runs a command as that role; returns its standard error."""
        return self.cli.run(*arguments, "--database", self.url, code=code).err

    def missing(self) -> list[str]:
        with open_engine(parse_url(self.url), read_only=True).connect() as connection:
            return missing_rights(connection, TABLES)


def checks_of(checks: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    return [one for one in checks if one["what"] == what]


@pytest.fixture(params=["public", "labels"])
def writer(
    request: pytest.FixtureRequest,
    make_cli: MakeCli,
    new_postgres: Callable[[str | None], str],
    postgres_template: str,
) -> Iterator[Writer]:
    """On an empty database at this version's schema, whose tables are in ``public`` or elsewhere."""
    made = Writer(make_cli(new_postgres(postgres_template)))
    made.cli.list(batch("b1", 5), batch("b2", 1))
    made.cli.run("db", "upgrade")
    if request.param != "public":
        made.cli.database.execute(f"ALTER SCHEMA public RENAME TO {request.param}", "CREATE SCHEMA public")
    made.cli.database.execute(SQL)
    yield made
    made.cli.database.execute("DROP OWNED BY rfsync_writer", "DROP ROLE rfsync_writer")


def test_it_does_all_that_needs_no_other_schema(writer: Writer) -> None:
    writer.run("sync", "acme/widgets")
    writer.cli.list(batch("b1", 7))
    writer.run("sync", "acme/widgets", "--allow-removals")
    writer.run("prune")
    writer.run("verify")
    writer.run("rename", "acme/widgets", "acme/gears")
    assert writer.missing() == []
    assert "no person of this address" in writer.run("forget", "ann@example.com", code=1)
    # There is nothing to upgrade.
    writer.run("db", "upgrade")


def test_it_works_with_the_queue_of_workers(writer: Writer) -> None:
    with closing(open_database(parse_url(writer.url))) as database, database.begin("testing") as connection:
        worker = connection.exec_driver_sql("SELECT * FROM procrastinate_register_worker_v1()").scalar_one()
        arguments = "'rfsync', 'a', 'a', 'rfsync.poll', 0, 'a', 1, '{\"project\": \"a\"}'"
        job = f"SELECT procrastinate_defer_periodic_job_v2({arguments})"
        assert connection.exec_driver_sql(job).scalar_one() is not None
        fetch = f"SELECT id FROM procrastinate_fetch_job_v2(ARRAY['rfsync']::varchar[], {worker})"
        fetched = connection.exec_driver_sql(fetch).scalar_one()
        assert rescue_jobs(connection, [fetched]) == [(None, "a")]
        assert claim_tick(connection, "rfsync.prune", datetime(2026, 1, 1, tzinfo=UTC))


def test_what_it_may_not_erase_is_left_to_the_owner(writer: Writer) -> None:
    with closing(open_database(parse_url(writer.url))) as database:
        with database.begin("testing") as connection:
            People(connection, "address").resolve(["ann@example.com"])
        is_new = connection.dialect.server_version_info >= (17,)
    if is_new:  # a server before version 17 has no such right to give
        assert writer.run("forget", "ann@example.com") == ""
        schema = writer.cli.database.one("SELECT schemaname FROM pg_tables WHERE tablename = 'people'")
        writer.cli.database.execute(f"REVOKE MAINTAIN ON {schema}.people FROM rfsync_writer")
    told = writer.run("forget", "ann@example.com")
    assert "may still have what was deleted, in dead rows of" in told
    assert "let its owner run VACUUM (ANALYZE) " in told


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE {0}.mine (id int)",
        "DROP TABLE {0}.batches",
        "TRUNCATE {0}.batch_changes",
        "UPDATE {0}.rfsync_version SET version_num = '9'",
    ],
)
def test_it_can_not_change_the_schema(writer: Writer, statement: str) -> None:
    schema = writer.cli.database.one("SELECT schemaname FROM pg_tables WHERE tablename = 'batch_changes'")
    with (
        psycopg.connect(writer.url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.format(schema).encode())


def test_what_an_upgrade_makes_anew_can_be_written_at_once_and_to_run_it_again_does_no_harm(writer: Writer) -> None:
    schema = writer.cli.database.one("SELECT schemaname FROM pg_tables WHERE tablename = 'batch_changes'")
    writer.cli.database.execute(f"CREATE TABLE {schema}.later (id serial, n int)", SQL)
    with psycopg.connect(writer.url, autocommit=True) as connection:
        connection.execute(f"INSERT INTO {schema}.later (n) VALUES (1)".encode())
        # It finds the tables by their names alone.
        assert connection.execute("SELECT count(*) FROM sync_health").fetchone() == (0,)


def test_a_role_with_less_is_told_what_it_lacks(writer: Writer) -> None:
    schema = writer.cli.database.one("SELECT schemaname FROM pg_tables WHERE tablename = 'batch_changes'")
    writer.cli.database.execute(
        f"REVOKE INSERT, DELETE ON {schema}.workspace_daily FROM rfsync_writer",
        f"REVOKE ALL ON SEQUENCE {schema}.sync_runs_id_seq FROM rfsync_writer",
    )
    writer.cli.configure(workspaces=[{"projects": ["widgets"]}])
    checked = writer.cli.run("check", "--json", "--database", writer.url, code=1).json["checks"]
    (database,) = [one for one in checks_of(checked, "database") if not one["ok"]]
    assert "the role rfsync_writer lacks rights that a sync needs: INSERT on workspace_daily" in database["found"]
    assert "writer.sql" in database["remedy"]
    found = writer.missing()
    assert found[:2] == ["INSERT on workspace_daily", "DELETE on workspace_daily"]
    assert [right.rpartition(".")[2] for right in found[2:]] in (["sync_runs_id_seq"], ["USAGE on sync_runs_id_seq"])


def test_several_schemas_with_tables_have_to_be_told_apart(
    new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    with psycopg.connect(new_postgres(postgres_template), autocommit=True) as connection:
        for name in ("one", "two"):
            connection.execute(f"CREATE SCHEMA {name}".encode())
            for table in ("batch_changes", "rfsync_version"):
                connection.execute(f"CREATE TABLE {name}.{table} (id int)".encode())
        connection.execute("SET search_path = nowhere")
        with pytest.raises(psycopg.errors.RaiseException, match="name one, PGOPTIONS=-csearch_path=one"):
            connection.execute(SQL.encode())
