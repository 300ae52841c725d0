"""The table of the schema's version, which is rfsync's own: the former one is taken over, and another's left alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import inspect, text

from rfsync.database.engine import open_database, open_engine
from rfsync.database.url import parse_url, sqlite_file
from rfsync.errors import SchemaError
from rfsync.schema import upgrade as schema
from rfsync.schema.models import metadata
from tests.e2e.conftest import MakeCli, make_cli, simulator, world

__all__ = ["make_cli", "simulator", "world"]

TOP = Path(__file__).parents[2]
THEIRS = (
    "CREATE TABLE alembic_version (version_num TEXT, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))",
    "INSERT INTO alembic_version VALUES ('{revision}')",
)


def execute(url: str, *statements: str) -> None:
    with closing(open_database(parse_url(url))) as database, database.begin("testing") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def make_former(url: str) -> None:
    """As versions left it that had no name of their own for the table."""
    execute(url, "DROP TABLE rfsync_version", *(s.format(revision=schema.HEAD) for s in THEIRS))


def versions(url: str) -> dict[str, str]:
    """Table -> the revision in it."""
    with closing(open_database(parse_url(url), read_only=True)) as database, database.begin("testing") as connection:
        tables = {"rfsync_version", "alembic_version"} & set(inspect(connection).get_table_names())
        return {table: connection.scalar(text(f"SELECT version_num FROM {table}")) for table in tables}


def require(url: str) -> None:
    with closing(open_database(parse_url(url), read_only=True)) as database:
        schema.require(database)


def upgrade_by_rfsync(url: str) -> None:
    with closing(open_database(parse_url(url))) as database:
        schema.upgrade(database.engine, schema.HEAD)


def upgrade_by_alembic(url: str) -> None:
    """By hand, with the file at the top of the source tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RFSYNC_DATABASE_URL", url)
        command.upgrade(Config(TOP / "alembic.ini"), "head")


def open_for_a_sync(url: str) -> None:
    path = sqlite_file(parse_url(url))
    if path is not None:
        schema.ensure_sqlite(path).close()
    else:
        upgrade_by_rfsync(url)


Way = Callable[[str], None]
WAYS = [upgrade_by_rfsync, upgrade_by_alembic, open_for_a_sync]


@pytest.mark.parametrize("way", WAYS)
def test_the_former_table_is_taken_over(database_url: str, way: Way) -> None:
    make_former(database_url)
    require(database_url)  # whoever only reads does not mind its name
    assert versions(database_url) == {"alembic_version": schema.HEAD}
    way(database_url)
    assert versions(database_url) == {"rfsync_version": schema.HEAD}
    assert schema.drift(open_engine(parse_url(database_url), read_only=True)) == []
    way(database_url)
    # Another application's alembic can make its own beside it.
    execute(database_url, *(statement.format(revision="theirs") for statement in THEIRS))


def test_rights_to_the_former_table_are_kept(new_postgres: Callable[[str | None], str], postgres_template: str) -> None:
    url = new_postgres(postgres_template)
    make_former(url)
    execute(url, "GRANT SELECT ON alembic_version TO pg_monitor")
    upgrade_by_rfsync(url)
    with psycopg.connect(url) as connection:
        granted = "SELECT has_table_privilege('pg_monitor', 'rfsync_version', 'SELECT')"
        assert connection.execute(granted).fetchone() == (True,)


@pytest.mark.parametrize("revision", ["0001", "ae1027a6acf"])
@pytest.mark.parametrize("way", WAYS)
def test_another_applications_table_is_left_alone(
    tmp_path: Path, new_postgres: Callable[[str | None], str], way: Way, revision: str
) -> None:
    for url in (f"sqlite:///{tmp_path / 'shared.db'}", new_postgres(None)):
        execute(url, *(statement.format(revision=revision) for statement in THEIRS))
        with pytest.raises(SchemaError, match="no schema yet"):
            require(url)
        if way is upgrade_by_rfsync:
            with closing(open_database(parse_url(url))) as database:
                schema.upgrade(database.engine, None)
        else:
            way(url)
        assert versions(url) == {"alembic_version": revision, "rfsync_version": schema.HEAD}
        require(url)


@pytest.mark.parametrize("table", ["rfsync_version", "alembic_version"])
def test_a_newer_versions_database_is_known_by_either_table(database_url: str, table: str) -> None:
    if table == "alembic_version":
        make_former(database_url)
    execute(database_url, f"UPDATE {table} SET version_num = '9999'")
    with pytest.raises(SchemaError, match=r"schema 9999.*install the newer rfsync"):
        require(database_url)
    for way in (upgrade_by_alembic, open_for_a_sync):
        with pytest.raises((CommandError, SchemaError), match=r"schema 9999.*install the newer rfsync"):
            way(database_url)
    assert versions(database_url) == {table: "9999"}


@pytest.mark.parametrize("also", ["", "their alembic's table"])
def test_tables_of_another_application_with_our_names_are_told(
    make_cli: MakeCli, tmp_path: Path, new_postgres: Callable[[str | None], str], also: str
) -> None:
    for url in (f"sqlite:///{tmp_path / 'shared.db'}", new_postgres(None)):
        theirs = [statement.format(revision="0003") for statement in THEIRS] if also else []
        execute(url, "CREATE TABLE projects (id INTEGER, title TEXT)", "CREATE TABLE batches (id INTEGER)", *theirs)
        cli = make_cli(url)
        commands = (
            ["sync", "acme/widgets"], ["sync", "acme/widgets", "--dry-run"], ["status"], ["verify"],
            ["db", "upgrade"], ["db", "current"], ["db", "check"],
        )  # fmt: skip
        for done in cli.run_all(commands, code=3):
            assert "tables of another application with names that rfsync needs (batches, projects)" in done.err
            assert done.err.count("\n") == 1
        assert "tables of another application" in cli.run("check", code=1).out
        assert cli.simulator.requests == []
        with pytest.raises(CommandError, match="tables of another application"):
            upgrade_by_alembic(url)
        tables = inspect(open_engine(parse_url(url), read_only=True)).get_table_names()
        assert set(tables) & set(metadata.tables) == {"batches", "projects"}
