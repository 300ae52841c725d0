"""The timetable: named entries, each a function and its time. Hides APScheduler and its quirks."""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any, Final

from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from rfsync.sync.bugs import BUG
from rfsync.threads import ThreadPool, starting

log = logging.getLogger("rfsync.daemon")

#: An entry that is overdue by more than this means that the scheduler hangs.
_OVERDUE: Final = timedelta(minutes=1)
#: Seconds after which the scheduler looks again for what is due, where that has failed.
_RETRY: Final = 1.0


class Timetable:
    """Calls functions in threads, each once, when they are due. Late ones are called late, never dropped.

    Args:
        threads: functions that run at once.
        clock: the time of day, aware.

    Raises:
        ThreadError: the system starts not a single thread.
    """

    def __init__(self, threads: int, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._is_stopped = False
        self._executor = _Executor(threads)
        self._scheduler: Any = _Scheduler(
            executors={"default": self._executor},
            # No limit of instances: at the limit, APScheduler would drop the entry. It still counts a function that
            # has just put its next call on the timetable.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": sys.maxsize},
            timezone=UTC,
        )

    def start(self) -> None:
        """Begins to call what is due.

        Raises:
            ThreadError: the system starts no thread for it.
        """
        with starting():
            self._scheduler.start()

    def put(self, name: str, seconds: float, function: Callable[..., None], *arguments: object) -> None:
        """Has a function called in so many seconds, in place of an entry of this name that is not yet due.

        After ``stop`` it does nothing.
        """
        if self._is_stopped:
            return
        moment = self._clock() + timedelta(seconds=seconds)
        self._scheduler.add_job(
            function, "date", run_date=moment, args=arguments, id=name, name=name, replace_existing=True
        )

    def remove(self, name: str) -> None:
        """Removes an entry, if it is there and not yet due."""
        with suppress(JobLookupError):
            self._scheduler.remove_job(name)

    def next_run(self, name: str) -> datetime | None:
        """When an entry is due; None: it is not there, or it is running or about to."""
        job = self._scheduler.get_job(name)
        return None if job is None else job.next_run_time

    @property
    def is_alive(self) -> bool:
        """True while it runs, with all of its threads, and nothing is long overdue."""
        latest = self._clock() - _OVERDUE
        threads_live = self._scheduler.is_alive and self._executor.is_alive
        return threads_live and all(job.next_run_time > latest for job in self._scheduler.get_jobs())

    def replace_threads(self, threads: int) -> None:
        """Calls what is due from now on in new threads, so that it does not wait for functions that already run.

        Raises:
            ThreadError: the system starts not a single one; nothing has changed.
        """
        self._executor.replace_pool(threads)

    def stop(self) -> None:
        """Calls nothing that becomes due later; what already waits for a thread still gets one."""
        self._is_stopped = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def join(self) -> None:
        """Waits for the threads to end, after ``stop``."""
        self._executor.shutdown(wait=True)


def _pool(threads: int) -> ThreadPool:
    """A pool with its first thread: APScheduler drops what it can't submit, and to such a pool it always can."""
    pool = ThreadPool(threads, "rfsync")
    pool.submit(bool)
    return pool


class _Executor(BasePoolExecutor):  # type: ignore[misc]  # APScheduler 3 has no types
    """APScheduler's own, with threads that can be replaced."""

    _pool: ThreadPool

    def __init__(self, threads: int) -> None:
        super().__init__(_pool(threads))

    @property
    def is_alive(self) -> bool:
        return self._pool.is_alive

    def replace_pool(self, threads: int) -> None:
        new = _pool(threads)
        with self._lock:
            old, self._pool = self._pool, new
        old.shutdown(wait=False)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # as above
    """APScheduler's own, whose thread ends with the first exception."""

    @property
    def is_alive(self) -> bool:
        thread: Thread | None = self._thread
        return self.running and thread is not None and thread.is_alive()

    def _process_jobs(self) -> float | None:
        try:
            seconds: float | None = super()._process_jobs()
        except Exception as error:
            # It was shut down meanwhile, and the job that it was about to remove went with all the others.
            if not (isinstance(error, JobLookupError) and not self.running):
                log.exception(BUG)
            return _RETRY
        return seconds
