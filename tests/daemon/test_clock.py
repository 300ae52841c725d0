"""What the daemon does when somebody changes the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta

import pytest

from rfsync.schedule import Cron, Interval
from tests.daemon.conftest import (
    EVERY,
    START,
    World,
    minutes,
    workspace,
)


@pytest.mark.parametrize("by", [timedelta(days=-1), timedelta(days=365)], ids=["back-a-day", "forward-a-year"])
def test_a_changed_clock_does_not_affect_intervals(world: World, lines: Callable[[], list[str]], by: timedelta) -> None:
    driver = world.daemon(workspace("a", "b"))
    driver.done("acme/a", 1)
    driver.done("acme/b", 1)
    driver.advance(timedelta(minutes=2))
    driver.set_clock(by)
    assert [driver.due_in(key) for key in ("acme/a", "acme/b")] == minutes(3, 3)
    (line,) = lines()
    assert line == f"WARNING the clock was changed by {by.total_seconds():+.0f} s: intervals are not affected"
    for number, wait in enumerate(minutes(3, 5, 5), 2):
        assert driver.run("acme/a", 1) == [wait]
        driver.done("acme/b", number)
    assert world.polled.count("acme/a") == world.polled.count("acme/b") == 4
    assert driver.daemon.is_alive


@pytest.mark.parametrize(
    ("by", "wait"),
    [(timedelta(days=-1), 30), (timedelta(minutes=-10), 40), (timedelta(minutes=20), 10)],
    ids=["back-a-day", "back-a-little", "forward-a-little"],
)
def test_a_cron_line_follows_a_changed_clock(world: World, by: timedelta, wait: int) -> None:
    driver = world.daemon(workspace("a"), schedule=Cron("30 * * * *", UTC))
    driver.done("acme/a", 1)
    driver.set_clock(by)
    assert driver.run("acme/a", 3) == minutes(wait, 60, 60)


def test_a_cron_time_that_the_clock_skips_is_made_up_at_once(world: World) -> None:
    driver = world.daemon(workspace("a"), schedule=Cron("30 * * * *", UTC))
    driver.done("acme/a", 1)
    driver.set_clock(timedelta(minutes=40))
    driver.look()
    driver.done("acme/a", 2)
    assert driver.run("acme/a", 1) == minutes(50)


def test_a_drift_or_a_leap_second_is_ignored(world: World, lines: Callable[[], list[str]]) -> None:
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    for by in (0.5, -1.5, 2.0, -2.0):
        driver.set_clock(timedelta(seconds=by))
    assert lines() == []
    assert driver.due_in("acme/a") == EVERY + timedelta(seconds=1)


def test_elapsed_time_is_not_a_changed_clock(world: World, lines: Callable[[], list[str]]) -> None:
    driver = world.daemon(workspace("a"), schedule=Interval(timedelta(days=100)))
    driver.done("acme/a", 1)
    driver.advance(timedelta(days=99))
    driver.daemon.tick()
    assert lines() == []


def test_clocks_that_advance_between_two_reads_make_nothing_due_twice(world: World) -> None:
    world.creep = 0.000_007
    world.seconds = 98_765.432_1
    driver = world.daemon(workspace("a"), schedule=Cron("*/5 * * * *", UTC))
    driver.done("acme/a", 1)
    waits = driver.run("acme/a", 20)
    assert {round(wait / timedelta(minutes=1)) for wait in waits} == {5}


def test_a_success_makes_a_project_fresh_and_a_changed_clock_makes_none_stale(world: World) -> None:
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.set_clock(timedelta(days=365))
    assert not driver.project("acme/a").is_stale
    driver.set_clock(-timedelta(days=800))
    driver.run("acme/a", 1)
    world.seconds += 899
    assert not driver.project("acme/a").is_stale
    world.seconds += 1
    assert driver.project("acme/a").is_stale


def test_workspaces_are_listed_again_after_a_clock_change(world: World) -> None:
    world.listings["acme"] = ["a"]
    driver = world.daemon(workspace())
    driver.discovered()
    driver.set_clock(timedelta(days=-1))
    driver.look()
    driver.discovered(2)
    assert driver.due_in("discovery") == timedelta(hours=1)


def test_a_clock_that_jumps_into_the_future_deletes_nothing(world: World) -> None:
    driver = world.daemon()
    driver.done("pruning", 1)
    driver.set_clock(timedelta(days=365))
    driver.settle()
    assert world.pruned == [START - timedelta(days=30)]
