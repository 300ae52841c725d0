"""Schedules: an interval, or the five fields of a crontab line. Also the rule by which a project is stale."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, TypeAlias

from cronsim import CronSim, CronSimError

#: A project is stale when this many polls have been due since its last success.
MISSED_POLLS: Final = 3

#: Name and values of each field of a crontab line, for messages.
_FIELDS: Final = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12, or jan to dec"),
    ("day of the week", "0 to 7, or sun to sat"),
)
_NEVER: Final = "it never fires: there is no such day"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: How far back the latest time of a crontab line is looked for first.
_LOOK_BACK: Final = timedelta(minutes=5)
#: CronSim's extensions (L, LW, 5L and 5#2) and letters outside ASCII, which crontab(5) does not have.
_EXTENSION: Final = re.compile(r"(?<![a-z])lw?(?![a-z])|#|[^ -~]", re.IGNORECASE)
#: CronSim reads 7-7/2 as 7/2, which is every second value from 7 on.
_RANGE_OF_ONE: Final = re.compile(r"(?<![^,])0*([a-z0-9]+)-0*\1/0*[1-9][0-9]*(?![^,])", re.IGNORECASE)
#: A range such as fri-sun, whose end is Sunday as the seventh day.
_UNTIL_SUNDAY: Final = re.compile(r"(?<!sun)(?<!0)-(?:sun|0)(?![^,/])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Interval:
    """One poll per interval."""

    every: timedelta

    def after(self, moment: datetime) -> datetime:
        """The first time after ``moment`` at which a poll is due."""
        return moment + self.every


@dataclass(frozen=True, slots=True)
class Ticks:
    """One poll per interval, at times that all processes compute alike: multiples of the interval, and an offset."""

    every: timedelta
    #: Whole seconds, less than ``every``.
    offset: timedelta

    def after(self, moment: datetime) -> datetime:
        """See ``Interval.after``."""
        return self.latest(moment) + self.every

    def latest(self, moment: datetime) -> datetime:
        """The last time up to ``moment``, which may be ``moment`` itself, at which a poll is due."""
        first = _EPOCH + self.offset
        return first + (moment - first) // self.every * self.every


@dataclass(frozen=True, slots=True)
class Cron:
    """The times of a crontab line in a time zone, as ``man 5 crontab`` and ``man 8 cron`` define them.

    0 and 7 are Sunday. If both day of the month and day of the week are given, either is enough. At a change to summer
    time, a time of day that is skipped is due right after the change; one that occurs twice in autumn is due once.

    Raises:
        ValueError: there are not five fields, one of them is invalid, or there is no such day.
    """

    text: str
    timezone: tzinfo

    def __post_init__(self) -> None:
        fields = self.text.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(f"{len(fields)} fields instead of five")
        for place, (field, (name, values)) in enumerate(zip(fields, _FIELDS, strict=True)):
            if not _is_valid(" ".join(["*"] * place + [field] + ["*"] * (len(_FIELDS) - place - 1))):
                raise ValueError(f"{field!r} is not a valid {name}: {values}")
        self.after(datetime.now(UTC))

    def after(self, moment: datetime) -> datetime:
        """See ``Interval.after``."""
        try:
            times = CronSim(_normalized(self.text), moment.astimezone(self.timezone))
        except CronSimError:  # the months are shorter than that
            raise ValueError(_NEVER) from None
        for time in times:
            due = time.astimezone(UTC)
            # In the hour that occurs twice, CronSim also gives times of its first occurrence.
            if due > moment:
                return due
        raise ValueError(_NEVER)

    def latest(self, moment: datetime) -> datetime:
        """See ``Ticks.latest``."""
        back = _LOOK_BACK
        while (due := self.after(moment - back)) > moment:
            back *= 4
        while (following := self.after(due)) <= moment:
            due = following
        return due


#: Says when polls are due, and which times all processes have in common.
SharedSchedule: TypeAlias = Ticks | Cron
#: Says when polls are due.
Schedule: TypeAlias = Interval | SharedSchedule


def shared(schedule: Schedule, name: str) -> SharedSchedule:
    """The schedule by which several processes poll a project as one.

    The projects of an interval are spread over it by their names, so that they are not all due at once.

    Args:
        name: of the project.
    """
    if not isinstance(schedule, Interval):
        return schedule
    seconds = schedule.every // timedelta(seconds=1)
    return Ticks(schedule.every, timedelta(seconds=int(spread(name) * seconds)))


def spread(name: str) -> float:
    """A number from 0 to below 1 that is the same for a name in every process, and evenly distributed over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _is_valid(text: str) -> bool:
    if _EXTENSION.search(text):
        return False
    try:
        CronSim(_normalized(text), datetime.now(UTC))
    except (CronSimError, ValueError):  # ValueError: a number with too many digits
        return False
    return True


def _normalized(text: str) -> str:
    """The same line in a form that CronSim reads as cron does."""
    *others, weekday = text.split()
    return " ".join(_RANGE_OF_ONE.sub(r"\1", field) for field in (*others, _UNTIL_SUNDAY.sub("-7", weekday)))


def gap(schedule: Schedule, now: datetime) -> timedelta:
    """The time between the next two polls."""
    first = schedule.after(now)
    return schedule.after(first) - first


def stale_at(schedule: Schedule, last_success: datetime) -> datetime:
    """When a project becomes stale: the time of the third poll that was due since its last success."""
    moment = last_success
    for _ in range(MISSED_POLLS):
        moment = schedule.after(moment)
    return moment
