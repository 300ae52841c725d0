"""An SQLite file that somebody else is writing to."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import Rig, record
from sqlalchemy import Connection, event

from rfsync.database import sqlite
from rfsync.database.engine import open_engine
from rfsync.errors import DatabaseError, ErrorKind, TransientDatabaseError
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema
from rfsync.sync.result import Result


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    schema.ensure_sqlite(tmp_path / "rfsync.db").close()
    made = Rig(f"sqlite:///{tmp_path / 'rfsync.db'}")
    made.listed = [record("a", 1, 1)]
    assert made.sync().ok
    made.listed = [record("a", 2, 1)]
    yield made
    made.close()


@contextlib.contextmanager
def writing(rig: Rig) -> Iterator[sqlite3.Connection]:
    """Somebody else is in the middle of a transaction."""
    assert rig.file is not None
    with contextlib.closing(sqlite3.connect(rig.file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_writer_that_takes_longer_than_the_lock_timeout(rig: Rig) -> None:
    """He comes while the answer is on its way, so that not even the failure can be written down."""
    rig.restart(retry_seconds=0.1)
    with contextlib.ExitStack() as stack:
        rig.meanwhile = lambda: stack.enter_context(writing(rig)) and None
        result = rig.sync()
        assert (result.outcome, result.error_kind) == ("failed", ErrorKind.DATABASE)
        assert result.error is not None
        assert "locked" in result.error
        # And nobody waits for him a second time.
        assert rig.sync().error_kind == ErrorKind.DATABASE
    assert rig.state() == {"a": (1, 1)}
    assert rig.sync().row.images_delta == 1
    # The run whose end could not be written is over, and found so although its process lives.
    assert rig.rows("SELECT outcome FROM sync_runs ORDER BY id") == [("changed",), ("abandoned",), ("changed",)]
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_writer_that_ends_in_time_is_waited_for(rig: Rig) -> None:
    results: list[Result] = []
    with writing(rig) as other:
        thread = threading.Thread(target=lambda: results.append(rig.sync()))
        thread.start()
        thread.join(0.5)  # SQLite's own wait has come to its end by then, and was begun again
        assert thread.is_alive()
        other.execute("COMMIT")
        thread.join(60)
    assert results[0].row.images_delta == 1


def test_those_who_queue_behind_one_that_waited_in_vain_have_waited_long_enough(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deadline is for both: the turn among this process's threads, and the lock."""
    rig.restart(retry_seconds=0.5)
    left: list[float] = []
    begin = sqlite._begin_immediate
    all_there = threading.Barrier(8)

    def noted(connection: Connection, lock_timeout: float) -> None:
        left.append(connection.get_execution_options()["lock_deadline"] - time.monotonic())
        begin(connection, lock_timeout)

    def ask() -> None:
        all_there.wait()
        with pytest.raises(TransientDatabaseError):
            rig.store.abandon_dead_runs(rig.now)

    monkeypatch.setattr(sqlite, "_begin_immediate", noted)
    with writing(rig):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len([seconds for seconds in left if seconds > 0]) == 1
    assert len(left) >= 8


def test_what_is_committed_is_synced_to_the_disk(rig: Rig) -> None:
    assert rig.rows("PRAGMA synchronous") == [(2,)]  # FULL
    with rig.database.begin("testing", durable=False) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
    committed: list[int] = []

    def note(connection: Connection) -> None:
        committed.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    event.listen(rig.database.engine, "commit", note)
    assert rig.sync().ok
    assert committed == [1, 2]  # the beginning of a run, which nobody was told of, and its end
    event.remove(rig.database.engine, "commit", note)
    assert rig.rows("PRAGMA journal_mode") == [("wal",)]
    assert rig.rows("PRAGMA foreign_keys") == [(1,)]


def test_a_statement_that_takes_long_is_interrupted(rig: Rig) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    began = threading.Event()
    errors: list[Exception] = []

    def count_for_ever() -> None:
        try:
            with rig.database.begin("counting") as connection:
                began.set()
                connection.exec_driver_sql(numbers)
        except DatabaseError as error:
            errors.append(error)

    thread = threading.Thread(target=count_for_ever)
    thread.start()
    assert began.wait(60)
    while thread.is_alive():
        rig.database.interrupt()
        thread.join(0.01)
    assert "interrupted" in str(errors[0])
    assert rig.sync().ok
