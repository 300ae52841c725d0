"""Numbers and times as the report shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo


def count(number: int) -> str:
    """A number with thousands separators."""
    return f"{number:,}"


def signed(number: int) -> str:
    """A number with its sign (a typographic minus) and thousands separators; ``±0`` for zero."""
    return f"{number:+,}".replace("-", "−") if number else "±0"


def plural(number: int, singular: str) -> str:
    """``1 project``, ``2 projects``."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def age(since: datetime, now: datetime) -> str:
    """Approximate time between two instants, in one unit: ``40 seconds``, ``3 hours``."""
    seconds = max(int((now - since).total_seconds()), 0)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return plural(seconds // length, unit)
    return plural(seconds, "second")


@dataclass(frozen=True)
class TimeFormat:
    """Instants as local times of a zone."""

    zone: ZoneInfo

    def moment(self, instant: datetime) -> str:
        """To the minute: ``2026-01-31 18:00``."""
        return f"{instant.astimezone(self.zone):%Y-%m-%d %H:%M}"

    def day(self, instant: datetime) -> str:
        """``2026-01-31``."""
        return f"{instant.astimezone(self.zone):%Y-%m-%d}"
