"""Another plan for a daemon that runs: no poll is ended, none is doubled, and what was learned is kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.runs import RunRow
from rfsync.redaction import Secret
from rfsync.schedule import Interval
from rfsync.sync.result import Result
from rfsync.sync.targets import Selection
from rfsync.sync.task import SyncContext, SyncTask
from tests.daemon.conftest import EVERY, FAILED, GOOD, LONG, START, World, workspace

HOURS = Interval(timedelta(hours=3))


def test_what_is_known_of_a_project_is_kept(world: World) -> None:
    world.acts["acme/a"] = [GOOD, FAILED, FAILED]
    driver = world.daemon(workspace("a", "gone"))
    driver.done("acme/a", 1)
    driver.done("acme/gone", 1)
    driver.run("acme/a", 2)
    before = driver.project("acme/a")
    driver.reconfigure(workspace("a", "b"))
    driver.done("acme/b", 1)
    assert driver.project("acme/a") == before
    assert sorted(driver.daemon.projects()) == ["acme/a", "acme/b"]
    assert driver.due_in("acme/gone") is None
    assert (before.failures, driver.due_in("acme/a")) == (2, 2 * EVERY)
    world.acts["acme/a"] = [FAILED]
    assert driver.run("acme/a", 1) == [2 * EVERY]
    assert driver.due_in("acme/a") == 4 * EVERY
    assert driver.daemon.is_alive


def test_another_schedule_begins_anew_and_the_last_success_stays(world: World) -> None:
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.advance(timedelta(minutes=1))
    again = world.gate("acme/a")
    driver.reconfigure(workspace("a"), schedule=Interval(2 * EVERY))
    assert again.began.wait(LONG)
    assert driver.project("acme/a").last_success == START
    again.through.set()
    driver.done("acme/a", 2)
    assert driver.due_in("acme/a") == 2 * EVERY


def test_another_key_is_tried_at_once_also_after_many_failures(world: World) -> None:
    world.acts["acme/a"] = [FAILED] * 5
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.run("acme/a", 4)
    driver.reconfigure(workspace("a", key=Secret("new")))
    driver.done("acme/a", 6)
    assert world.tasks[-1].key == Secret("new")
    assert (driver.project("acme/a").failures, driver.due_in("acme/a")) == (0, EVERY)


def test_a_poll_that_goes_on_is_waited_for_and_not_doubled(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a", "b"))
    assert gate.began.wait(LONG)
    driver.done("acme/b", 1)
    driver.reconfigure(workspace("a", "b"))
    driver.advance(timedelta(minutes=1))
    assert driver.due_in("acme/a") is None
    assert driver.project("acme/a").is_running
    assert world.polled.count("acme/a") == 1
    gate.through.set()
    driver.done("acme/a", 1)
    assert driver.due_in("acme/a") == EVERY - timedelta(minutes=1)
    assert driver.run("acme/a", 1) == [EVERY - timedelta(minutes=1)]
    assert world.doubled == []


def test_a_poll_ends_with_what_it_began_with_and_the_next_one_has_the_new(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a"))
    other = World()
    assert gate.began.wait(LONG)
    driver.daemon.reconfigure(other.plan(workspace("a", key=Secret("new"))))
    gate.through.set()
    driver.done("acme/a", 2)  # the second at once, because of the new key
    assert [context.fetcher for context in world.contexts] == [world, other]
    assert [task.key for task in world.tasks] == [Secret("key"), Secret("new")]
    assert world.doubled == []


def test_a_plan_is_used_until_its_last_poll_has_ended(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a"))
    first = driver.plan
    assert gate.began.wait(LONG)
    driver.reconfigure(workspace("a"))
    second = driver.plan
    driver.reconfigure(workspace("a"))
    driver.settle_others("acme/a")
    assert [driver.daemon.uses(plan) for plan in (first, second, driver.plan)] == [True, False, True]
    assert world.calls == []
    gate.through.set()
    driver.done("acme/a", 1)
    assert [driver.daemon.uses(plan) for plan in (first, second, driver.plan)] == [False, False, True]
    assert world.calls == []


def test_a_project_that_is_new_does_not_wait_for_the_polls_that_go_on(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a"), concurrency=1)
    assert gate.began.wait(LONG)
    driver.reconfigure(workspace("a", "b"), concurrency=1)
    driver.done("acme/b", 1)
    assert driver.project("acme/a").is_running
    gate.through.set()
    driver.done("acme/a", 1)


def test_a_project_that_waits_for_a_thread_does_not_wait_any_more_and_is_polled_once(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a", "b"), concurrency=1)
    assert gate.began.wait(LONG)
    driver.look()
    assert driver.due_in("acme/b") is None  # it waits for the thread
    driver.reconfigure(workspace("a", "b"), concurrency=1)
    driver.await_calls("acme/b", 1)
    gate.through.set()
    driver.settle()
    assert world.polled.count("acme/b") == 1
    assert driver.due_in("acme/b") == EVERY


def test_a_project_whose_earlier_thread_becomes_free_while_it_is_polled_is_not_doubled(world: World) -> None:
    first, second = world.gate("acme/a"), world.gate("acme/b")
    driver = world.daemon(workspace("a", "b"), concurrency=1)
    assert first.began.wait(LONG)
    driver.look()
    driver.reconfigure(workspace("a", "b"), concurrency=1)
    assert second.began.wait(LONG)
    first.through.set()
    driver.await_calls("acme/b", 1)  # the thread of the first plan has come to it
    assert world.polled.count("acme/b") == 1
    second.through.set()
    driver.settle()
    assert (world.polled.count("acme/b"), world.doubled) == (1, [])


def test_how_a_poll_ends_that_began_before_is_known_after(world: World) -> None:
    gate = world.gate("acme/a", FAILED)
    driver = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    driver.reconfigure(workspace("a"))
    gate.through.set()
    driver.done("acme/a", 1)
    assert (driver.project("acme/a").failures, driver.due_in("acme/a")) == (1, EVERY)


def test_a_poll_that_has_just_ended_is_not_the_last_one(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    gate.through.set()
    driver.done("acme/a", 1)
    driver.reconfigure(workspace("a"))
    assert driver.due_in("acme/a") is not None


def test_what_is_due_at_that_moment_is_polled_once(world: World) -> None:
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.advance(EVERY)
    driver.reconfigure(workspace("a"))
    driver.look()
    driver.settle()
    assert world.polled.count("acme/a") == 2


def test_a_poll_that_goes_on_is_waited_for_over_two_reloads(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    for _ in range(2):
        driver.reconfigure(workspace("a"))
        driver.look()
        assert driver.due_in("acme/a") is None
    gate.through.set()
    driver.done("acme/a", 1)
    assert driver.due_in("acme/a") == EVERY
    assert world.doubled == []


def test_a_project_that_is_taken_out_ends_its_poll_and_is_not_polled_again(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a", "b"))
    assert gate.began.wait(LONG)
    driver.reconfigure(workspace("b"))
    assert list(driver.daemon.projects()) == ["acme/b"]
    gate.through.set()
    driver.done("acme/a", 1)
    driver.settle()
    assert (driver.due_in("acme/a"), [result.outcome for result in world.ended]) == (None, ["unchanged"] * 2)


def test_one_that_is_taken_out_and_put_back_while_it_is_polled_is_not_doubled(world: World) -> None:
    gate = world.gate("acme/a", FAILED)
    driver = world.daemon(workspace("a", "b"))
    assert gate.began.wait(LONG)
    driver.reconfigure(workspace("b"))
    driver.reconfigure(workspace("a", "b"))
    driver.look()
    assert driver.due_in("acme/a") is None
    gate.through.set()
    driver.done("acme/a", 1)
    assert (driver.project("acme/a").failures, driver.due_in("acme/a")) == (1, EVERY)
    assert world.doubled == []


def test_polls_of_an_earlier_plan_can_be_stopped(world: World) -> None:
    began = threading.Event()

    def hangs(_: SyncContext, task: SyncTask) -> Result:
        began.set()
        assert world.cancelled.wait(LONG)
        return Result(task.workspace, task.project, RunRow("abandoned"))

    world.acts["acme/a"] = [hangs]
    driver = world.daemon(workspace("a"))
    assert began.wait(LONG)
    other = World()
    driver.daemon.reconfigure(other.plan(workspace("a")))
    driver.settle_others("acme/a")
    driver.daemon.stop()
    assert world.calls == other.calls == ["cancel", "stop"]
    assert [result.outcome for result in world.ended] == ["abandoned"]


def test_discovered_projects_are_polled_on_and_their_workspace_is_listed_at_once(world: World) -> None:
    world.listings["acme"] = ["a", "b", "scratch"]
    driver = world.daemon(workspace(), schedule=HOURS)
    driver.discovered()
    for name in ("a", "b", "scratch"):
        driver.done(f"acme/{name}", 1)
    world.listings["acme"] = FetchError(ErrorKind.SERVER, "HTTP 503")
    driver.reconfigure(workspace(exclude=("scratch*",)), schedule=HOURS)
    driver.discovered(2)
    assert world.listed == {"acme": 2}
    assert sorted(driver.daemon.projects()) == ["acme/a", "acme/b"]
    assert driver.daemon.is_ready
    assert driver.due_in("acme/a") == HOURS.every
    assert driver.due_in("discovery") == timedelta(minutes=5)
    # All projects are named from now on: nothing is listed any more.
    driver.reconfigure(workspace("a"), schedule=HOURS)
    assert driver.due_in("discovery") is None
    assert list(driver.daemon.projects()) == ["acme/a"]


@pytest.mark.parametrize(
    ("selection", "stays"),
    [
        (workspace("a"), True),
        (workspace("b"), False),
        (workspace("a", exclude=("a",)), True),
        (workspace(), True),
        (workspace(exclude=("b",)), True),
        (workspace(exclude=("a*",)), False),
        (replace(workspace("b"), discover=True), True),
        (workspace("a", id="other"), False),
        (workspace(id="other"), False),
    ],
)
def test_a_project_stays_if_it_is_named_or_its_workspace_is_discovered(
    world: World, selection: Selection, stays: bool
) -> None:
    task = SyncTask("acme", "a", Secret("old"), name="A")
    updated = SyncTask("acme", "a", Secret("key"), name="A")
    assert world.plan(selection).updated(task) == (updated if stays else None)


def test_it_is_not_ready_again_before_the_new_workspaces_are_listed(world: World) -> None:
    world.listings |= {"acme": ["a"], "other": ["o"]}
    driver = world.daemon(workspace())
    driver.discovered()
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["o"]

    world.listings["other"] = listing
    driver.reconfigure(workspace(), workspace(id="other"))
    assert asked.wait(LONG)
    assert not driver.daemon.is_ready
    answer.set()
    driver.discovered(2)
    assert driver.daemon.is_ready
    driver.done("other/o", 1)


def test_what_an_earlier_plan_lists_late_is_not_polled(world: World) -> None:
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["never"]

    world.listings["acme"] = listing
    driver = world.daemon(workspace())
    assert asked.wait(LONG)
    driver.reconfigure(workspace("a"))
    driver.done("acme/a", 1)
    answer.set()
    driver.discovered()
    assert list(driver.daemon.projects()) == ["acme/a"]
    assert driver.due_in("discovery") is None


@pytest.mark.parametrize("concurrency", [1, 3])
def test_reloads_at_any_moment_lose_no_poll_and_double_none(world: World, concurrency: int) -> None:
    names = ["a", "b", "c", "d"]
    driver = world.daemon(workspace(*names), concurrency=concurrency)
    for _ in range(40):
        driver.advance(EVERY)
        driver.reconfigure(workspace(*names), concurrency=concurrency)
        driver.look()
    driver.settle()
    assert world.doubled == []
    counts = {name: world.polled.count(f"acme/{name}") for name in names}
    assert all(1 <= count <= 41 for count in counts.values()), counts
    for name in names:
        wait = driver.due_in(f"acme/{name}")
        assert wait is not None
        assert timedelta(0) < wait <= EVERY
    driver.advance(EVERY)
    driver.settle()
    assert {name: world.polled.count(f"acme/{name}") for name in names} == {name: n + 1 for name, n in counts.items()}
