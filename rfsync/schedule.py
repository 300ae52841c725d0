"""When to poll: an interval, or cron's five fields as cron itself reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

_TICK: Final = timedelta(microseconds=1)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


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
    minute, hour, day, month, weekday = map(str.lower, fields)
    shared: dict[str, Any] = {
        "minute": _listed(_MINUTE.numbers(minute)),
        "hour": _listed(_HOUR.numbers(hour)),
        "month": _listed(_MONTH.numbers(month)),
        "timezone": timezone,
    }
    days = _listed(_DAY.numbers(day))
    # By their names: numbers are counted from Monday there.
    weekdays = _listed(_WEEKDAY.names[number % 7] for number in _WEEKDAY.numbers(weekday))
    # As in cron, a field that begins with a star does not count as given.
    if day.startswith("*") or weekday.startswith("*"):
        return CronTrigger(day=days, day_of_week=weekdays, **shared)
    return OrTrigger([CronTrigger(day=days, **shared), CronTrigger(day_of_week=weekdays, **shared)])


def _listed(values: Iterable[object]) -> str:
    return ",".join(dict.fromkeys(map(str, values)))


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five. Read here, since APScheduler passes over what it does not know: to it, jan/2 is jan."""

    what: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    def numbers(self, text: str) -> Iterator[int]:
        """All that a field in lower case stands for; of the days of the week also 7, which is Sunday, as 0 is.

        Raises:
            ValueError: it makes no sense.
        """
        for part in text.split(","):
            match = re.fullmatch(r"(?:\*|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/([0-9]+))?", part)
            if match is None:
                raise ValueError(f"{text!r} is no {self.what}")
            step = int(match[3] or 1)
            first = self._number(match[1]) if match[1] else self.lowest
            # A star, or a step without an end, goes on to the end.
            last = self.highest
            if match[2]:
                last = self._number(match[2])
                if last == 0 < first and self.highest == 6:
                    last = 7  # fri-sun
            elif match[1] and not match[3]:
                last = first
            if not step or first > last:
                raise ValueError(f"{text!r} is no {self.what}")
            yield from range(first, last + 1, step)

    def _number(self, word: str) -> int:
        if word in self.names:
            return self.names.index(word) + self.lowest
        # A Sunday may be written 7.
        highest = 7 if self.highest == 6 else self.highest
        if word.isdecimal() and self.lowest <= int(word) <= highest:
            return int(word)
        names = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        raise ValueError(f"{word!r} is no {self.what}: {self.lowest} to {highest}{names}")


_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY: Final = _Field("day of the month", 1, 31)
_MONTH: Final = _Field("month", 1, 12, _MONTHS)
_WEEKDAY: Final = _Field("day of the week", 0, 6, _WEEKDAYS)


def gap(schedule: Schedule, now: datetime) -> timedelta:
    """How far apart the next two polls are."""
    first = schedule.after(now)
    return schedule.after(first) - first
