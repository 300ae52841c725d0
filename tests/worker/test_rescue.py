"""Polls whose worker is gone, in each way in which procrastinate's users have lost some: they are done by others."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from forked import fork_server
from workers import EACH_SECOND, GONE_AFTER, RARELY, Busy, Worker, work

from rfsync.schedule import Schedule
from rfsync.simulator import Simulator
from tests.worker.conftest import LONG, Queue


class Process:
    """A worker in a process of its own."""

    def __init__(self, queue: Queue, api: Simulator, schedule: Schedule, projects: tuple[str, ...] = ("a",)) -> None:
        self._process = fork_server().Process(target=work, args=(queue.url, api.url, projects, schedule), daemon=True)
        self._process.start()

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


@pytest.fixture
def start(queue: Queue, api: Simulator) -> Iterator[Callable[..., Process]]:
    """Starts processes, which end with the test at the latest."""
    with ExitStack() as stack:

        def start(schedule: Schedule = RARELY, *projects: str) -> Process:
            process = Process(queue, api, schedule, projects or ("a",))
            stack.callback(process.kill)
            return process

        yield start


def test_a_poll_is_rescued_however_its_worker_was_lost(queue: Queue, api: Simulator) -> None:
    # Before any worker starts: one whose worker's row was deleted, and one that is silent. The job that looks for
    # such can't be lost with them, as there is none.
    queue.leave_job("a")
    queue.leave_job("b", worker=queue.add_worker("now() - interval '1 hour'"))
    with Worker(queue.url, api.url, ["a", "b"], RARELY) as worker:
        # Once for the first tick of each, which may be waiting before the rescue, and once for what was rescued.
        queue.await_runs("a", 1)
        queue.await_runs("b", 1)
        queue.until(queue.is_empty)
        # While one works.
        for lost in (None, queue.add_worker(f"now() - interval '{GONE_AFTER} s'")):
            before = len(queue.outcomes("a"))
            queue.leave_job("a", worker=lost)
            queue.await_runs("a", before + 1)
            queue.until(queue.is_empty)
        # Of a worker that came back under its old number, and knows nothing of the job that it left.
        (own,) = worker.daemon._polls._queue._workers  # type: ignore[attr-defined]
        before = len(queue.outcomes("a"))
        queue.leave_job("a", worker=own)
        queue.await_runs("a", before + 1)
        queue.until(queue.is_empty)
    queue.verify()


def test_a_lost_poll_does_not_hold_up_the_next_one_of_its_project(queue: Queue, api: Simulator) -> None:
    lost, waiting = queue.leave_job("a"), queue.leave_job("a", status="todo")
    with Worker(queue.url, api.url, ["a"], RARELY):
        queue.await_runs("a", 1)
        queue.until(queue.is_empty)
    # The lost one's lock is free, and the waiting one is enough for both; the worker's first tick may have come later.
    assert len(queue.outcomes("a")) <= 2
    assert lost < waiting


def test_a_job_of_a_living_worker_is_left_alone_and_so_are_other_queues(queue: Queue, api: Simulator) -> None:
    living = queue.leave_job("a", worker=queue.add_worker("now() + interval '1 hour'"))
    other = queue.leave_job("a", worker=None, status="todo")
    queue.execute(
        "UPDATE procrastinate_jobs SET queue_name = 'mail', lock = NULL, status = 'doing' WHERE id = %s", other
    )
    with Worker(queue.url, api.url, ["a", "b"], EACH_SECOND):
        queue.await_runs("b", 4)
        assert queue.outcomes("a") == []
    kept = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing' AND id IN (%s, %s)"
    assert queue.one(kept, living, other) == 2


def test_a_worker_whose_row_another_one_has_deleted_joins_again(
    queue: Queue, api: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    with Worker(queue.url, api.url, ["a"], EACH_SECOND):
        queue.await_runs("a", 1)
        queue.execute("DELETE FROM procrastinate_workers")
        before = len(queue.outcomes("a"))
        queue.await_runs("a", before + 2)
        assert queue.one("SELECT count(*) FROM procrastinate_workers") == 1
    assert any("the queue was left, and is joined again" in record.getMessage() for record in caplog.records)


def test_one_that_was_suspended_comes_back_late_and_writes_nothing_stale(
    queue: Queue, api: Simulator, busy: Busy, start: Callable[..., Process]
) -> None:
    asked, answer = threading.Semaphore(0), threading.Event()
    first = threading.Lock()

    def before(_: str) -> None:
        asked.release()
        if first.acquire(blocking=False):
            assert answer.wait(LONG)

    busy.before = before
    late = start()
    assert asked.acquire(timeout=LONG)
    late.send(signal.SIGSTOP)
    start()
    # Another one has taken it over, and has seen what is newer.
    queue.until(lambda: "changed" in queue.outcomes("a"))
    queue.until(queue.is_empty)
    state = "SELECT batch_id, images FROM batches ORDER BY 1"
    assert queue.rows(state) == [("a0", 2), ("a1", 2), ("a2", 2)]
    answer.set()
    late.send(signal.SIGCONT)
    queue.until(lambda: "superseded" in queue.outcomes("a"))
    assert queue.rows(state) == [("a0", 2), ("a1", 2), ("a2", 2)]
    assert queue.rows("SELECT DISTINCT images_delta FROM batch_changes") == [(2,)]
    queue.verify()
    # It is a worker as any other again: of no use is what it has left.
    queue.until(queue.is_empty)
    queue.leave_job("a")
    runs = len(queue.outcomes("a"))
    queue.await_runs("a", runs + 1)
