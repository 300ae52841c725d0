"""The file of an SQLite database: exchanged or removed under a living process, or reached by several names."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rig import Rig, record

from rfsync import history
from rfsync.database.engine import open_engine
from rfsync.errors import DatabaseError, ErrorKind
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.run_locks import FileLocks
from rfsync.ledger.store import Store
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rfsync.db"


@pytest.fixture
def rig(path: Path) -> Iterator[Rig]:
    """With a batch of one image in the database, and another one of two in the API."""
    made = Rig(f"sqlite:///{path}")
    made.store.close()
    made.database = schema.ensure_sqlite(path)
    made.run_locks = FileLocks(path)
    made.store = Store(made.database, made.run_locks)
    made.listed = [record("a", 1)]
    assert made.sync().ok
    made.listed = [record("a", 1), record("b", 2)]
    yield made
    made.close()


@pytest.fixture
def backup(rig: Rig, tmp_path: Path) -> Path:
    """Of another database, with a project that has the number of the first one's, and an older ``widgets``."""
    target = tmp_path / "backup.db"
    with closing(Rig(f"sqlite:///{target}")) as other:
        schema.ensure_sqlite(target).close()
        other.project = "gears"
        other.listed = [record("g", 9)]
        assert other.sync().ok
    return target


def exchange(path: Path, backup: Path) -> Path:
    """As an operator restores a backup; gives where the old file is now."""
    old = path.parent / "old"
    old.mkdir()
    for one in path.parent.glob(f"{path.name}*"):
        one.rename(old / one.name)
    shutil.copy(backup, path)
    return old / path.name


def batches(path: Path) -> list[tuple[str, str, int]]:
    """What is stored in a file, with its log."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT project, batch_id, images FROM current_batches ORDER BY 1, 2").fetchall()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR]


def test_a_file_that_is_exchanged_between_two_runs_is_opened_anew(
    rig: Rig, path: Path, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = exchange(path, backup)
    result = rig.sync()
    assert (result.outcome, result.error) == ("changed", None)
    assert rig.sync().outcome == "unchanged"
    assert told(caplog) == [f"another file has taken the place of the database {path}, and is written from now on"]
    assert batches(path) == [("gears", "g", 9), ("widgets", "a", 1), ("widgets", "b", 2)]
    assert batches(old) == [("widgets", "a", 1)]
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_the_locks_of_runs_go_with_the_file(rig: Rig, path: Path, backup: Path) -> None:
    exchange(path, backup)
    found: list[int] = []

    def look() -> None:
        with closing(Rig(f"sqlite:///{path}")) as other:
            found.append(other.store.abandon_dead_runs(other.now))

    rig.meanwhile = look
    assert rig.sync().outcome == "changed"
    assert found == [0]


def test_locks_whose_file_was_removed_are_taken_again_with_the_next_one(rig: Rig, path: Path) -> None:
    def look() -> None:
        path.with_name("rfsync.db-runs").unlink()
        rig.store.begin_run(ProjectPath("acme", "another"), None, "cli", rig.now)
        with closing(Rig(f"sqlite:///{path}")) as other:
            assert other.store.abandon_dead_runs(other.now) == 0

    rig.meanwhile = look
    assert rig.sync().outcome == "changed"


def test_a_run_in_the_middle_of_which_the_file_is_exchanged_writes_nothing(
    rig: Rig, path: Path, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The numbers of its run and its project are those of others there."""
    rig.meanwhile = lambda: exchange(path, backup) and None
    result = rig.sync()
    assert (result.outcome, result.error_kind) == ("failed", ErrorKind.DATABASE)
    assert "in the middle of the run" in str(result.error)
    assert batches(path) == [("gears", "g", 9)]
    assert len(told(caplog)) == 1
    assert rig.sync().outcome == "changed"
    assert batches(path) == [("gears", "g", 9), ("widgets", "a", 1), ("widgets", "b", 2)]
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_link_that_is_turned_to_another_file_is_noticed_too(rig: Rig, path: Path, backup: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with closing(Rig(f"sqlite:///{link}")) as linked:
        linked.listed = [record("a", 1)]
        assert linked.sync().outcome == "unchanged"
        link.unlink()
        link.symlink_to(backup)
        assert linked.sync().outcome == "changed"
    assert batches(backup) == [("gears", "g", 9), ("widgets", "a", 1)]


def test_a_file_that_is_removed_is_not_made_anew(rig: Rig, path: Path) -> None:
    away = path.parent / "away"
    away.mkdir()
    for one in path.parent.glob("rfsync.db*"):
        one.rename(away / one.name)
    for _ in range(2):
        result = rig.sync()
        assert result.error_kind == ErrorKind.DATABASE
        assert f"the database {path} was removed or renamed while it was in use" in str(result.error)
    assert not path.exists()
    for one in away.iterdir():
        one.rename(path.parent / one.name)
    assert rig.sync().outcome == "changed"
    assert batches(path) == [("widgets", "a", 1), ("widgets", "b", 2)]


def make_empty(path: Path) -> None:
    path.touch()


def make_older(path: Path) -> None:
    schema.ensure_sqlite(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE rfsync_version SET version_num = '0001'")


@pytest.mark.parametrize(("make", "message"), [(make_empty, "no schema yet"), (make_older, "at schema 0001")])
def test_a_file_that_takes_the_place_has_to_be_at_this_versions_schema(
    rig: Rig, path: Path, make: Callable[[Path], None], message: str
) -> None:
    other = path.with_name("other.db")
    make(other)
    exchange(path, other)
    for _ in range(2):
        result = rig.sync()
        assert result.error_kind == ErrorKind.DATABASE
        assert message in str(result.error)


def test_a_reader_reads_the_file_that_is_there(
    rig: Rig, path: Path, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(rig.url, read_only=True)
    assert [row.project for row in history.status(engine)] == ["widgets"]
    exchange(path, backup)
    assert [row.project for row in history.status(engine)] == ["gears"]
    assert told(caplog) == [f"another file has taken the place of the database {path}, and is read from now on"]
    path.unlink()
    with pytest.raises(DatabaseError, match="was removed or renamed"):
        history.status(engine)


def test_a_file_and_a_link_to_it_are_one_database(rig: Rig, path: Path, tmp_path: Path) -> None:
    """A living run is told by a lock beside the file, which is not beside a link to it."""
    linked_folder = tmp_path / "folder"
    linked_folder.symlink_to(path.parent)
    link = tmp_path / "elsewhere.db"
    link.symlink_to(path)
    for name in (link, linked_folder / path.name):
        with closing(Rig(f"sqlite:///{name}")) as other:
            run = other.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", other.now)
            assert rig.store.abandon_dead_runs(rig.now) == 0
            other.store.write(run, lambda _: None)
        assert rig.store.abandon_dead_runs(rig.now) == 1


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_with_several_names_is_refused(rig: Rig, path: Path, read_only: bool) -> None:
    rig.close()
    os.link(path, path.with_name("second.db"))
    engine = open_engine(rig.url, read_only=read_only)
    with pytest.raises(DatabaseError, match="has 2 names"):
        engine.connect()
    with pytest.raises(DatabaseError, match="has 2 names"):
        schema.ensure_sqlite(path)
    path.with_name("second.db").unlink()
    engine.connect().close()
    engine.dispose()
