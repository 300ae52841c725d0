"""What is polled when: one policy, for the daemon and for many workers. Pure: no clock, no thread, no randomness."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rfsync.errors import ErrorKind
from rfsync.schedule import Schedule, SharedSchedule, gap, spread

#: Consecutive failures stretch a project's interval by at most this factor; those of the database don't.
MAX_STRETCH: Final = 12
#: A larger drift between wall and monotonic clock means that the clock was changed.
CLOCK_JUMP: Final = timedelta(seconds=2)


def next_due(schedule: Schedule, due: datetime, began: datetime, now: datetime, failures: int) -> datetime:
    """When the poll after one that has just ended is due; a time in the past means at once.

    Args:
        due: when the poll that ended was due, by the clock as it was then.
        began: when it began, by the clock as it is now.
        failures: consecutive ones that stretch the interval, including this poll.
    """
    stretch = min(2 ** max(failures - 1, 0), MAX_STRETCH)
    if stretch > 1:
        return schedule.after(now + (stretch - 1) * gap(schedule, now))
    # Counting from the due time avoids drift. A due time in the future means that the clock was set back. If only by
    # a little, counting from now would poll twice for the same time of the schedule.
    following = schedule.after(due if due <= now + CLOCK_JUMP else now)
    # The poll made up for everything that was due before it began.
    return following if following > began else schedule.after(began)


def stretches_interval(outcome: str, error_kind: str | None) -> bool:
    """Tells whether a poll that ended like this stretches the interval.

    A database that was away says nothing about the project, and no API is spared by asking it less often.
    """
    return outcome == "failed" and error_kind != ErrorKind.DATABASE


@dataclass(frozen=True, slots=True)
class PastPolls:
    """What the processes that poll a project know in common of its polls until now."""

    #: When the last one began; None: there was none.
    began: datetime | None = None
    #: When it ended; None: it goes on.
    ended: datetime | None = None
    #: Consecutive failures that stretch the interval, up to the last poll that has ended.
    failures: int = 0
    #: The project has departed, and is not looked for before then; None: it has not departed.
    away_until: datetime | None = None


def due_tick(schedule: SharedSchedule, past: PastPolls, now: datetime) -> datetime | None:
    """The time of the schedule for which a project is to be polled now, by one of several processes.

    All that was missed is made up for by one poll. A poll that began in the future, by the clock of another machine,
    counts for nothing.

    Returns:
        None: it is not due.
    """
    if past.away_until is not None and now < past.away_until:
        return None
    began = past.began
    if began is not None and began <= now:
        ended = now if past.ended is None else past.ended
        # One that goes on stretches nothing: it may be the trace of a process that is gone.
        failures = 0 if past.ended is None else past.failures
        if next_due(schedule, began, began, ended, failures) > now:
            return None
    return schedule.latest(now)


def tick_delay(name: str, tick: datetime, jitter: timedelta) -> timedelta:
    """How much later than its tick a poll starts: a part of the jitter that is the same in every process."""
    return spread(f"{name} {tick.isoformat()}") * jitter
