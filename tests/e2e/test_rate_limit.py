"""``requests_per_second`` over all processes that share a PostgreSQL database."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from rfsync.simulator import Answer, FixedWorld
from tests.e2e.conftest import KEY, LONG, Cli, MakeCli, batch

INTERVAL = 0.1
PROJECTS = 8
PROCESSES = 3


class Timed(FixedWorld):
    """Notes when each list was asked for."""

    def __init__(self) -> None:
        super().__init__({f"acme/p{number}": [batch("a", 1)] for number in range(PROJECTS)})
        self.asked_at: list[float] = []

    def batches(self, workspace: str, project: str) -> Answer:
        self.asked_at.append(time.monotonic())
        return super().batches(workspace, project)


@pytest.fixture
def world() -> Timed:
    return Timed()


def configure(cli: Cli) -> None:
    projects = [f"p{number}" for number in range(PROJECTS)]
    api = {"requests_per_second": 1 / INTERVAL}
    cli.configure(api=api, workspaces=[{"projects": projects}], more="[jobs]\nsync = false\n")


def test_processes_that_share_a_database_share_the_rate(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str, world: Timed
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    configure(cli)
    began = time.monotonic()
    doomed, *others = [cli.fork("sync", "--json") for _ in range(PROCESSES)]
    cli.simulator.await_requests(PROCESSES, LONG)
    doomed.kill()
    for process in others:
        cli.finish(process)
    # A request may come late, but never before its turn, and the first turn was after the start.
    assert len(world.asked_at) >= (PROCESSES - 1) * PROJECTS
    early = [n for n, asked_at in enumerate(sorted(world.asked_at)) if asked_at - began < n * INTERVAL]
    assert early == []
    cli.verify()


def test_which_commands_count_for_all(cli: Cli) -> None:
    configure(cli)
    rows = "SELECT key_digest, next_at FROM rate_limits"
    cli.run("sync", "--dry-run")
    assert cli.database.rows(rows) == []
    found: list[list[tuple[object, ...]]] = []
    for command in ("sync", "check"):
        cli.run(command)
        found.append(cli.database.rows(rows))
    if cli.database.is_sqlite:
        assert found == [[], []]
        return
    ((digest, first),), ((same, later),) = found
    assert (digest, first < later) == (same, True)
    assert KEY not in str(digest)


def test_a_check_counts_by_itself_where_the_role_may_not_write(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    configure(cli)
    cli.database.forbid("INSERT", "rate_limits")
    assert f"acme/p{PROJECTS - 1}: 1 batches" in cli.run("check").out
    failed = cli.run("sync", "--json", code=1).projects
    assert {project["error_kind"] for project in failed.values()} == {"database"}
