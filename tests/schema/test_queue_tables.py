"""The tables of the workers' queue, which are procrastinate's: made, upgraded, or another application's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from procrastinate.schema import SchemaManager

from rfsync.database.engine import Database, open_database
from rfsync.database.url import parse_url
from rfsync.errors import SchemaError
from rfsync.schema import queue_tables, upgrade
from rfsync.schema.queue_tables import QueueTables, migrations, require_queue_tables, upgrade_queue_tables
from tests.e2e.conftest import Cli, MakeCli, make_cli, simulator, world

__all__ = ["make_cli", "simulator", "world"]

#: The last of 3.4, before what stands in ``LATER``.
EARLIER = "03.03.00_01_pre_priority_lock_fetch_job"


@pytest.fixture
def bare(new_postgres: Callable[[str | None], str]) -> Iterator[Database]:
    """An empty database."""
    with closing(open_database(parse_url(new_postgres(None)))) as database:
        yield database


def execute(database: Database, *scripts: str) -> None:
    with database.begin("testing") as connection:
        for script in scripts:
            connection.connection.driver_connection.execute(script)  # type: ignore[union-attr]


def functions(database: Database) -> dict[str, str]:
    """The functions and triggers, columns, indexes, types and constraints that there are, by what makes them."""
    with database.begin("testing") as connection:
        rows = connection.exec_driver_sql(
            """SELECT 'function ' || proname, pg_get_functiondef(oid) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
            UNION ALL SELECT 'column ' || c.relname || '.' || a.attname,
                format_type(a.atttypid, a.atttypmod) || a.attnotnull
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
                AND c.relkind IN ('r', 'c') AND a.attnum > 0 AND NOT attisdropped
            UNION ALL SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT 'trigger ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT 'label ' || enumlabel, enumtypid::regtype::text FROM pg_enum"""
        )
        return {str(name): str(made) for name, made in rows}


def make_as_of(database: Database, migration: str) -> None:
    """As an earlier procrastinate has made them: by its migrations up to then."""
    folder = Path(SchemaManager.get_migrations_path())
    scripts = [(folder / f"{name}.sql").read_text() for name in migrations() if name <= migration]
    for script in scripts:
        execute(database, script)


def comment(database: Database, migration: str) -> None:
    execute(database, f"COMMENT ON TABLE procrastinate_jobs IS '{queue_tables._COMMENT}{migration}'")


def test_they_are_made_once_and_are_what_the_migrations_make(bare: Database, new_postgres: Callable[..., str]) -> None:
    with pytest.raises(SchemaError, match="are missing: rfsync db upgrade makes them"):
        require_queue_tables(bare)
    assert upgrade_queue_tables(bare) == QueueTables(exist=True, migration=migrations()[-1], missing=())
    made = functions(bare)
    assert upgrade_queue_tables(bare).problem is None
    require_queue_tables(bare)
    assert functions(bare) == made
    with closing(open_database(parse_url(new_postgres(None)))) as migrated:
        make_as_of(migrated, EARLIER)
        comment(migrated, EARLIER)
        with pytest.raises(SchemaError, match=rf"at procrastinate's {EARLIER}, the installed one needs .*db upgrade"):
            require_queue_tables(migrated)
        assert upgrade_queue_tables(migrated).migration == migrations()[-1]
        assert functions(migrated).keys() >= made.keys()


def test_a_migration_that_fails_leaves_the_ones_before_and_the_next_upgrade_goes_on(
    bare: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upgrade_queue_tables(bare)
    for name in migrations():
        (tmp_path / f"{name}.sql").touch()
    (tmp_path / "90.00.00_01_a.sql").write_text("CREATE TABLE procrastinate_a (id int); SELECT 1;")
    (tmp_path / "90.00.00_02_b.sql").write_text("CREATE TABLE procrastinate_b (id int); SELECT nothing;")
    monkeypatch.setattr(queue_tables, "_migrations_path", lambda: tmp_path)
    with pytest.raises(upgrade.DatabaseError, match='upgrading the tables of the workers\' queue: column "nothing"'):
        upgrade_queue_tables(bare)
    with pytest.raises(SchemaError, match=r"at procrastinate's 90.00.00_01_a, the installed one needs 90.00.00_02_b"):
        require_queue_tables(bare)
    (tmp_path / "90.00.00_02_b.sql").write_text("CREATE TABLE procrastinate_b (id int);")
    assert upgrade_queue_tables(bare).migration == "90.00.00_02_b"


def test_those_of_another_application_are_left_alone(bare: Database) -> None:
    make_as_of(bare, EARLIER)
    before = functions(bare)
    found = upgrade_queue_tables(bare)
    assert (found.exist, found.migration) == (True, None)
    assert functions(bare) == before
    with pytest.raises(SchemaError, match=r"made by another application, and lack procrastinate_\w+"):
        require_queue_tables(bare)
    make_later = [name for name in migrations() if name > EARLIER]
    for name in make_later:
        execute(bare, (Path(SchemaManager.get_migrations_path()) / f"{name}.sql").read_text())
    require_queue_tables(bare)


@pytest.fixture
def cli(make_cli: MakeCli, new_postgres: Callable[[str | None], str]) -> Cli:
    return make_cli(new_postgres(None))


def test_the_command_makes_them_beside_ours_and_checks_them(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.database.execute(
        "CREATE SCHEMA labels", f'ALTER DATABASE "{cli.database.name}" SET search_path = labels, public'
    )
    out = cli.run("db", "upgrade").out
    assert out.endswith(f"The tables of the workers' queue are at procrastinate's {migrations()[-1]}.\n")
    tables = (
        "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'procrastinate\\_%' OR tablename = 'projects'"
    )
    assert cli.database.column(tables) == ["labels"]
    assert cli.run("db", "check").out == "The tables are as they should be.\n"
    cli.database.execute(f"COMMENT ON TABLE procrastinate_jobs IS '{queue_tables._COMMENT}{EARLIER}'")
    assert "rfsync db upgrade brings them there" in cli.run("db", "check", code=3).err


def test_two_upgrades_at_once_make_them_once(bare: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(upgrade_queue_tables, bare) for _ in range(2)]
    assert [upgraded.result().problem for upgraded in both] == [None, None]
