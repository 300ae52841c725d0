"""The models, from which a new SQLite file is made, and the migrations are two ways to one schema."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from filled import dump, fill
from rig import Rig, job, record
from sqlalchemy import Engine, create_engine, inspect, select
from sqlalchemy.exc import IntegrityError

from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.errors import SchemaError
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema
from rfsync.schema.models import WorkspaceQuarterHour, metadata
from rfsync.schema.triggers import create_trigger_statements
from rfsync.schema.views import comment_view_statements, create_view_statements


@contextmanager
def writing(url: str) -> Iterator[Engine]:
    """An engine that writes, closed at the end."""
    engine = open_engine(parse_url(url), read_only=False)
    yield engine
    engine.dispose()


def upgraded(path: Path) -> sqlite3.Connection:
    with writing(f"sqlite:///{path}") as engine:
        schema.upgrade(engine, None)
    return sqlite3.connect(path)


def described(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Name -> definition without its layout; columns and constraints sorted, since a migration adds them at the end."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: sorted(parts(" ".join(sql.split()))) for name, sql in rows}


def parts(definition: str) -> list[str]:
    """Cut at the brackets around all of it and at the commas between them."""
    cut = [""]
    depth = 0
    for character in definition:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if (character, depth) in {("(", 1), (")", 0), (",", 1)}:
            cut.append("")
        else:
            cut[-1] += character
    return [part.strip() for part in cut]


def test_the_newest_migration_is_the_one_that_the_code_needs() -> None:
    assert ScriptDirectory(str(schema.migrations_path())).get_heads() == [schema.HEAD]


def test_migrations_from_nothing_give_what_a_new_sqlite_file_has(tmp_path: Path) -> None:
    schema.ensure_sqlite(tmp_path / "new.db").close()
    assert described(upgraded(tmp_path / "migrated.db")) == described(sqlite3.connect(tmp_path / "new.db"))


PARTS = {
    "columns": """SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'rfsync_version'
        ORDER BY 1, 2""",
    "constraints": """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'rfsync_version' ORDER BY 1, 2""",
    "indexes": """SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        AND tablename <> 'rfsync_version' ORDER BY 1""",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "functions": """SELECT proname, prosrc, proconfig FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace ORDER BY 1""",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "comments": """SELECT c.relname, a.attname, d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND a.attnum > 0
        WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1, 2""",
}


@pytest.mark.parametrize("part", PARTS)
def test_migrations_from_nothing_give_what_the_models_say_on_postgresql(
    part: str, new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    from_models = new_postgres(None)
    engine = create_engine(from_models.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        metadata.create_all(connection)
        for statement in [
            *create_view_statements(),
            *comment_view_statements(),
            *create_trigger_statements("postgresql"),
        ]:
            connection.exec_driver_sql(statement)
    engine.dispose()
    found = []
    for url in (from_models, new_postgres(postgres_template)):
        with psycopg.connect(url) as connection:
            found.append(connection.execute(PARTS[part]).fetchall())
    assert found[0] == found[1]
    assert found[0]


def test_every_table_view_and_column_has_a_comment_on_postgresql(
    new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    with psycopg.connect(new_postgres(postgres_template)) as connection:
        without = connection.execute(
            """SELECT c.relname, a.attname FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND c.relkind = 'r'
                AND NOT a.attisdropped
            WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'rfsync_version'
              AND col_description(c.oid, a.attnum) IS NULL
            UNION ALL
            SELECT c.relname, NULL FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
              AND c.relkind IN ('r', 'v') AND c.relname <> 'rfsync_version' AND obj_description(c.oid) IS NULL"""
        ).fetchall()
    assert without == []


def test_alembic_finds_no_difference(database_url: str) -> None:
    assert schema.drift(open_engine(parse_url(database_url), read_only=True)) == []


def test_alembic_would_find_a_difference(database_url: str) -> None:
    with writing(database_url) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE projects ADD COLUMN stray INTEGER")
        assert "stray" in "".join(schema.drift(engine))


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    with writing(database_url) as engine:
        schema.upgrade(engine, schema.HEAD)
        assert schema.drift(engine) == []


def test_a_database_from_the_future_is_left_alone(database_url: str) -> None:
    with writing(database_url) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE rfsync_version SET version_num = '9999'")
        with pytest.raises(SchemaError, match="install the newer rfsync"):
            schema.upgrade(engine, "9999")


def test_another_programs_sqlite_file_keeps_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.execute("INSERT INTO theirs VALUES (1)")
    connection.close()
    schema.ensure_sqlite(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT * FROM theirs").fetchall() == [(1,)]
    connection.close()
    assert schema.drift(open_engine(parse_url(f"sqlite:///{path}"), read_only=True)) != []


FILLED = """INSERT INTO projects (id, workspace, project, batches, images, num_jobs, observed_at, written_at)
VALUES (1, 'acme', 'widgets', 1, 5, 2, '{at}', '{at}');
INSERT INTO sync_runs (id, project_id, trigger, started_at, finished_at, outcome, added, images_delta, num_jobs_delta)
VALUES (1, 1, 'cli', '{at}', '{at}', 'changed', 1, 5, 2);
INSERT INTO batches (project_id, batch_id, images, num_jobs, first_seen_at, changed_at)
VALUES (1, 'b', 5, 2, '{at}', '{at}');
INSERT INTO batch_changes (run_id, project_id, batch_id, observed_at, change, images, num_jobs, images_delta,
num_jobs_delta) VALUES (1, 1, 'b', '{at}', 'added', 5, 2, 5, 2);
INSERT INTO project_daily VALUES (1, '2026-01-02', 1, 1, 0, 5, 0, 2, 0, 1, 5, 2)"""


#: What came with a revision.
FILLED_SINCE = {
    "0002": "UPDATE projects SET sent_us = 7",
    "0003": "INSERT INTO project_observed (project_id, day, am, pm) VALUES (1, '2026-01-01', 5, 0)",
    "0006": """UPDATE projects SET missing = 1, recheck_from = '{at}';
UPDATE batches SET unlisted_at = '{at}';
INSERT INTO missing_batches (project_id, batch_id, missing_at, asked_at) VALUES (1, 'b', '{at}', '{at}');
INSERT INTO project_renames VALUES (1, 'acme', 'gadgets', '{at}')""",
    "0007": """INSERT INTO people (id, digest) VALUES (1, 'd');
INSERT INTO people_key VALUES (1, 's', 'pseudonym');
INSERT INTO jobs (project_id, job_id, labeler_id, num_images, annotated, unannotated, approved, rejected, first_seen_at,
changed_at) VALUES (1, 'j', 1, 5, 2, 3, 0, 0, '{at}', '{at}');
INSERT INTO job_changes (run_id, project_id, job_id, observed_after, observed_at, change, labeler_id, num_images,
annotated, unannotated, approved, rejected, num_images_delta, annotated_delta, unannotated_delta, approved_delta,
rejected_delta) VALUES (1, 1, 'j', '2026-01-01 00:00:00.000000', '{at}', 'added', 1, 5, 2, 3, 0, 0, 5, 2, 3, 0, 0);
UPDATE projects SET jobs = 1, images_in_jobs = 5, annotated = 2, unannotated = 3, jobs_observed_at = '{at}',
jobs_missing = 1;
UPDATE sync_runs SET jobs = 1, jobs_changed = 1;
INSERT INTO missing_jobs (project_id, job_id, missing_at, asked_at) VALUES (1, 'j', '{at}', '{at}');
INSERT INTO labeler_daily VALUES (1, '2026-01-02', 1, 1, 5, 2, 0, 0, 0, 0, 0)""",
    "0008": "INSERT INTO rate_limits VALUES ('digest', '{at}', '{at}')",
}


def contents(engine: Engine, columns: dict[str, str]) -> dict[str, list[tuple[object, ...]]]:
    """All rows of these tables; their columns, separated by commas."""
    with engine.connect() as connection:
        return {
            table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT {listed} FROM {table}")]
            for table, listed in columns.items()
        }


def test_an_upgrade_from_each_revision_keeps_what_is_there(
    tmp_path: Path, new_postgres: Callable[[str | None], str]
) -> None:
    """Each earlier schema with a bit of everything in it, brought up to this one's."""
    revisions = [r.revision for r in ScriptDirectory(str(schema.migrations_path())).walk_revisions()]
    assert revisions[0] == schema.HEAD
    for number, revision in enumerate(revisions[1:]):
        statements = [FILLED, *(filled for since, filled in FILLED_SINCE.items() if since <= revision)]
        for url, at in (
            (f"sqlite:///{tmp_path / f'{number}.db'}", "2026-01-02 03:04:05.678900"),
            (new_postgres(None), "2026-01-02 03:04:05.678900+00"),
        ):
            with writing(url) as engine:
                schema.upgrade(engine, None, to=revision)
                with engine.begin() as connection:
                    for statement in ";\n".join(statements).format(at=at).split(";\n"):
                        connection.exec_driver_sql(statement)
                    # As these versions called it.
                    connection.exec_driver_sql("ALTER TABLE rfsync_version RENAME TO alembic_version")
                    tables = inspect(connection)
                    columns = {
                        table: ", ".join(
                            column["name"]
                            for column in tables.get_columns(table)
                            if column["name"] in metadata.tables[table].c
                        )
                        for table in tables.get_table_names()
                        if table != "alembic_version"
                    }
                before = contents(engine, columns)
                assert [table for table, rows in before.items() if not rows] == [], revision
                schema.upgrade(engine, revision)
                assert contents(engine, columns) == before, revision
                assert schema.drift(engine) == []
                verdict = verify(engine)
                with engine.connect() as connection:
                    table = WorkspaceQuarterHour
                    found = select(table.workspace, table.start, table.changes, table.annotated_gained)
                    quarter_hours = [tuple(row) for row in connection.execute(found)]
            assert (verdict.ok, verdict.changes, verdict.batches) == (True, 1, 1), verdict.findings
            assert quarter_hours == [("acme", datetime(2026, 1, 2, 3, tzinfo=UTC), 1, 2 * (revision >= "0007"))]


def test_the_sums_that_an_upgrade_makes_are_those_that_the_sync_keeps(rig: Rig) -> None:
    """Two projects whose jobs change hands, grow, are reviewed, vanish and come again, over some days."""
    seeded = random.Random(7)  # noqa: S311 no secret
    for project in ("gears", "widgets"):
        fill(rig, project)
        for _ in range(40):
            chosen = [number for number in range(9) if seeded.random() < 0.7]
            rig.listed = [record(f"b{number}", seeded.randrange(50), number) for number in chosen]
            rig.jobs = []
            for number in chosen:
                annotated = seeded.randrange(20)
                counts = {"approved": seeded.randrange(9), "rejected": seeded.randrange(3)}
                labeler = f"{seeded.randrange(3)}@example.com" if seeded.random() < 0.8 else None
                rig.jobs.append(job(f"j{number}", 20 + seeded.randrange(9), annotated, labeler=labeler, **counts))
            rig.sync(minutes=seeded.randrange(1, 300), allow_removals=True)
    kept = dump(rig)
    made = ("workspace_labeler_daily", "workspace_quarter_hours")
    assert min(len(kept[table]) for table in made) > 20
    with writing(rig.text) as engine:
        with engine.begin() as connection:
            for event in ("insert", "update", "delete"):
                on = " ON labeler_daily" if engine.dialect.name == "postgresql" else ""
                connection.exec_driver_sql(f"DROP TRIGGER workspace_labeler_daily_{event}{on}")
            if on:
                connection.exec_driver_sql("DROP FUNCTION workspace_labeler_daily_follows()")
            for table in made:
                connection.exec_driver_sql(f"DROP TABLE {table}")
            connection.exec_driver_sql("UPDATE rfsync_version SET version_num = '0008'")
        schema.upgrade(engine, "0008")
        assert schema.drift(engine) == []
    assert dump(rig) == kept


def test_what_an_older_version_has_begun_is_refused_once_there_are_sums_that_it_does_not_know(
    tmp_path: Path, new_postgres: Callable[[str | None], str]
) -> None:
    for url, at in (
        (f"sqlite:///{tmp_path / 'old.db'}", "2026-01-02 03:04:05.678900"),
        (new_postgres(None), "2026-01-02 03:04:05.678900+00"),
    ):
        with writing(url) as engine:
            schema.upgrade(engine, None, to="0008")
            with engine.begin() as connection:
                for statement in FILLED.format(at=at).split(";\n"):
                    connection.exec_driver_sql(statement)
                connection.exec_driver_sql(
                    "INSERT INTO sync_runs (id, project_id, trigger, started_at, outcome) "
                    f"VALUES (7, 1, 'cli', '{at}', 'running')"
                )
            schema.upgrade(engine, "0008")
            change = """INSERT INTO batch_changes (run_id, project_id, batch_id, observed_at, change, images, num_jobs,
                images_delta, num_jobs_delta) SELECT 7, 1, batch_id, '2026-01-03 00:00:00+00', 'changed', 1, 0, 0, 0
                FROM batches"""
            with pytest.raises(IntegrityError, match=r"(?i)foreign key|has no row of"), engine.begin() as connection:
                connection.exec_driver_sql(change)
