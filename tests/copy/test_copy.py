"""A database that moves house: all of it arrives, once, or nobody is told that it did."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from filled import dump, fill
from rig import Rig, expire_leases, record
from sqlalchemy import Date, Integer, Text
from sqlalchemy.dialects import postgresql

from rfsync.copy.run import Progress, copy
from rfsync.copy.source import Source
from rfsync.copy.target import Target
from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.errors import ConfigError, CopyError, DatabaseError, SchemaError
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema
from rfsync.schema.models import metadata
from rfsync.schema.types import UTCDateTime

KINDS = ["sqlite", "postgresql"]
NOT_COPIED = {"rate_limits"}


class MakeUrl(Protocol):
    """Makes a database of this kind."""

    def __call__(self, kind: str, *, schema: bool = False) -> str: ...


@pytest.fixture
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> MakeUrl:
    """Makes databases with nothing in them, of a PostgreSQL one also without tables; an SQLite file is not there."""
    numbers = iter(range(100))

    def make(kind: str, *, schema: bool = False) -> str:
        if kind == "postgresql":
            new_postgres: Callable[[str | None], str] = request.getfixturevalue("new_postgres")
            return new_postgres(request.getfixturevalue("postgres_template") if schema else None)
        path = tmp_path / f"{next(numbers)}.db"
        if schema:
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def old(rig: Rig) -> Rig:
    """The database to be copied, with rows in every table, a failure and a person who was forgotten."""
    for project in ("gears", "widgets"):
        fill(rig, project)
    rig.listed = b"no list"
    rig.sync()
    rig.store.addresses.forget("gears@example.com", rig.now)
    rig.listed = [record("widgets-1", 11, name="ünïcødé \t\n\\N 🏷"), record("widgets-2", 10)]
    assert rig.sync().outcome == "changed"
    assert {name for name, rows in dump(rig).items() if not rows} == NOT_COPIED
    return rig


def other_kind(rig: Rig) -> str:
    return "sqlite" if rig.file is None else "postgresql"


@pytest.fixture
def new_url(old: Rig, make_url: MakeUrl) -> str:
    """Of a database of the other kind: a file that does not exist yet, or tables without rows."""
    kind = other_kind(old)
    return make_url(kind, schema=kind == "postgresql")


def move(from_url: str, to_url: str, progress: Progress = lambda *_: None, name: str = "the old one") -> int:
    """As the command does."""
    with (
        closing(open_database(parse_url(from_url), read_only=True)) as source,
        closing(open_database(parse_url(to_url))) as target,
    ):
        return copy(Source(source, name), Target(target, "the new one"), progress, rows_at_once=2)


def structure(url: str) -> list[tuple[object, ...]]:
    """What a database has of tables, indexes, views and triggers."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
    with psycopg.connect(url) as connection:
        return [
            *connection.execute("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
            *connection.execute(
                "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
            ),
            *connection.execute(
                "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
            ),
        ]


def test_everything_arrives_and_the_next_sync_finds_nothing_changed(old: Rig, make_url: MakeUrl) -> None:
    new_url = make_url(other_kind(old))
    steps: list[tuple[str, int, int]] = []
    rows = move(old.text, new_url, lambda *step: steps.append(step))
    before = dump(old)
    assert rows == sum(map(len, before.values()))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    assert {of for _, _, of in steps} == {3 * rows}
    assert structure(new_url) == structure(make_url(other_kind(old), schema=True))
    new = Rig(new_url)
    assert dump(new) == before
    assert verify(new.database.engine).ok
    last = old.value("SELECT max(id) FROM sync_runs")
    new.now, new.project, new.listed, new.jobs = old.now, old.project, old.listed, old.jobs
    new.by_id, new.sync_jobs = old.by_id, old.sync_jobs
    result = new.sync()
    assert (result.outcome, result.run_id) == ("unchanged", last + 1)
    new.listed = [*old.listed, record("new", 3)]  # the roll-ups follow again, and the ledger gives the next number
    assert new.sync().outcome == "changed"
    assert verify(new.database.engine).ok
    new.close()


@pytest.mark.parametrize("kind", KINDS)
def test_both_may_be_of_one_kind_and_the_target_may_have_its_schema(kind: str, make_url: MakeUrl) -> None:
    old = Rig(make_url(kind, schema=True))
    new = Rig(make_url(kind, schema=True))
    fill(old, "widgets")
    # What means nothing in another database is left where it is.
    for rig, digest in ((old, "of the old one"), (new, "of the new one")):
        rig.rows(f"INSERT INTO rate_limits VALUES ('{digest}', '{rig.now}', '{rig.now}')")
        rig.database.close()
    move(old.text, new.text)
    before, after = dump(old), dump(new)
    assert [row[0] for row in after.pop("rate_limits")] == ["of the new one"]
    assert {name: rows for name, rows in before.items() if name not in NOT_COPIED} == after
    for rig in (old, new):
        rig.close()


class Interrupted(Exception):
    """Raised in the middle of a copy."""


def interrupt_at(number: int, then: Callable[[], object] | None = None) -> Progress:
    """Does something at the n-th step of a copy, or ends it there."""
    steps = iter(range(1, 1_000_000))

    def step(*_: object) -> None:
        if next(steps) == number:
            if then is None:
                raise Interrupted
            then()

    return step


def test_ended_after_any_step_it_goes_on_where_it_was(old: Rig, new_url: str) -> None:
    rows, steps, done = sum(map(len, dump(old).values())), 0, 0
    while True:
        seen: list[int] = []

        def step(_: str, done: int, __: int, seen: list[int] = seen) -> None:
            seen.append(done)
            if len(seen) == 4:
                raise Interrupted

        try:
            move(old.text, new_url, step)
        except Interrupted:
            steps += 1
            assert seen[0] > done or done >= rows  # no row is copied twice; comparing begins anew
            done = seen[-1]
            if done >= rows:
                break
    assert steps > 5
    assert move(old.text, new_url) == rows
    with closing(Rig(new_url)) as new:
        assert dump(new) == dump(old)


def test_until_the_end_nothing_else_uses_the_target(old: Rig, new_url: str) -> None:
    """Whatever ends it, and however far it is: the schema, too, is whole before the comparison."""
    for number in (1, 45):
        with pytest.raises(Interrupted):
            move(old.text, new_url, interrupt_at(number))
        with closing(Rig(new_url)) as new:
            new.listed = [record("a")]
            failed = new.sync()
            assert failed.run_id is None
            assert "a copy into the database has not ended" in (failed.row.error or "")
        with closing(open_database(parse_url(new_url))) as database:
            with pytest.raises(SchemaError, match="has not ended"):
                schema.require(database)
            with pytest.raises(SchemaError, match="has not ended"):
                schema.upgrade(database.engine, "copying-" + schema.HEAD)
    move(old.text, new_url)


@pytest.mark.parametrize("moment", ["while rows are copied", "while they are compared"])
def test_a_source_that_is_written_meanwhile_ends_it_and_the_next_one_begins_anew(
    moment: str, old: Rig, new_url: str
) -> None:
    def write() -> None:
        assert old.sync().outcome == "unchanged"

    last = sum(map(len, dump(old).values())) // 2
    with pytest.raises(CopyError, match=r"the old one was written while it was copied.* stop what writes to it"):
        move(old.text, new_url, interrupt_at(3 if moment == "while rows are copied" else last, write))
    with closing(open_database(parse_url(new_url))) as database, pytest.raises(SchemaError):
        schema.require(database)
    move(old.text, new_url)
    with closing(Rig(new_url)) as new:
        assert dump(new) == dump(old)


def test_a_sync_under_way_refuses_it_and_a_dead_one_does_not(old: Rig, new_url: str) -> None:
    errors: list[CopyError] = []

    def try_to_move() -> None:
        with pytest.raises(CopyError) as error:
            move(old.text, new_url)
        errors.append(error.value)

    old.meanwhile = try_to_move
    old.sync()
    assert "a sync of the old one is under way: stop what writes to it" in str(errors[0])
    run = old.store.begin_run(ProjectPath("acme", old.project), None, trigger="cli", at=old.now)
    old.die()
    if old.file is None:
        expire_leases(old.text, [run.id])
    move(old.text, new_url)
    with closing(Rig(new_url)) as new:
        assert new.value(f"SELECT outcome FROM sync_runs WHERE id = {run.id}") == "running"
        assert new.store.abandon_dead_runs(new.now) == 1


def test_what_differs_at_the_end_is_named_and_copied_anew(old: Rig, new_url: str) -> None:
    """As if the disk or somebody had changed a row of the copy."""

    def damage() -> None:
        with closing(open_database(parse_url(new_url))) as database, database.begin("testing") as connection:
            connection.exec_driver_sql("UPDATE batches SET images = images + 1 WHERE batch_id = 'gears-1'")

    compared = sum(map(len, dump(old).values())) // 2 + 3
    with pytest.raises(CopyError, match="the new one is not proved to be equal") as error:
        move(old.text, new_url, interrupt_at(compared, damage))
    details = "\n".join(error.value.details)
    assert "batches: 6 rows in the old one, 6 in the new one, not all equal" in details
    assert "the new one: acme/gears batch gears-1: the ledger says" in details
    assert "sync_runs" not in details
    move(old.text, new_url)
    with closing(Rig(new_url)) as new:
        assert dump(new) == dump(old)


def test_two_copies_into_one_database_are_one(old: Rig, new_url: str) -> None:
    def begin_another() -> None:
        with pytest.raises(Interrupted):
            move(old.text, new_url, interrupt_at(1))

    with pytest.raises(CopyError, match="another rfsync copy into the new one has begun meanwhile"):
        move(old.text, new_url, interrupt_at(5, begin_another))


def test_a_database_with_a_history_is_refused_and_stays_as_it_is(old: Rig, make_url: MakeUrl) -> None:
    other = Rig(make_url(other_kind(old), schema=True))
    other.listed = [record("mine", 1)]
    other.sync()
    before = dump(other)
    with pytest.raises(ConfigError, match=r"the new one has a history of its own .*projects.*: name an empty database"):
        move(old.text, other.text)
    assert dump(other) == before
    assert other.sync().outcome == "unchanged"
    other.close()


def test_an_unfinished_copy_of_something_else_is_refused(old: Rig, make_url: MakeUrl) -> None:
    to_url = make_url(other_kind(old))
    with pytest.raises(Interrupted):
        move(old.text, to_url, interrupt_at(4))
    with closing(Rig(make_url("sqlite", schema=True))) as other:
        other.listed = [record("mine", 1)]
        other.sync()
        with pytest.raises(ConfigError, match="unfinished copy of the old one: finish it, or name an empty"):
            move(other.text, to_url, name="another one")
    with closing(open_database(parse_url(to_url))) as database, database.begin("testing") as connection:
        connection.exec_driver_sql("UPDATE rfsync_version SET version_num = 'copying-9999'")
    with pytest.raises(ConfigError, match="unfinished copy by another version"):
        move(old.text, to_url)


def test_a_source_without_history_or_at_another_schema_is_refused(make_url: MakeUrl) -> None:
    empty, to_url = make_url("sqlite", schema=True), make_url("sqlite")
    with pytest.raises(CopyError, match="has no history yet"):
        move(empty, to_url)
    with closing(open_database(parse_url(empty))) as database, database.begin("testing") as connection:
        connection.exec_driver_sql("UPDATE rfsync_version SET version_num = '0006'")
    with pytest.raises(SchemaError, match=r"the old one: the database is at schema 0006.*: rfsync db upgrade"):
        move(empty, to_url)
    with pytest.raises(DatabaseError, match="there is no database"):
        move(make_url("sqlite"), to_url)
    assert not Path(to_url.removeprefix("sqlite:///")).exists()


def test_each_column_is_of_a_type_that_both_databases_write_alike() -> None:
    """A new type needs a form in ``copy/postgres.py``; a key in text is ordered by code point, on both."""
    for table in metadata.tables.values():
        for column in table.columns:
            assert isinstance(column.type, (Date, Integer, Text, UTCDateTime)), column
            if column.primary_key and isinstance(column.type, Text):
                assert column.type.dialect_impl(postgresql.dialect()).collation == "C", column
