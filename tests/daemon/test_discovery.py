"""Which projects are polled, as workspaces gain and lose them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from rfsync.daemon.discovery import Unlisted
from rfsync.errors import DatabaseError, ErrorKind, FetchError
from rfsync.schedule import Interval
from rfsync.sync.bugs import BUG
from tests.daemon.conftest import (
    EVERY,
    LONG,
    World,
    bug,
    workspace,
)


def test_a_workspace_is_listed_at_the_start_and_each_hour(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driver = world.daemon(workspace())
    driver.discovered()
    driver.done("acme/a", 1)
    driver.done("acme/b", 1)
    assert driver.daemon.is_ready
    assert lines() == []
    assert driver.run("discovery", 2) == [timedelta(hours=1)] * 2
    assert world.listed == {"acme": 3}


def test_it_is_not_ready_before_its_workspaces_are_listed(world: World) -> None:
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["a"]

    world.listings["acme"] = listing
    driver = world.daemon(workspace(), workspace("n", id="named"))
    assert asked.wait(LONG)
    driver.done("named/n", 1)
    assert not driver.daemon.is_ready
    answer.set()
    driver.discovered()
    assert driver.daemon.is_ready


def test_a_new_project_joins_and_is_polled_at_once(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a"]
    driver = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driver.discovered()
    driver.done("acme/a", 1)
    world.listings["acme"] = ["a", "b"]
    driver.run("discovery", 1)
    driver.done("acme/b", 1)
    assert lines() == ["INFO acme/b: a new project, polled from now on"]
    assert world.polled == ["acme/a", "acme/b"]


def test_a_project_that_is_gone_and_was_never_observed_leaves_with_one_warning(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = ["a", "b"]
    driver = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driver.discovered()
    driver.done("acme/b", 1)
    world.listings["acme"] = ["a"]
    driver.run("discovery", 2)
    assert lines() == ["WARNING acme/b is no longer in its workspace, and was never observed: it is no longer polled"]
    assert list(driver.daemon.projects()) == ["acme/a"]
    assert driver.due_in("acme/b") is None
    # Nothing was asked of the database.
    assert world.calls == []
    world.listings["acme"] = ["a", "b"]
    driver.run("discovery", 1)
    driver.done("acme/b", 2)


def test_a_project_that_leaves_while_it_is_polled_is_not_polled_again(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    gate = world.gate("acme/b")
    driver = world.daemon(workspace())
    assert gate.began.wait(LONG)
    driver.discovered()
    world.listings["acme"] = ["a"]
    driver.run("discovery", 1)
    gate.through.set()
    driver.done("acme/b", 1)
    assert driver.due_in("acme/b") is None


def test_a_project_that_comes_back_while_it_is_still_polled_is_not_polled_twice_at_a_time(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    gate = world.gate("acme/b")
    driver = world.daemon(workspace())
    assert gate.began.wait(LONG)
    driver.discovered()
    for listing in (["a"], ["a", "b"]):
        world.listings["acme"] = listing
        driver.run("discovery", 1)
    driver.look()
    assert driver.due_in("acme/b") is None
    gate.through.set()
    driver.settle()
    assert world.polled.count("acme/b") == 2  # the listings have taken longer than its interval
    assert world.doubled == []


def test_a_project_that_leaves_while_it_waits_for_a_thread_is_not_polled(world: World) -> None:
    world.listings["acme"] = ["a", "b", "c"]
    gates = [world.gate("acme/a"), world.gate("acme/b")]
    driver = world.daemon(workspace(), concurrency=3)
    driver.discovered()
    driver.done("acme/c", 1)
    # Three threads: two are taken by polls, and one by the listing, while c is due.
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["a", "b"]

    world.listings["acme"] = listing
    driver.set_clock(timedelta(days=-1))  # has the workspace listed now
    driver.look()
    assert asked.wait(LONG)
    driver.advance(EVERY)
    answer.set()
    driver.discovered(2)
    for gate in gates:
        gate.through.set()
    driver.done("acme/c", 2)
    assert world.polled.count("acme/c") == 1


def test_an_empty_list_keeps_all_that_were_there(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driver = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driver.discovered()
    driver.done("acme/a", 1)
    driver.done("acme/b", 1)
    world.listings["acme"] = []
    driver.run("discovery", 1)
    assert "WARNING acme: the workspace no longer lists any project; the known ones are still polled" in lines()
    assert sorted(driver.daemon.projects()) == ["acme/a", "acme/b"]
    assert driver.due_in("acme/a") == timedelta(hours=2)
    assert driver.due_in("discovery") == timedelta(hours=1)


def test_a_database_that_is_away_while_listing_is_no_bug(world: World, lines: Callable[[], list[str]]) -> None:
    """It has the rate limit."""
    world.listings["acme"] = away = DatabaseError("reserving a turn of the rate limit: connection lost")
    driver = world.daemon(workspace())
    driver.discovered()
    assert driver.daemon.listings()["acme"] == Unlisted("database", str(away))
    assert BUG not in "".join(lines())
    world.listings["acme"] = ["a"]
    driver.run("discovery", 1)
    assert sorted(driver.daemon.projects()) == ["acme/a"]


def test_excluded_projects_are_not_polled(world: World) -> None:
    world.listings["acme"] = ["a", "scratch-1"]
    world.listings["down"] = FetchError(ErrorKind.SERVER, "HTTP 503")
    world.known["down"] = ["b", "scratch-2"]
    driver = world.daemon(workspace(exclude=("scratch-*",)), workspace(id="down", exclude=("scratch-*",)))
    driver.discovered()
    assert sorted(driver.daemon.projects()) == ["acme/a", "down/b"]


def test_a_named_project_never_leaves(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    want = replace(workspace("named"), discover=True)
    driver = world.daemon(want, schedule=Interval(timedelta(hours=3)))
    driver.discovered()
    world.listings["acme"] = ["a"]
    driver.run("discovery", 1)
    assert sorted(driver.daemon.projects()) == ["acme/a", "acme/named"]
    assert "acme/named" not in "".join(lines())


def test_a_workspace_that_can_not_be_listed_at_the_start_is_polled_as_the_database_knows_it(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = FetchError(ErrorKind.AUTH, "HTTP 401")
    world.known["acme"] = ["a", "b"]
    world.unobserved.add("a")
    driver = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driver.discovered()
    driver.done("acme/a", 1)
    driver.done("acme/b", 1)
    assert lines() == ["WARNING acme: its projects can't be listed (auth): HTTP 401"]
    assert driver.daemon.listings() == {"acme": Unlisted("auth", "HTTP 401")}
    assert driver.daemon.is_ready
    # It is asked again soon, and once it answers, each hour.
    assert driver.run("discovery", 1) == [timedelta(minutes=5)]
    lines()
    world.listings["acme"] = ["b", "c"]
    assert driver.run("discovery", 2) == [timedelta(minutes=5), timedelta(hours=1)]
    assert lines() == [
        "WARNING acme/a is no longer in its workspace, and was never observed: it is no longer polled",
        "INFO acme/c: a new project, polled from now on",
    ]
    assert driver.daemon.listings() == {"acme": None}
    driver.done("acme/c", 1)


def test_if_the_database_is_away_too_the_listing_is_retried(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings |= {"acme": FetchError(ErrorKind.TIMEOUT, "too late"), "other": ["o"]}
    world.known["acme"] = DatabaseError("it is away")
    driver = world.daemon(workspace(), workspace(id="other"))
    driver.discovered()
    assert lines()[0] == "WARNING acme: its projects can't be read from the database: it is away"
    assert list(driver.daemon.projects()) == ["other/o"]
    assert driver.daemon.listings() == {"acme": Unlisted("timeout", "too late"), "other": None}
    world.listings["acme"] = ["a"]
    assert driver.run("discovery", 1) == [timedelta(minutes=5)]
    assert sorted(driver.daemon.projects()) == ["acme/a", "other/o"]


def test_a_workspace_that_can_not_be_listed_later_keeps_its_projects(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = ["a"]
    driver = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driver.discovered()
    driver.done("acme/a", 1)
    world.listings["acme"] = FetchError(ErrorKind.SERVER, "HTTP 503")
    world.known["acme"] = ["never"]
    assert driver.run("discovery", 2) == [timedelta(hours=1), timedelta(minutes=5)]
    assert lines() == ["WARNING acme: its projects can't be listed (server): HTTP 503"] * 2
    assert list(driver.daemon.projects()) == ["acme/a"]
    assert driver.daemon.listings() == {"acme": Unlisted("server", "HTTP 503")}


def test_a_bug_while_a_workspace_is_listed_is_told_and_leaves_the_others_alone(world: World) -> None:
    world.listings |= {"acme": ZeroDivisionError("nobody thought of that"), "other": ["o"]}
    world.known["acme"] = ["a"]
    driver = world.daemon(workspace(), workspace(id="other"))
    driver.discovered()
    assert driver.due_in("discovery") == timedelta(minutes=5)
    assert sorted(driver.daemon.projects()) == ["acme/a", "other/o"]
    bug = f"{BUG}: ZeroDivisionError: nobody thought of that"
    assert driver.daemon.listings() == {"acme": Unlisted("bad_response", bug), "other": None}
    assert driver.daemon.is_ready


def test_after_a_bug_in_all_listings_it_is_not_known_what_to_poll(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.listings["acme"] = ["a"]
    with monkeypatch.context() as patch:
        patch.setattr("rfsync.daemon.polls.Polls.of_workspace", bug)
        driver = world.daemon(workspace())
        driver.discovered()
        assert not driver.daemon.is_ready
    assert driver.run("discovery", 1) == [timedelta(minutes=5)]
    assert driver.daemon.is_ready


def test_a_new_name_of_a_project_goes_with_its_next_poll(world: World) -> None:
    world.listings["acme"] = ["a"]
    driver = world.daemon(workspace(), schedule=Interval(timedelta(hours=1)))
    driver.discovered()
    driver.done("acme/a", 1)
    world.names["a"] = "A better one"
    driver.advance(timedelta(hours=1))
    driver.discovered(2)
    driver.done("acme/a", 2)
    driver.run("acme/a", 1)
    assert [task.name for task in world.tasks][-1] == "A better one"
