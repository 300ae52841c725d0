"""Real workers against the simulator: several processes that poll as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
