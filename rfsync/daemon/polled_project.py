"""A project that is polled, and when its next poll is due. Pure: no clock, no thread, no randomness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from rfsync.daemon.policy import next_due, stretches_interval
from rfsync.schedule import Interval, Schedule, stale_at
from rfsync.sync.result import Result
from rfsync.sync.task import SyncTask

#: Seconds after which a failure that persists is logged as an error again; in between it is a warning.
ERROR_LOG_INTERVAL: Final = 3600.0

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(NamedTuple):
    """The same moment by both clocks."""

    #: Time of day, aware.
    wall: datetime
    #: Seconds by a clock that nobody can change.
    monotonic: float

    @property
    def drift(self) -> timedelta:
        """Wall clock minus monotonic clock; constant until the wall clock is changed."""
        return self.wall - _EPOCH - timedelta(seconds=self.monotonic)


def should_log_error(logged_at: float | None, monotonic: float) -> bool:
    """True if a failure now is to be logged as an error: the first one, and then one an hour.

    Args:
        logged_at: when one last was, in seconds of the monotonic clock; None: not since the last success.
    """
    return logged_at is None or monotonic - logged_at >= ERROR_LOG_INTERVAL


@dataclass(frozen=True, slots=True)
class PolledProject:
    """A project on the timetable; each event makes a new one."""

    task: SyncTask
    schedule: Schedule
    #: A poll starts up to this much later than it is due.
    jitter: timedelta
    #: When the next poll is due, by the wall clock as it was when that was determined.
    due: datetime
    #: When it starts, in seconds of the monotonic clock: ``due`` plus a random part of the jitter.
    starts_at: float
    #: When the project becomes stale, in seconds of the monotonic clock.
    stale_at: float
    #: When its last success ended; None: none since the daemon was started.
    succeeded: Instant | None = None
    #: Consecutive failures.
    failures: int = 0
    #: Those of them that stretch the interval.
    stretching: int = 0
    #: How its last poll ended; None: none has ended, or the last one hit a bug.
    last: Result | None = None
    #: When its failure was last logged as an error, in seconds of the monotonic clock; None: it has not failed.
    error_logged_at: float | None = None

    @classmethod
    def new(cls, task: SyncTask, schedule: Schedule, jitter: timedelta, now: Instant) -> PolledProject:
        """A project that is due at once."""
        return cls(task, schedule, jitter, now.wall, now.monotonic, _stale_at(schedule, jitter, now))

    def reconfigured(self, task: SyncTask, schedule: Schedule, jitter: timedelta, now: Instant) -> PolledProject:
        """The same project under a new configuration; another schedule or key makes it due at once."""
        project = replace(self, task=task, schedule=schedule, jitter=jitter)
        if project.has_settings_of(self):
            return project
        due = PolledProject.new(task, schedule, jitter, now)
        return replace(project, due=due.due, starts_at=due.starts_at, stale_at=due.stale_at)

    def has_settings_of(self, other: PolledProject) -> bool:
        """True if schedule and key are the same."""
        return self.schedule == other.schedule and self.task.key == other.task.key

    def after_poll(self, poll: Poll, result: Result | None, now: Instant, delay: float) -> PolledProject:
        """The project after a poll has ended.

        Args:
            poll: as it began.
            result: None: a bug ended it.
            delay: a random part of the jitter, in seconds.
        """
        if result is not None and result.ok:
            stale = _stale_at(self.schedule, self.jitter, now)
            project = replace(
                self, last=result, failures=0, stretching=0, succeeded=now, stale_at=stale, error_logged_at=None
            )
        else:
            failed = result is None or result.outcome == "failed"
            stretches = result is None or stretches_interval(result.outcome, result.error_kind)
            project = replace(
                self, last=result, failures=self.failures + failed, stretching=self.stretching + stretches
            )
        if not self.has_settings_of(poll.project):
            return project  # due at once under its new settings, see ``reconfigured``
        began = now.wall - timedelta(seconds=now.monotonic - poll.began_at)
        due = next_due(self.schedule, self.due, began, now.wall, project.stretching)
        return _with_due(project, due, now, delay)

    def after_clock_change(self, now: Instant, delay: float) -> PolledProject:
        """The project after the wall clock was changed. Intervals go on; a cron line follows the new clock.

        A time of the cron line that the clock was moved past is made up for at once.

        Args:
            delay: a random part of the jitter, in seconds.
        """
        if isinstance(self.schedule, Interval) or self.starts_at <= now.monotonic:
            return self
        return _with_due(self, now.wall if self.due <= now.wall else self.schedule.after(now.wall), now, delay)

    def is_stale(self, monotonic: float) -> bool:
        """True if three polls have been due since its last success, or since it was added."""
        return monotonic >= self.stale_at

    def should_log_error(self, monotonic: float) -> bool:
        """See the function of this name."""
        return should_log_error(self.error_logged_at, monotonic)


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll that is going on."""

    #: As it was when the poll began.
    project: PolledProject
    #: In seconds of the monotonic clock.
    began_at: float


def _with_due(project: PolledProject, due: datetime, now: Instant, delay: float) -> PolledProject:
    due = max(due, now.wall)
    return replace(project, due=due, starts_at=now.monotonic + (due - now.wall).total_seconds() + delay)


def _stale_at(schedule: Schedule, jitter: timedelta, now: Instant) -> float:
    return now.monotonic + (stale_at(schedule, now.wall) + jitter - now.wall).total_seconds()
