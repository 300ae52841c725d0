"""The database was away: nothing is polled less often for that, and what failed is polled again when it answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.daemon.conftest import EVERY, FAILED, NO_DATABASE, Driver, World, minutes, workspace

FIVE_SECONDS = timedelta(seconds=5)


def without_database(world: World, *projects: str) -> Driver:
    """A daemon whose first polls have failed because the database does not answer."""
    world.is_away = True
    for project in projects:
        world.acts[f"acme/{project}"] = [NO_DATABASE]
    driver = world.daemon(workspace(*projects))
    for project in projects:
        driver.done(f"acme/{project}", 1)
    return driver


def test_what_failed_is_polled_again_as_soon_as_the_database_answers(
    world: World, lines: Callable[[], list[str]]
) -> None:
    driver = without_database(world, "a", "b")
    lines()
    assert driver.run("database", 3) == [FIVE_SECONDS] * 3
    assert (world.pings, world.polled.count("acme/a"), lines()) == (3, 1, [])
    world.is_away = False
    driver.run("database", 1)
    driver.settle()
    assert lines() == ["INFO the database answers again"]
    assert (world.polled.count("acme/a"), world.polled.count("acme/b")) == (2, 2)
    assert (driver.due_in("database"), driver.due_in("acme/a")) == (None, EVERY)


def test_a_project_that_has_not_failed_because_of_the_database_keeps_its_time(world: World) -> None:
    world.acts["acme/other"] = [FAILED]
    driver = without_database(world, "a")
    driver.reconfigure(workspace("a", "other"))
    driver.done("acme/other", 1)
    world.is_away = False
    driver.run("database", 1)
    driver.settle()
    assert world.polled.count("acme/other") == 1
    assert world.polled.count("acme/a") == 2


def test_failures_of_the_database_stretch_no_interval(world: World) -> None:
    world.is_away = True
    world.acts["acme/a"] = [NO_DATABASE] * 4
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    assert [driver.project("acme/a").failures, *driver.run("acme/a", 3)] == [1, EVERY, EVERY, EVERY]
    assert (driver.project("acme/a").failures, driver.due_in("acme/a")) == (4, EVERY)


def test_failures_of_the_api_stretch_it_as_before_whatever_the_database_does_in_between(world: World) -> None:
    world.is_away = True
    world.acts["acme/a"] = [FAILED, FAILED, NO_DATABASE, NO_DATABASE, FAILED]
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    assert driver.run("acme/a", 4) == minutes(5, 10, 10, 10)
    assert driver.due_in("acme/a") == timedelta(minutes=20)


def test_a_database_that_answers_and_yet_refuses_what_is_written_is_not_tried_every_few_seconds(world: World) -> None:
    world.acts["acme/a"] = [NO_DATABASE] * 9
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.run("database", 1)
    driver.done("acme/a", 2)
    driver.run("database", 1)
    driver.settle()
    assert world.polled.count("acme/a") == 2
    assert driver.due_in("database") is None
    # Once more a run was written: the next failure may be a short one again.
    world.acts["acme/a"] = [FAILED, NO_DATABASE]
    driver.run("acme/a", 2)
    driver.run("database", 1)
    driver.settle()
    assert world.polled.count("acme/a") == 5


def test_a_project_that_it_refuses_is_not_tried_every_few_seconds_because_others_are_written(world: World) -> None:
    world.acts["acme/a"] = [NO_DATABASE] * 9
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.run("database", 1)
    driver.done("acme/a", 2)
    driver.reconfigure(workspace("a", "b"))
    driver.done("acme/b", 1)
    driver.run("database", 1)
    driver.settle()
    assert world.polled.count("acme/a") == 2


def test_a_changed_clock_has_it_ask_at_once(world: World) -> None:
    driver = without_database(world, "a")
    world.is_away = False
    driver.set_clock(timedelta(days=-1))
    driver.look()
    driver.done("database", 1)
    driver.settle()
    assert world.polled.count("acme/a") == 2
