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
def test_when_the_clock_is_set_intervals_go_on_as_if_it_had_not(
    world: World, lines: Callable[[], list[str]], by: timedelta
) -> None:
    driven = world.daemon(workspace("a", "b"))
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    driven.advance(timedelta(minutes=2))
    driven.set_clock(by)
    assert [driven.due_in(key) for key in ("acme/a", "acme/b")] == minutes(3, 3)
    (line,) = lines()
    assert line == f"WARNING the clock was set by {by.total_seconds():+.0f} s: polls go on as if it had not"
    for number, wait in enumerate(minutes(3, 5, 5), 2):
        assert driven.run("acme/a", 1) == [wait]
        driven.done("acme/b", number)
    assert world.polled.count("acme/a") == world.polled.count("acme/b") == 4
    assert driven.daemon.is_alive


@pytest.mark.parametrize(
    ("by", "wait"),
    [(timedelta(days=-1), 30), (timedelta(minutes=-10), 40), (timedelta(minutes=20), 10)],
    ids=["back-a-day", "back-a-little", "forward-a-little"],
)
def test_when_the_clock_is_set_cron_lines_go_by_the_new_one(world: World, by: timedelta, wait: int) -> None:
    driven = world.daemon(workspace("a"), schedule=Cron("30 * * * *", UTC))
    driven.done("acme/a", 1)
    driven.set_clock(by)
    assert driven.run("acme/a", 3) == minutes(wait, 60, 60)


def test_a_cron_time_that_the_clock_was_set_past_is_made_up_at_once(world: World) -> None:
    driven = world.daemon(workspace("a"), schedule=Cron("30 * * * *", UTC))
    driven.done("acme/a", 1)
    driven.set_clock(timedelta(minutes=40))
    driven.look()
    driven.done("acme/a", 2)
    assert driven.run("acme/a", 1) == minutes(50)


def test_a_clock_that_drifts_or_leaps_by_a_second_is_left_alone(world: World, lines: Callable[[], list[str]]) -> None:
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    for by in (0.5, -1.5, 2.0, -2.0):
        driven.set_clock(timedelta(seconds=by))
    assert lines() == []
    assert driven.due_in("acme/a") == EVERY + timedelta(seconds=1)


def test_time_that_goes_by_is_no_clock_that_was_set(world: World, lines: Callable[[], list[str]]) -> None:
    driven = world.daemon(workspace("a"), schedule=Interval(timedelta(days=100)))
    driven.done("acme/a", 1)
    driven.advance(timedelta(days=99))
    driven.daemon.tick()
    assert lines() == []


def test_clocks_that_go_on_while_they_are_looked_at_make_nothing_due_twice(world: World) -> None:
    world.creep = 0.000_007
    world.seconds = 98_765.432_1
    driven = world.daemon(workspace("a"), schedule=Cron("*/5 * * * *", UTC))
    driven.done("acme/a", 1)
    waits = driven.run("acme/a", 20)
    assert {round(wait / timedelta(minutes=1)) for wait in waits} == {5}


def test_a_success_makes_it_fresh_again_and_clocks_that_are_set_make_nothing_stale(world: World) -> None:
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    driven.set_clock(timedelta(days=365))
    assert not driven.project("acme/a").is_stale
    driven.set_clock(-timedelta(days=800))
    driven.run("acme/a", 1)
    world.seconds += 899
    assert not driven.project("acme/a").is_stale
    world.seconds += 1
    assert driven.project("acme/a").is_stale


def test_when_the_clock_is_set_workspaces_are_listed_anew(world: World) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace())
    driven.discovered()
    driven.set_clock(timedelta(days=-1))
    driven.look()
    driven.discovered(2)
    assert driven.due_in("discovery") == timedelta(hours=1)


def test_nothing_is_deleted_at_once_by_a_clock_that_leaps_into_the_future(world: World) -> None:
    driven = world.daemon()
    driven.done("pruning", 1)
    driven.set_clock(timedelta(days=365))
    driven.settle()
    assert world.pruned == [START - timedelta(days=30)]
