"""When to poll: an interval, or cron's five fields as cron itself reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

_TICK: Final = timedelta(microseconds=1)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Schedule(Protocol):
    """Says when a poll is due after another one."""

    def after(self, moment: datetime) -> datetime:
        """The first time at which it is due after ``moment``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Once every so often."""

    every: timedelta

    def after(self, moment: datetime) -> datetime:
        """See ``Schedule.after``."""
        return moment + self.every


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times of cron's five fields in a time zone.

    They are read as ``man 5 crontab`` has it, and not as APScheduler would: 0 and 7 are Sunday, and where both the day
    of the month and the day of the week are given, either is enough.

    Raises:
        ValueError: they are not five, one of them makes no sense, or there is no such day.
    """

    text: str
    timezone: tzinfo
    _trigger: BaseTrigger = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_trigger", _cron_trigger(self.text, self.timezone))
        self.after(datetime.now(UTC))

    def after(self, moment: datetime) -> datetime:
        """See ``Schedule.after``."""
        due: datetime | None = self._trigger.get_next_fire_time(None, moment + _TICK)
        if due is None:
            raise ValueError("it never fires: there is no such day")
        return due.astimezone(UTC)


def _cron_trigger(text: str, timezone: tzinfo) -> BaseTrigger:
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} fields instead of five, such as */5 * * * *")
    minute, hour, day, month, weekday = fields
    shared: dict[str, Any] = {"minute": minute, "hour": hour, "month": month, "timezone": timezone}
    weekdays = _weekdays(weekday)
    # As in cron, a field that begins with a star does not count as given.
    if day.startswith("*") or weekday.startswith("*"):
        return CronTrigger(day=day, day_of_week=weekdays, **shared)
    return OrTrigger([CronTrigger(day=day, **shared), CronTrigger(day_of_week=weekdays, **shared)])


def _weekdays(field: str) -> str:
    """Cron's field as names, which both count alike."""
    days: list[str] = []
    for part in field.lower().split(","):
        match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)
        if match is None or (match[1] == "*" and match[2]):
            raise ValueError(f"{field!r} is no day of the week")
        step = int(match[3] or 1)
        if match[1] == "*":
            first, last = 0, 6
        else:
            first = _weekday(match[1])
            # A step without an end goes on to the end of the week.
            last = _weekday(match[2]) if match[2] else (6 if match[3] else first)
            if match[2] and last == 0 < first:
                last = 7  # fri-sun
        if not step or first > last:
            raise ValueError(f"{field!r} is no day of the week")
        days += _WEEKDAYS[first : last + 1 : step]
    return ",".join(dict.fromkeys(days))


def _weekday(word: str) -> int:
    if word.isdigit() and int(word) <= 7:
        return int(word)
    if word in _WEEKDAYS:
        return _WEEKDAYS.index(word)
    raise ValueError(f"{word!r} is no day of the week: 0 to 7, or sun to sat")


def gap(schedule: Schedule, now: datetime) -> timedelta:
    """How far apart the next two polls are."""
    first = schedule.after(now)
    return schedule.after(first) - first
