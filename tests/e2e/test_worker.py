"""Real workers against the simulator: several processes that poll as one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from rfsync.simulator import Stall
from tests.e2e.conftest import Cli, MakeCli, batch
from tests.e2e.daemons import LISTEN, QUICK, Start, await_runs, runs


@pytest.fixture
def cli(make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str) -> Cli:
    cli = make_cli(new_postgres(postgres_template))
    cli.run("db", "upgrade")
    return cli


def ticks(cli: Cli) -> list[int]:
    """How many runs of a project began in each second."""
    return cli.database.column(
        "SELECT count(*) FROM sync_runs r GROUP BY project_id, floor(extract(epoch FROM started_at))"
    )


@pytest.mark.new_python
def test_two_workers_poll_as_one(cli: Cli, start: Start) -> None:
    projects = [f"p{number}" for number in range(6)]
    cli.configure(workspaces=[{"projects": ["*"], "exclude": ["scratch"]}], more=QUICK + LISTEN)
    for project in (*projects, "scratch"):
        cli.list(batch("b1", 1), batch("b2", 2, 3), project=project)
    workers = [start(cli, level="debug", name="worker") for _ in range(2)]
    for project in projects:
        await_runs(cli, project, "unchanged", 3)
    cli.list(batch("b1", 5), batch("b2", 2, 3), project="p1")
    await_runs(cli, "p1", "changed", 2)
    for worker in workers:
        health = worker.await_health(200)
        assert (health["projects"], health["ready"]) == (len(projects), True)
        found = worker.metrics()
        assert found["rfsync_project_images"]["acme", "p1"] == 7.0
        assert found["rfsync_project_stale"]["acme", "p0"] == 0.0
        assert found["rfsync_project_last_success_timestamp_seconds"]["acme", "p0"] > 0
    for worker in workers:
        worker.stop()
    # Each did some, each tick fired once, and nothing is left in the queue.
    assert all(any("unchanged" in line["event"] for line in worker.lines) for worker in workers)
    assert max(ticks(cli)) <= 2
    assert cli.database.column("SELECT DISTINCT trigger FROM sync_runs") == ["worker"]
    assert set(cli.database.column("SELECT status::text FROM procrastinate_jobs")) <= {"todo"}
    assert cli.database.one("SELECT count(*) FROM procrastinate_periodic_defers") == len(projects) + 1
    assert runs(cli, "scratch") == []
    cli.verify()


def test_it_needs_postgresql_and_the_tables_of_the_queue(
    fresh: Cli, make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}])
    assert "rfsync daemon polls into it" in fresh.run("worker", code=2).err
    without = make_cli(new_postgres(postgres_template))
    without.configure(workspaces=[{"projects": ["widgets"]}])
    worker, check = without.fork("worker"), without.run("check", code=1)
    assert "the tables of the workers' queue are missing: rfsync db upgrade makes them" in without.finish(worker, 3).err
    assert "for rfsync worker, the tables of the workers' queue are missing" in check.out


def test_the_second_one_of_a_machine_goes_on_without_health_and_metrics(cli: Cli, start: Start) -> None:
    cli.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    cli.list(batch("b1", 1))
    first = start(cli, name="worker")
    port = first.url.rpartition(":")[2]
    cli.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN.replace(":0", f":{port}"))
    second = start(cli, name="worker")
    warning = next(line for line in second.lines if line["level"] == "warning")
    assert warning["event"].startswith(f'[daemon] listen = "127.0.0.1:{port}": ')
    assert warning["event"].endswith("; going on without /healthz and /metrics")
    assert second.url == "nowhere"
    first.stop()
    before = len(runs(cli, "widgets"))
    await_runs(cli, "widgets", "unchanged", before + 1)
    second.stop()


def test_one_that_is_stopped_hands_its_polls_back(cli: Cli, start: Start) -> None:
    # Each is polled once, and then not for a year.
    cli.configure(workspaces=[{"projects": ["widgets"]}], more='[schedule]\ncron = "0 0 1 1 *"\n' + LISTEN)
    cli.list(batch("b1", 1))
    cli.simulator.faults.add("/acme/widgets/batches", Stall(threading.Event()), times=1)
    first = start(cli, name="worker")
    cli.await_lists(1)
    second = start(cli, name="worker")
    first.stop()
    await_runs(cli, "widgets", "changed")
    assert runs(cli, "widgets") == ["abandoned", "changed"]
    second.stop()
    assert cli.database.one("SELECT count(*) FROM procrastinate_jobs") == 0


def test_a_reload_finds_what_is_new_and_a_broken_file_changes_nothing(cli: Cli, start: Start) -> None:
    cli.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    for project in ("widgets", "gears"):
        cli.list(batch("b1", 1), project=project)
    worker = start(cli, name="worker")
    await_runs(cli, "widgets", "unchanged")
    (cli.folder / "rfsync.toml").write_text("[worker]\nconcurrency = 0\n")
    worker.process.send_signal(signal.SIGHUP)
    worker.await_line("the old configuration stays in force")
    more = QUICK + LISTEN + "[worker]\nconcurrency = 2\n"
    cli.configure(workspaces=[{"projects": ["*"], "exclude": ["widgets"]}], more=more)
    worker.process.send_signal(signal.SIGHUP)
    worker.await_line("the configuration was read again")
    await_runs(cli, "gears", "unchanged", 2)
    polled = len(runs(cli, "widgets"))
    await_runs(cli, "gears", "unchanged", 4)
    assert len(runs(cli, "widgets")) == polled
    worker.stop()
    cli.verify()
