"""Which projects are polled, as workspaces gain and lose them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from rfsync.daemon.discovery import Unlisted
from rfsync.errors import DatabaseError, ErrorKind, FetchError
from rfsync.schedule import Interval
from tests.daemon.conftest import (
    EVERY,
    LONG,
    World,
    workspace,
)


def test_a_workspace_is_asked_at_the_start_and_each_hour(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driven = world.daemon(workspace())
    driven.discovered()
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    assert driven.daemon.is_ready
    assert lines() == []
    assert driven.run("discovery", 2) == [timedelta(hours=1)] * 2
    assert world.listed == {"acme": 3}


def test_it_is_not_ready_before_it_knows_what_to_poll(world: World) -> None:
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["a"]

    world.listings["acme"] = listing
    driven = world.daemon(workspace(), workspace("n", id="named"))
    assert asked.wait(LONG)
    driven.done("named/n", 1)
    assert not driven.daemon.is_ready
    answer.set()
    driven.discovered()
    assert driven.daemon.is_ready


def test_a_new_project_joins_and_is_polled_at_once(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    world.listings["acme"] = ["a", "b"]
    driven.run("discovery", 1)
    driven.done("acme/b", 1)
    assert lines() == ["INFO acme/b: a new project, polled from now on"]
    assert world.polled == ["acme/a", "acme/b"]


def test_a_project_that_is_gone_leaves_with_one_warning(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/b", 1)
    world.listings["acme"] = ["a"]
    driven.run("discovery", 2)
    assert lines() == [
        "WARNING acme/b is no longer in its workspace: it is not polled any more, and its history is kept"
    ]
    assert list(driven.daemon.projects()) == ["acme/a"]
    assert driven.due_in("acme/b") is None
    # Nothing was asked of the database.
    assert world.calls == []
    world.listings["acme"] = ["a", "b"]
    driven.run("discovery", 1)
    driven.done("acme/b", 2)


def test_a_project_that_leaves_while_it_is_polled_is_not_polled_again(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    gate = world.gate("acme/b")
    driven = world.daemon(workspace())
    assert gate.began.wait(LONG)
    driven.discovered()
    world.listings["acme"] = ["a"]
    driven.run("discovery", 1)
    gate.through.set()
    driven.done("acme/b", 1)
    assert driven.due_in("acme/b") is None


def test_a_project_that_comes_back_while_it_is_still_polled_is_not_polled_twice_at_a_time(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    gate = world.gate("acme/b")
    driven = world.daemon(workspace())
    assert gate.began.wait(LONG)
    driven.discovered()
    for listing in (["a"], ["a", "b"]):
        world.listings["acme"] = listing
        driven.run("discovery", 1)
    driven.look()
    assert driven.due_in("acme/b") is None
    gate.through.set()
    driven.settle()
    assert world.polled.count("acme/b") == 2  # the listings have taken longer than its interval
    assert world.doubled == []


def test_a_project_that_leaves_while_it_waits_for_a_thread_is_not_polled(world: World) -> None:
    world.listings["acme"] = ["a", "b", "c"]
    gates = [world.gate("acme/a"), world.gate("acme/b")]
    driven = world.daemon(workspace(), concurrency=3)
    driven.discovered()
    driven.done("acme/c", 1)
    # Three threads: two are taken by polls, and one by the listing, while c is due.
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["a", "b"]

    world.listings["acme"] = listing
    driven.set_clock(timedelta(days=-1))  # has the workspace listed now
    driven.look()
    assert asked.wait(LONG)
    driven.advance(EVERY)
    answer.set()
    driven.discovered(2)
    for gate in gates:
        gate.through.set()
    driven.done("acme/c", 2)
    assert world.polled.count("acme/c") == 1


def test_an_empty_list_keeps_all_that_were_there(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    world.listings["acme"] = []
    driven.run("discovery", 1)
    assert "WARNING acme: the workspace lists no project any more; those that it had are polled on" in lines()
    assert sorted(driven.daemon.projects()) == ["acme/a", "acme/b"]
    assert driven.due_in("acme/a") == timedelta(hours=2)
    assert driven.due_in("discovery") == timedelta(hours=1)


def test_excluded_projects_are_not_polled(world: World) -> None:
    world.listings["acme"] = ["a", "scratch-1"]
    world.listings["down"] = FetchError(ErrorKind.SERVER, "HTTP 503")
    world.known["down"] = ["b", "scratch-2"]
    driven = world.daemon(workspace(exclude=("scratch-*",)), workspace(id="down", exclude=("scratch-*",)))
    driven.discovered()
    assert sorted(driven.daemon.projects()) == ["acme/a", "down/b"]


def test_a_project_that_is_named_never_leaves(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    want = replace(workspace("named"), discover=True)
    driven = world.daemon(want, schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    world.listings["acme"] = ["a"]
    driven.run("discovery", 1)
    assert sorted(driven.daemon.projects()) == ["acme/a", "acme/named"]
    assert "acme/named" not in "".join(lines())


def test_a_workspace_that_can_not_be_listed_at_the_start_is_polled_as_the_database_knows_it(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = FetchError(ErrorKind.AUTH, "HTTP 401")
    world.known["acme"] = ["a", "b"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    assert lines() == ["WARNING acme: its projects can't be listed (auth): HTTP 401"]
    assert driven.daemon.unlisted() == {"acme": Unlisted("auth", "HTTP 401")}
    assert driven.daemon.is_ready
    # It is asked again soon, and once it answers, each hour.
    assert driven.run("discovery", 1) == [timedelta(minutes=5)]
    lines()
    world.listings["acme"] = ["b", "c"]
    assert driven.run("discovery", 2) == [timedelta(minutes=5), timedelta(hours=1)]
    assert lines() == [
        "WARNING acme/a is no longer in its workspace: it is not polled any more, and its history is kept",
        "INFO acme/c: a new project, polled from now on",
    ]
    assert driven.daemon.unlisted() == {}
    driven.done("acme/c", 1)


def test_where_the_database_does_not_know_either_it_is_asked_again(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings |= {"acme": FetchError(ErrorKind.TIMEOUT, "too late"), "other": ["o"]}
    world.known["acme"] = DatabaseError("it is away")
    driven = world.daemon(workspace(), workspace(id="other"))
    driven.discovered()
    assert lines()[1] == "WARNING acme: nor can the database say which there were: it is away"
    assert list(driven.daemon.projects()) == ["other/o"]
    assert list(driven.daemon.unlisted()) == ["acme"]
    world.listings["acme"] = ["a"]
    assert driven.run("discovery", 1) == [timedelta(minutes=5)]
    assert sorted(driven.daemon.projects()) == ["acme/a", "other/o"]


def test_a_workspace_that_can_not_be_listed_later_keeps_its_projects(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    world.listings["acme"] = FetchError(ErrorKind.SERVER, "HTTP 503")
    world.known["acme"] = ["never"]
    assert driven.run("discovery", 2) == [timedelta(hours=1), timedelta(minutes=5)]
    assert lines() == ["WARNING acme: its projects can't be listed (server): HTTP 503"] * 2
    assert list(driven.daemon.projects()) == ["acme/a"]
    assert driven.daemon.unlisted() == {}


def test_a_bug_in_a_listing_does_not_end_them(world: World) -> None:
    world.listings |= {"acme": ZeroDivisionError("nobody thought of that"), "other": ["o"]}
    driven = world.daemon(workspace(), workspace(id="other"))
    driven.discovered()
    assert driven.due_in("discovery") == timedelta(minutes=5)


def test_a_new_name_of_a_project_goes_with_its_next_poll(world: World) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=1)))
    driven.discovered()
    driven.done("acme/a", 1)
    world.names["a"] = "A better one"
    driven.advance(timedelta(hours=1))
    driven.discovered(2)
    driven.done("acme/a", 2)
    driven.run("acme/a", 1)
    assert [task.name for task in world.jobs][-1] == "A better one"
