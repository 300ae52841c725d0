"""The timetable: named entries, each a function and its time. Hides APScheduler and its quirks."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

#: An entry that is overdue by more than this means that the scheduler hangs.
_OVERDUE: Final = timedelta(minutes=1)


class Timetable:
    """Calls functions in threads, each once, when they are due. Late ones are called late, never dropped.

    Args:
        threads: functions that run at once.
        clock: the time of day, aware.
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
        """Begins to call what is due."""
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
        """True while it runs and nothing is long overdue."""
        latest = self._clock() - _OVERDUE
        return self._scheduler.running and all(job.next_run_time > latest for job in self._scheduler.get_jobs())

    def replace_threads(self, threads: int) -> None:
        """Calls what is due from now on in new threads, so that it does not wait for functions that already run."""
        self._executor.replace_pool(threads)

    def stop(self) -> None:
        """Calls nothing that becomes due later; what already waits for a thread still gets one."""
        self._is_stopped = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def join(self) -> None:
        """Waits for the threads to end, after ``stop``."""
        self._executor.shutdown(wait=True)


_pool = partial(ThreadPoolExecutor, thread_name_prefix="rfsync")


class _Executor(BasePoolExecutor):  # type: ignore[misc]  # APScheduler 3 has no types
    """APScheduler's own, with threads that can be replaced."""

    _pool: ThreadPoolExecutor

    def __init__(self, threads: int) -> None:
        super().__init__(_pool(threads))

    def replace_pool(self, threads: int) -> None:
        with self._lock:
            old, self._pool = self._pool, _pool(threads)
        old.shutdown(wait=False)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # as above
    """APScheduler's own, which fails if it is shut down while it starts what is due."""

    def _process_jobs(self) -> float | None:
        try:
            seconds: float | None = super()._process_jobs()
        except JobLookupError:
            if self.running:
                raise
            return None  # the job that it was about to remove went with all the others
        return seconds
