"""Old runs are deleted daily."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from rfsync.errors import DatabaseError
from tests.daemon.conftest import (
    START,
    World,
)


def test_old_runs_are_deleted_at_the_start_and_each_day(world: World, lines: Callable[[], list[str]]) -> None:
    world.prunable = 2
    driver = world.daemon()
    driver.done("pruning", 1)
    assert lines() == ["INFO 2 old runs that changed nothing deleted"]
    assert driver.run("pruning", 2) == [timedelta(days=1)] * 2
    assert world.pruned == [START + timedelta(days=days - 30) for days in range(3)]


def test_if_the_database_is_away_old_runs_are_deleted_the_next_day(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.prune_error = DatabaseError("it is away")
    driver = world.daemon()
    driver.done("pruning", 1)
    assert lines() == ["WARNING old runs could not be deleted, next attempt tomorrow: it is away"]
    assert driver.run("pruning", 1) == [timedelta(days=1)]


def test_a_bug_in_the_deletion_of_old_runs_does_not_end_it(world: World) -> None:
    world.prune_error = ZeroDivisionError("nobody thought of that")
    driver = world.daemon()
    driver.done("pruning", 1)
    assert driver.due_in("pruning") == timedelta(days=1)
