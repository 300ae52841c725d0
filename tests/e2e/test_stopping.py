"""SIGTERM and Ctrl-C in the middle of a sync: it ends soon, and what was done is committed."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
from collections.abc import Iterator

import psycopg
import pytest

from rfsync.simulator import Stall
from tests.e2e.conftest import Cli, Process, batch

#: What is promised is 5 s; a machine that is busy with other things needs a little longer to start the clock.
SOON = 8.0


def stop(process: Process, number: signal.Signals) -> str:
    """Standard error of a command that is asked to stop, and says so."""
    process.send_signal(number)
    out, err = process.communicate(timeout=SOON)
    assert (process.returncode, out, "Traceback" in err) == (130, "", False), err
    assert "stopped" in err
    return err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fetch_is_given_up_and_what_was_done_stays(cli: Cli, number: signal.Signals) -> None:
    names = ["a", "b", "c", "d"]
    cli.configure(api={"concurrency": 2}, workspaces=[{"projects": names}])
    for name in names:
        cli.list(batch("b1", 1), project=name)
    never = threading.Event()
    # The third is waited for when the signal comes, and the fourth is never begun, or just.
    cli.simulator.faults.add("/acme/c/batches", Stall(never), times=None)
    cli.simulator.faults.add("/acme/d/batches", Stall(never), times=None)
    process = cli.start("sync")
    cli.await_lists(4)
    await_rows(cli, "SELECT 1 FROM sync_runs WHERE outcome = 'changed'", 2)
    stop(process, number)
    runs = "SELECT p.project, r.outcome, r.error FROM sync_runs r JOIN projects p ON p.id = r.project_id ORDER BY 1"
    assert [row[:2] for row in cli.database.rows(runs)] == [
        ("a", "changed"),
        ("b", "changed"),
        ("c", "abandoned"),
        ("d", "abandoned"),
    ]
    assert all("asked to stop" in row[2] for row in cli.database.rows(runs)[2:])
    cli.balance()


def await_rows(cli: Cli, sql: str, count: int) -> None:
    """Returns when that many rows are there."""
    while len(cli.database.rows(sql)) < count:
        pass


@contextlib.contextmanager
def locked(cli: Cli) -> Iterator[None]:
    """Another program writes to the project for a long time."""
    if cli.database.is_sqlite:
        with contextlib.closing(sqlite3.connect(cli.database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(cli.database.url) as connection:
            connection.execute("SELECT 1 FROM projects FOR UPDATE")
            yield


def test_a_lock_is_not_waited_for(cli: Cli) -> None:
    cli.list(batch("b1", 1))
    cli.sync()
    cli.list(batch("b1", 2))
    release = threading.Event()
    cli.simulator.faults.add("*", Stall(release))
    process = cli.fork("sync", "acme/widgets", "--log-level", "debug")  # of which urllib3 has a line for each answer
    cli.await_lists(2)
    with locked(cli):
        release.set()
        await_waiting(cli, process)
        stop(process, signal.SIGTERM)
    assert cli.database.column("SELECT images FROM batches") == [1]
    # On SQLite not even the end of the run could be written: the next run finds it.
    expected = ["changed", "running" if cli.database.is_sqlite else "abandoned"]
    assert cli.database.column("SELECT outcome FROM sync_runs ORDER BY id") == expected
    assert cli.sync()["images_delta"] == 1
    assert cli.database.column("SELECT outcome FROM sync_runs ORDER BY id") == ["changed", "abandoned", "changed"]


def await_waiting(cli: Cli, process: Process) -> None:
    """Returns when the sync waits for the lock; on SQLite, when all that is left to it is to wait for the lock."""
    if cli.database.is_sqlite:
        assert process.stderr is not None
        assert any("/acme/widgets/jobs" in line for line in process.stderr)
    else:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await_rows(cli, waiting, 1)


def test_a_great_write_is_finished_soon_or_undone(cli: Cli) -> None:
    cli.simulator.compress = False
    cli.list(*({"id": f"b{number:06}", "images": 1, "numJobs": 0} for number in range(200_000)))
    process = cli.fork("sync", "acme/widgets")
    await_writing(cli)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SOON)
    assert process.returncode == 130
    written = cli.database.one("SELECT count(*) FROM batch_changes")
    (outcome,) = cli.database.column("SELECT outcome FROM sync_runs")
    assert (written, outcome) in {(0, "abandoned"), (200_000, "changed")}
    cli.balance()


def await_writing(cli: Cli) -> None:
    """Returns when a good part of the batches are on their way into the database."""
    if cli.database.is_sqlite:
        log = cli.database.path.with_name(cli.database.path.name + "-wal")
        while not log.exists() or log.stat().st_size < 1 << 20:
            pass
    else:
        await_rows(cli, "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 10000", 1)


def test_a_second_signal_ends_it_at_once_and_hurts_nothing(cli: Cli) -> None:
    cli.list(batch("b1", 1))
    cli.sync()
    cli.list(batch("b1", 2))
    release = threading.Event()
    cli.simulator.faults.add("*", Stall(release))
    process = cli.start("sync", "acme/widgets", "--log-level", "debug")
    cli.await_lists(2)
    with locked(cli):
        release.set()
        await_waiting(cli, process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SOON)
        assert process.returncode == 130
    cli.database.expire_leases()
    assert cli.sync()["images_delta"] == 1
    assert cli.database.column("SELECT outcome FROM sync_runs ORDER BY id") == ["changed", "abandoned", "changed"]
    cli.balance()


def test_many_that_wait_for_a_lock_end_together(cli: Cli) -> None:
    names = [f"p{number}" for number in range(8)]
    cli.configure(workspaces=[{"projects": names}])
    for name in names:
        cli.list(batch("b1", 1), project=name)
    cli.run("sync")
    release = threading.Event()
    cli.simulator.faults.add("*", Stall(release), times=None)
    process = cli.fork("sync")
    cli.await_lists(16)
    with locked(cli):
        release.set()
        if not cli.database.is_sqlite:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            await_rows(cli, waiting, 8)
        stop(process, signal.SIGTERM)
    cli.run("sync")
    cli.balance()
