"""An SQLite file that somebody else is writing to."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Rig, record

from rfsync import schema
from rfsync.engine import open_engine
from rfsync.errors import ErrorKind
from rfsync.runs import Result
from rfsync.verify import verify


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
    assert rig.url.path is not None
    with contextlib.closing(sqlite3.connect(rig.url.path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_writer_that_takes_longer_than_the_patience(rig: Rig) -> None:
    """He comes while the answer is on its way, so that not even the failure can be written down."""
    rig.restart(patience=0.1)
    with contextlib.ExitStack() as stack:
        rig.meanwhile = lambda: stack.enter_context(writing(rig)) and None
        result = rig.sync()
        assert (result.outcome, result.error_kind) == ("failed", ErrorKind.DATABASE)
        assert result.error is not None
        assert "locked" in result.error
        # And nobody waits for him a second time.
        assert rig.sync().error_kind == ErrorKind.DATABASE
    assert rig.state() == {"a": (1, 1)}
    assert rig.sync().tally.images_delta == 1
    assert rig.rows("SELECT outcome FROM sync_runs ORDER BY id") == [("changed",), ("running",), ("changed",)]
    rig.restart()
    assert rig.sync().outcome == "unchanged"
    assert rig.rows("SELECT outcome FROM sync_runs WHERE id = 2") == [("abandoned",)]
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_writer_that_ends_in_time_is_waited_for(rig: Rig) -> None:
    results: list[Result] = []
    with writing(rig) as other:
        thread = threading.Thread(target=lambda: results.append(rig.sync()))
        thread.start()
        thread.join(1.2)  # SQLite's own wait has come to its end by then, and was begun again
        assert thread.is_alive()
        other.execute("COMMIT")
        thread.join(60)
    assert results[0].tally.images_delta == 1
