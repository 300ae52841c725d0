"""Threads, where the system starts no more of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from rfsync.errors import ThreadError
from rfsync.threads import ThreadPool, starting

LONG = 60.0


class System:
    """Starts only so many threads more."""

    def __init__(self) -> None:
        self.left = 10**6


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System()
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if not system.left:
            raise RuntimeError("can't start new thread")
        system.left -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    return system


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the latest when the test has ended, since the end of a pool waits for what it calls."""
    gate = threading.Event()
    yield gate
    gate.set()


def pool_of(system: System, threads: int, gate: threading.Event) -> tuple[ThreadPool, Callable[[], None]]:
    """A pool of four, which can start so many; and what has begun waits at the gate."""
    system.left = threads
    began = threading.Semaphore(0)
    pool = ThreadPool(4, "test")

    def wait() -> None:
        began.release()
        assert gate.wait(LONG)

    for _ in range(4):
        pool.submit(wait)
    for _ in range(threads):
        assert began.acquire(timeout=LONG)
    return pool, wait


def test_a_pool_goes_on_with_the_threads_that_it_has(
    system: System, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    pool, _ = pool_of(system, 2, gate)
    futures = [pool.submit(pow, 2, n) for n in range(5)]
    gate.set()
    assert [future.result(LONG) for future in futures] == [1, 2, 4, 8, 16]
    (record,) = caplog.records
    assert record.getMessage().startswith("going on with 2 of 4 threads: can't start new thread: ")
    assert pool.is_alive
    pool.shutdown()


def test_a_pool_starts_more_threads_as_soon_as_it_can(system: System, gate: threading.Event) -> None:
    pool, wait = pool_of(system, 1, gate)
    system.left = 3
    free = threading.Event()
    pool.submit(wait)
    pool.submit(wait)
    pool.submit(free.set)
    assert system.left == 0
    gate.set()
    assert free.wait(LONG)
    pool.shutdown()


def test_a_pool_without_a_single_thread_is_an_error_that_names_the_limits(system: System) -> None:
    system.left = 0
    pool = ThreadPool(4, "test")
    with pytest.raises(ThreadError, match=r"can't start new thread: .*ulimit -u, TasksMax"):
        pool.submit(pow, 2, 2)
    system.left = 1
    assert pool.submit(pow, 2, 3).result(LONG) == 8
    pool.shutdown()


def test_a_thread_of_a_pool_that_died_is_seen_and_replaced(system: System) -> None:
    pool = ThreadPool(1, "test")
    dead = threading.Thread(target=int)
    dead.start()
    dead.join()
    assert pool.submit(pow, 2, 2).result(LONG) == 4
    assert pool.is_alive
    pool._threads = [dead]
    assert not pool.is_alive
    assert [pool.submit(pow, 2, n).result(LONG) for n in range(3)] == [1, 2, 4]
    assert pool.is_alive
    pool.shutdown()


def test_only_the_start_of_a_thread_is_told_as_one() -> None:
    with pytest.raises(RuntimeError, match="cannot join") as caught, starting():
        threading.Thread(target=int).join()
    assert not isinstance(caught.value, ThreadError)


_EXIT = """
import sys, threading
from rfsync.threads import exit_after

def none(thread):
    raise RuntimeError("can't start new thread")

if sys.argv[1] == "without-a-thread":
    threading.Thread.start = none
call_off = exit_after(float(sys.argv[2]), 7)
if sys.argv[3] == "called-off":
    call_off()
else:
    threading.Event().wait()
"""


@pytest.mark.parametrize("how", ["with-a-thread", "without-a-thread"])
def test_a_process_ends_after_its_time_unless_that_is_called_off(how: str) -> None:
    for seconds, then, code in (("0.01", "waits", 7), ("60", "called-off", 0)):
        command = [sys.executable, "-c", _EXIT, how, seconds, then]
        assert subprocess.run(command, timeout=LONG).returncode == code
