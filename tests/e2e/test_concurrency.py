"""Syncs that meet: overtaken, killed, and many of the same project at once."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator

import pytest

from rfsync.simulator import Answer, FixedWorld, Simulator, Stall
from tests.e2e.conftest import LONG, Cli, batch

_MANY = 5


class Restless(FixedWorld):
    """A project whose batches are others at each request: never two answers alike."""

    def __init__(self) -> None:
        super().__init__({"acme/widgets": []})
        self._requests = itertools.count(1)

    def batches(self, workspace: str, project: str) -> Answer:
        number = next(self._requests)
        records = [batch("always", number, number % 3), batch("new", 5), batch(f"only-{number % 2}", number)]
        return Answer(200, json.dumps(records).encode())


def outcomes(cli: Cli) -> list[str]:
    """Of the runs, in the order in which they began."""
    return cli.database.column("SELECT outcome FROM sync_runs ORDER BY id")


def test_an_answer_that_was_overtaken_is_dropped(cli: Cli) -> None:
    cli.simulator.etag = cli.database.is_sqlite  # each way to tell what is unchanged with one of the databases
    cli.list(batch("b1", 1))
    cli.sync()
    cli.list(batch("b1", 2), batch("old", 1))
    release = threading.Event()
    cli.simulator.faults.add("*", Stall(release))
    slow = cli.fork("sync", "acme/widgets", "--json")
    cli.await_lists(2)
    cli.list(batch("b1", 3))
    assert cli.sync()["images_delta"] == 2
    # The slow one lives, so nobody calls it abandoned.
    assert outcomes(cli) == ["changed", "running", "changed"]
    release.set()
    printed = cli.finish(slow).json
    (project,) = printed["projects"]
    assert (printed["ok"], project["outcome"], project["added"], project["images_delta"]) == (True, "superseded", 0, 0)
    assert outcomes(cli) == ["changed", "superseded", "changed"]
    assert cli.database.rows("SELECT batch_id, images FROM current_batches") == [("b1", 3)]
    # What it brought along is not taken for the last answer either.
    assert cli.sync()["outcome"] == "unchanged"
    assert cli.database.rows("SELECT batch_id, images FROM current_batches") == [("b1", 3)]
    cli.balance()


def test_a_killed_run_is_found(cli: Cli) -> None:
    cli.list(batch("b1", 1))
    cli.list(batch("b1", 1), project="gears")
    cli.run("sync", "acme/widgets", "acme/gears")
    never, release = threading.Event(), threading.Event()
    cli.simulator.faults.add("/acme/widgets/batches", Stall(never))
    cli.simulator.faults.add("/acme/gears/batches", Stall(release))
    doomed = cli.fork("sync", "acme/widgets")
    living = cli.fork("sync", "acme/gears")
    cli.await_lists(4)
    doomed.kill()
    doomed.wait(LONG)
    cli.database.expire_leases()
    cli.list(batch("b1", 5))
    assert cli.sync()["images_delta"] == 4
    runs = """SELECT p.project, r.outcome, r.finished_at IS NOT NULL, r.added + r.changed FROM sync_runs r
        JOIN projects p ON p.id = r.project_id ORDER BY p.project, r.id"""
    assert [(*row[:2], bool(row[2]), row[3]) for row in cli.database.rows(runs)] == [
        ("gears", "changed", True, 1),
        ("gears", "running", False, 0),
        ("widgets", "changed", True, 1),
        ("widgets", "abandoned", True, 0),
        ("widgets", "changed", True, 1),
    ]
    release.set()
    cli.finish(living)
    assert cli.database.column("SELECT outcome FROM sync_runs WHERE outcome = 'running'") == []
    cli.balance()


def test_many_at_once_write_each_change_once(cli: Cli) -> None:
    if cli.database.is_sqlite:
        cli.database.path.unlink()  # so that they also meet where it is made
    cli.list(*(batch(f"b{number}", number, 1) for number in range(1, 51)))
    cli.run_all([["sync", "acme/widgets"]] * _MANY)
    assert cli.database.one("SELECT count(*) FROM batch_changes") == 50
    found = outcomes(cli)
    assert found.count("changed") == 1
    assert set(found) <= {"changed", "unchanged", "superseded"}
    assert len(found) == _MANY
    cli.balance()


@pytest.fixture
def restless() -> Iterator[Simulator]:
    with Simulator(Restless()) as simulator:
        yield simulator


def test_many_at_once_of_what_never_rests(cli: Cli, restless: Simulator) -> None:
    cli.configure(api={"base_url": restless.url})
    cli.run_all([["sync", "acme/widgets"]] * _MANY)
    assert set(outcomes(cli)) <= {"changed", "superseded"}
    # What stands is what the request that was sent last has shown, whoever was the last to write.
    cli.sync()
    always = cli.database.one("SELECT images FROM current_batches WHERE batch_id = 'always'")
    answered = [r for r in restless.requests if r.path.endswith("/batches")]
    assert always == len(answered)
    cli.verify()
