"""Projects that are renamed, gone or back, as the daemon follows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from rfsync.daemon.daemon import Daemon
from rfsync.errors import DatabaseError
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.runs import RunRow
from rfsync.redaction import Secret
from rfsync.schedule import Interval
from rfsync.sync.result import Result
from rfsync.sync.task import SyncContext, SyncTask
from tests.daemon.conftest import Act, World, workspace

HOURS = Interval(timedelta(hours=3))


def ends_as(project: str, **said: object) -> Act:
    """A poll that ends with a result of this project."""

    def act(_context: SyncContext, task: SyncTask) -> Result:
        return Result(task.workspace, project, RunRow("changed"), 1, **said)  # type: ignore[arg-type]

    return act


def polled(daemon: Daemon) -> list[str]:
    return sorted(daemon.projects())


def test_an_observed_project_that_is_no_longer_listed_is_still_polled(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = ["a", "b"]
    world.known["acme"] = ["a", "b"]
    driver = world.daemon(workspace(), schedule=HOURS)
    driver.discovered()
    driver.done("acme/b", 1)
    world.listings["acme"] = ["a"]
    driver.run("discovery", 1)
    assert lines() == []
    assert polled(driver.daemon) == ["acme/a", "acme/b"]
    driver.run("acme/b", 1)
    assert [task.listed for task in world.tasks if task.project == "b"] == [True, False]


def test_while_the_database_is_away_no_project_leaves(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    driver = world.daemon(workspace(), schedule=HOURS)
    driver.discovered()
    world.listings["acme"] = ["a"]
    world.known["acme"] = DatabaseError("it is away")
    driver.run("discovery", 1)
    assert polled(driver.daemon) == ["acme/a", "acme/b"]


def test_a_renamed_project_is_polled_under_its_new_id_alone(world: World) -> None:
    world.listings["acme"] = ["old"]
    driver = world.daemon(workspace(), schedule=HOURS)
    driver.discovered()
    driver.done("acme/old", 1)
    world.listings["acme"] = ["new"]
    world.known["acme"] = ["old"]
    world.acts["acme/new"] = [ends_as("new", old=ProjectPath("acme", "old"))]
    driver.run("discovery", 1)
    driver.done("acme/new", 1)
    driver.settle()
    assert polled(driver.daemon) == ["acme/new"]
    assert driver.due_in("acme/old") is None


def test_a_poll_that_finds_that_its_project_was_renamed_goes_on_with_that(world: World) -> None:
    world.acts["acme/old"] = [ends_as("new")]
    driver = world.daemon(workspace("old"), schedule=HOURS)
    driver.done("acme/old", 1)
    driver.done("acme/new", 1)
    driver.settle()
    assert polled(driver.daemon) == ["acme/new"]
    assert driver.due_in("acme/old") is None


def test_a_poll_of_the_old_id_that_finds_the_rename_goes_on_with_the_new_one_and_its_workspaces_key(
    world: World,
) -> None:
    """The poll gets 404, looks at the new project, and ends with the result of that."""

    def moved(_context: SyncContext, _task: SyncTask) -> Result:
        return Result("newco", "new", RunRow("changed"), 1, old=ProjectPath("acme", "old"))

    world.acts["acme/old"] = [moved]
    world.listings["newco"] = []
    driver = world.daemon(workspace("old"), workspace(id="newco", key=Secret("other")), schedule=HOURS)
    driver.done("acme/old", 1)
    driver.done("newco/new", 1)
    driver.settle()
    assert polled(driver.daemon) == ["newco/new"]
    assert world.tasks[-1].key == Secret("other")


def test_a_departed_project_is_no_longer_counted_until_it_is_back(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    world.known["acme"] = ["a", "b"]
    world.acts["acme/b"] = [ends_as("b", departed=True), ends_as("b", departed=True, skipped=True), ends_as("b")]
    driver = world.daemon(workspace(), schedule=HOURS)
    driver.discovered()
    driver.done("acme/b", 1)
    assert polled(driver.daemon) == ["acme/a"]
    world.listings["acme"] = ["a"]
    driver.run("acme/b", 1)
    assert polled(driver.daemon) == ["acme/a"]
    # Whatever the last listing said: from its departure on it is looked for once a day.
    assert [task.listed for task in world.tasks if task.project == "b"] == [True, False]
    assert [result.skipped for result in world.ended if result.project == "b"] == [False]
    world.listings["acme"] = ["a", "b"]
    driver.run("discovery", 1)
    driver.done("acme/b", 3)
    assert [task.listed for task in world.tasks if task.project == "b"] == [True, False, True]
    assert polled(driver.daemon) == ["acme/a", "acme/b"]
