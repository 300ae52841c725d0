"""The timetable by itself, by the real clock: what is due is called at once, what is not due is only looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rfsync.daemon.timetable import Timetable
from rfsync.errors import ThreadError

LONG = 60.0
HOUR = 3600.0


class Clock:
    """The real one, or another."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timetable(clock: Clock) -> Iterator[Timetable]:
    timetable = Timetable(1, clock)
    timetable.start()
    yield timetable
    timetable.stop()
    timetable.join()


def test_what_is_due_is_called_once_with_its_arguments(timetable: Timetable) -> None:
    called: list[object] = []
    done = threading.Event()
    timetable.put("a", -HOUR, called.append, "late")
    timetable.put("b", 0.0, done.set)
    assert done.wait(LONG)
    assert called == ["late"]
    assert timetable.next_run("a") is None


def test_an_entry_takes_the_place_of_another_one_with_its_name(timetable: Timetable) -> None:
    called: list[object] = []
    done = threading.Event()
    timetable.put("a", HOUR, called.append, 1)
    timetable.put("a", 0.0, done.set)
    assert done.wait(LONG)
    assert (called, timetable.next_run("a")) == ([], None)


def test_an_entry_can_be_looked_up_and_removed(timetable: Timetable) -> None:
    timetable.put("a", HOUR, print)
    moment = timetable.next_run("a")
    assert moment is not None
    assert abs(moment - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    timetable.remove("a")
    assert timetable.next_run("a") is None
    timetable.remove("a")


def test_new_threads_do_not_wait_for_functions_that_run_and_those_end(timetable: Timetable) -> None:
    began, go_on, ended, other = (threading.Event() for _ in range(4))

    def hang() -> None:
        began.set()
        assert go_on.wait(LONG)
        ended.set()

    timetable.put("a", 0.0, hang)
    assert began.wait(LONG)
    timetable.replace_threads(1)
    timetable.put("b", 0.0, other.set)
    assert other.wait(LONG)
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(LONG)


def test_one_name_may_wait_for_a_thread_many_times(timetable: Timetable) -> None:
    go_on, count = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        assert go_on.wait(LONG)
        count.release()

    for _ in range(5):
        timetable.put("a", 0.0, hang)
        while timetable.next_run("a") is not None:
            pass
    go_on.set()
    for _ in range(5):
        assert count.acquire(timeout=LONG)


def test_it_is_alive_while_it_runs_and_nothing_is_long_overdue(timetable: Timetable, clock: Clock) -> None:
    assert timetable.is_alive
    timetable.put("a", HOUR, print)
    assert timetable.is_alive
    clock.ahead = timedelta(minutes=60)
    assert timetable.is_alive
    clock.ahead = timedelta(minutes=62)
    assert not timetable.is_alive


def test_it_is_not_alive_when_one_of_its_threads_has_died(timetable: Timetable) -> None:
    dead = threading.Thread(target=int)
    dead.start()
    dead.join()
    timetable._executor._pool._threads.append(dead)
    assert not timetable.is_alive
    done = threading.Event()
    timetable.put("a", 0.0, done.set)
    assert done.wait(LONG)
    assert timetable.is_alive  # that one was replaced
    timetable._scheduler._thread, living = dead, timetable._scheduler._thread
    assert not timetable.is_alive
    timetable._scheduler._thread = living


def test_a_bug_in_the_scheduler_does_not_end_it(
    timetable: Timetable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed, done = threading.Event(), threading.Event()

    def fail(_: object) -> None:
        failed.set()
        raise ZeroDivisionError("nobody thought of that")

    with monkeypatch.context() as patch:
        patch.setattr("apscheduler.schedulers.base.BaseScheduler._process_jobs", fail)
        timetable.put("a", 0.0, done.set)
        assert failed.wait(LONG)
    assert done.wait(LONG)
    assert timetable.is_alive
    assert "ZeroDivisionError: nobody thought of that" in caplog.text


@pytest.mark.parametrize("missing", ["rfsync_", "APScheduler"])
def test_without_a_thread_it_does_not_start(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if thread.name.startswith(missing):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(ThreadError):
        Timetable(1, lambda: datetime.now(UTC)).start()


def test_after_its_end_nothing_is_put_on_it() -> None:
    timetable = Timetable(1, lambda: datetime.now(UTC))
    assert not timetable.is_alive
    timetable.start()
    timetable.stop()
    timetable.put("a", 0.0, print)
    assert (timetable.next_run("a"), timetable.is_alive) == (None, False)
    timetable.join()
    timetable.stop()
