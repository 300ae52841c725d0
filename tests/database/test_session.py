"""What a PostgreSQL session inherits changes no value that is stored or read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from rig import Rig, record

from rfsync import history
from rfsync.daemon.metrics import read_totals
from rfsync.database.engine import Database, open_database, open_engine
from rfsync.database.url import parse_url
from rfsync.errors import DatabaseError, ErrorKind
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema


@pytest.fixture
def url(new_postgres: Callable[[str | None], str], postgres_template: str) -> str:
    return new_postgres(postgres_template)


def used(url: str) -> list[Any]:
    """All that can be read after two syncs: the first adds, the second changes, and has nothing to say of names."""
    with closing(Rig(url)) as rig:
        # Enough of them for COPY and for arrays, and of each kind a few for single statements.
        rig.listed = [record(f"b{number:02}", 10, 1) for number in range(12)]
        latest = {**record("latest", 3, 1, "naïve 名 \\ 'x'"), "uploaded": {"_seconds": 253_402_300_799}}
        rig.listed += [latest, record("gone", 1)]
        results = [rig.sync()]
        rig.listed = [record(f"b{number:02}", 9, 2) for number in range(12)] + [record("new", 1), latest]
        results += [rig.sync(), rig.sync()]
        now = rig.now + timedelta(days=1, microseconds=123_457)
        engine = open_engine(rig.url, read_only=True)
        read = [
            history.status(engine),
            history.freshness(engine, now=now),
            list(history.batches(engine)),
            list(history.changes(engine)),
            list(history.totals(engine, by="hour", tz="Europe/Berlin", now=now)),
            list(history.throughput(engine, by="day", window=1, summed=True, now=now)),
            history.backlog(engine, now=now),
            history.waiting(engine, limit=20),
            read_totals(engine),
            verify(engine),
            rig.rows("SELECT * FROM workspace_daily"),
            rig.rows("SELECT * FROM workspace_quarter_hours"),
            list(history.totals(engine, by="hour", tz="Europe/Berlin", summed=True, now=now)),
        ]
        return [[(result.outcome, result.tally, result.error) for result in results], *read]


def set_for_database(url: str, **settings: str) -> None:
    """For all sessions to come."""
    with psycopg.connect(url, autocommit=True) as admin:
        name = sql.Identifier(admin.info.dbname)
        for key, value in settings.items():
            admin.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(key), value))


#: Each would change a value, or end in an error of any type, if it were not set for each transaction.
HARMFUL = {
    "client_encoding": "SQL_ASCII",
    "timezone": "Asia/Tokyo",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "standard_conforming_strings": "off",
    "session_replication_role": "replica",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
}
#: The administrator's: none of them changes a value.
HARMLESS = {
    "backslash_quote": "off",
    "bytea_output": "escape",
    "check_function_bodies": "off",
    "client_min_messages": "debug1",
    "escape_string_warning": "on",
    "jit_above_cost": "0",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "plan_cache_mode": "force_generic_plan",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "synchronous_commit": "off",
    "transform_null_equals": "on",
    "xmlbinary": "hex",
}


@pytest.fixture(scope="session")
def expected(postgres: str, postgres_template: str) -> list[Any]:
    """What is read where nothing is set."""
    from tests.conftest import new_databases

    with new_databases(postgres) as make:
        return used(make(postgres_template))


@pytest.mark.parametrize("setting", HARMFUL)
def test_what_the_database_sets_changes_no_value(url: str, expected: list[Any], setting: str) -> None:
    set_for_database(url, **{setting: HARMFUL[setting]})
    assert used(url) == expected


def test_what_is_left_to_the_administrator_changes_no_value_either(url: str, expected: list[Any]) -> None:
    set_for_database(url, **HARMLESS)
    assert used(url) == expected
    assert schema.drift(open_engine(parse_url(url), read_only=True)) == []


def test_what_the_environment_and_the_url_set_changes_no_value(
    url: str, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "SQL, DMY", "PGCLIENTENCODING": "LATIN1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGOPTIONS", "-c extra_float_digits=-15 -c intervalstyle=iso_8601 -c search_path=pg_catalog")
    assert used(url) == expected


def test_what_the_url_sets_changes_no_value(url: str, expected: list[Any]) -> None:
    options = "-cdatestyle%3DGerman%20-ctimezone%3DAsia/Tokyo%20-carray_nulls%3Doff"
    assert used(f"{url}&client_encoding=LATIN1&options={options}") == expected


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_schema_is_made_whatever_is_set(new_postgres: Callable[[str | None], str], encoding: str) -> None:
    url = new_postgres(None)
    set_for_database(url, **{**HARMFUL, "client_encoding": encoding})
    with closing(Database(open_engine(parse_url(url), read_only=False))) as database:
        schema.upgrade(database.engine, None)
        assert schema.drift(database.engine) == []
        schema.require(database)


def test_triggers_that_may_not_be_switched_on_again_are_told(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        name = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        admin.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(name))
        admin.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(name))
        admin.execute(sql.SQL("ALTER ROLE {} SET session_replication_role = replica").format(name))
        with closing(Rig(url.replace("postgres:@", f"{admin.info.dbname}:@"))) as rig:
            rig.listed = [record("a", 1, 1)]
            result = rig.sync()
        assert result.error_kind == ErrorKind.DATABASE
        assert "session_replication_role" in str(result.error)
        assert admin.execute("SELECT count(*) FROM batches").fetchone() == (0,)
        admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))


def test_all_settings_are_one_round_trip(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    execute = psycopg.Connection.execute

    def note(self: psycopg.Connection, query: Any, *args: Any, **options: Any) -> Any:
        sent.append(str(query))
        return execute(self, query, *args, **options)

    with closing(open_database(parse_url(url))) as database:
        schema.require(database)
        monkeypatch.setattr(psycopg.Connection, "execute", note)
        with database.begin("testing"):
            """Nothing more."""
    assert len(sent) == 1


def test_a_search_path_without_the_tables_is_told_once_and_they_are_found(
    url: str, expected: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(url) as admin:
        admin.execute("CREATE SCHEMA elsewhere CREATE TABLE projects (id text)")
    set_for_database(url, search_path="elsewhere")
    assert used(url) == expected
    warned = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert len(warned) == 2  # of the engine that writes and of the one that reads
    assert all("lacks the schema public" in line for line in warned)


def test_a_schema_that_the_url_names_is_used_beside_another(url: str) -> None:
    named = f"{url}&options=-csearch_path%3Dstaging"
    with psycopg.connect(url) as admin:
        admin.execute("CREATE SCHEMA staging")
    with closing(open_database(parse_url(named))) as database:
        with pytest.raises(DatabaseError, match="no schema yet"):
            schema.require(database)
        schema.upgrade(database.engine, None)
    for one, images in ((url, 5), (named, 7)):
        with closing(Rig(one)) as rig:
            rig.listed = [record("a", images)]
            assert rig.sync().row.images_delta == images
    with psycopg.connect(url) as admin:
        found = admin.execute("SELECT p.images, s.images FROM public.projects p, staging.projects s").fetchall()
    assert found == [(5, 7)]


def test_which_of_two_schemas_is_meant_is_asked_where_neither_is_on_the_path(url: str) -> None:
    with psycopg.connect(url) as admin:
        admin.execute(
            "CREATE SCHEMA other CREATE TABLE rfsync_version (version_num text) CREATE TABLE batch_changes ()"
        )
    set_for_database(url, search_path="nowhere")
    with closing(open_database(parse_url(url))) as database, pytest.raises(DatabaseError, match=r"other, public.*URL"):
        schema.require(database)
    with closing(open_database(parse_url(f"{url}&options=-csearch_path%3Dpublic"))) as database:
        schema.require(database)


def test_temporary_tables_that_another_client_left_in_the_session_are_not_taken_for_ours(url: str) -> None:
    with closing(Rig(url)) as rig:
        rig.listed = [record("a", 1)]
        assert rig.sync().ok
        left = rig.database.engine.raw_connection()
        left.driver_connection.execute("CREATE TEMP TABLE projects (id int)")  # type: ignore[union-attr]
        left.close()
        rig.listed = [record("a", 2)]
        assert rig.sync().row.images_delta == 1
