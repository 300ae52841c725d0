"""Numbers and times as the report writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo


def count(number: int) -> str:
    """With thousands separators."""
    return f"{number:,}"


def signed(number: int) -> str:
    """With its sign and thousands separators; the minus is a real one."""
    return f"{number:+,}".replace("-", "−") if number else "±0"


def plural(number: int, one: str, many: str = "") -> str:
    """``1 project``, ``2 projects``; ``many`` where an s is not enough."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def age(since: datetime, now: datetime) -> str:
    """About how long before ``now``, in one unit: ``40 seconds``, ``3 hours``."""
    seconds = max(int((now - since).total_seconds()), 0)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return plural(seconds // length, unit)
    return plural(seconds, "second")


def ago(since: datetime, now: datetime) -> str:
    """As ``age``, before the page was made."""
    return f"{age(since, now)} before"


@dataclass(frozen=True)
class Clock:
    """Moments on the clock of a time zone."""

    zone: ZoneInfo

    def moment(self, instant: datetime) -> str:
        return f"{instant.astimezone(self.zone):%Y-%m-%d %H:%M}"

    def day(self, instant: datetime) -> str:
        return f"{instant.astimezone(self.zone):%Y-%m-%d}"
