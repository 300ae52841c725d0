"""What is tried again, for how long, and how often when that was in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from rfsync.database.retry import RetryPolicy
from rfsync.errors import Cancelled, DatabaseError, TransientDatabaseError


def failing(*errors: Exception | None) -> tuple[Callable[[], str], list[int]]:
    """Work that fails with these, one after the other, and the times that it was done."""
    coming = iter(errors)
    done: list[int] = []

    def work() -> str:
        done.append(1)
        error = next(coming, None)
        if error is not None:
            raise error
        return "done"

    return work, done


def test_what_may_pass_is_tried_again() -> None:
    work, done = failing(TransientDatabaseError("locked"), TransientDatabaseError("locked"))
    assert (RetryPolicy(60).run(work), len(done)) == ("done", 3)


def test_what_does_not_pass_is_not() -> None:
    work, done = failing(DatabaseError("no such table"))
    with pytest.raises(DatabaseError):
        RetryPolicy(60).run(work)
    assert len(done) == 1


def test_without_patience_it_is_tried_once() -> None:
    work, done = failing(TransientDatabaseError("locked"))
    with pytest.raises(TransientDatabaseError):
        RetryPolicy(0).run(work)
    assert len(done) == 1


def test_after_one_was_in_vain_the_next_are_tried_once_until_one_succeeds() -> None:
    policy = RetryPolicy(0.001)
    assert policy.lock_timeout == 0.001
    with pytest.raises(TransientDatabaseError):
        policy.run(failing(*[TransientDatabaseError("away")] * 99)[0])
    assert policy.lock_timeout == 0
    for _ in range(3):
        work, done = failing(TransientDatabaseError("away"))
        with pytest.raises(TransientDatabaseError):
            policy.run(work)
        assert len(done) == 1
    assert policy.run(failing()[0]) == "done"
    assert policy.lock_timeout == 0.001


def test_stopped_it_does_only_what_is_essential_and_that_twice_at_most() -> None:
    policy = RetryPolicy(60)
    policy.stop()
    work, done = failing()
    with pytest.raises(Cancelled):
        policy.run(work)
    assert done == []
    work, done = failing(*[TransientDatabaseError("canceled")] * 9)
    with pytest.raises(TransientDatabaseError):
        policy.run(work, essential=True)
    assert len(done) == 2


def test_stopped_in_a_pause_it_goes_no_further() -> None:
    policy = RetryPolicy(60)
    began = threading.Event()

    def work() -> None:
        began.set()
        raise TransientDatabaseError("locked")

    ended: list[Exception] = []

    def do() -> None:
        try:
            policy.run(work)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    assert began.wait(60)
    policy.stop()
    thread.join(60)
    assert len(ended) == 1


def test_what_is_interrupted_when_stopped_is_cancelled_and_not_failed() -> None:
    policy = RetryPolicy(60)

    def work() -> None:
        policy.stop()
        raise DatabaseError("interrupted")

    with pytest.raises(Cancelled):
        policy.run(work)
