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
    driven = world.daemon()
    driven.done("pruning", 1)
    assert lines() == ["INFO 2 old runs that changed nothing deleted"]
    assert driven.run("pruning", 2) == [timedelta(days=1)] * 2
    assert world.pruned == [START + timedelta(days=days - 30) for days in range(3)]


def test_where_the_database_is_away_old_runs_are_deleted_the_next_day(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.prune_error = DatabaseError("it is away")
    driven = world.daemon()
    driven.done("pruning", 1)
    assert lines() == ["WARNING old runs could not be deleted, which is tried again tomorrow: it is away"]
    assert driven.run("pruning", 1) == [timedelta(days=1)]


def test_a_bug_in_the_deletion_of_old_runs_does_not_end_it(world: World) -> None:
    world.prune_error = ZeroDivisionError("nobody thought of that")
    driven = world.daemon()
    driven.done("pruning", 1)
    assert driven.due_in("pruning") == timedelta(days=1)
