"""Periods of a calendar, in any time zone, and the parts of them that the database keeps sums of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from rfsync.coverage import QUARTER, halves
from rfsync.errors import ConfigError

By = Literal["hour", "day", "week", "month"]
BY: Final[tuple[str, ...]] = get_args(By)
#: More periods than that are a slip of the pen: eleven years of hours.
MOST: Final = 100_000

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """A period, as far as it was asked for."""

    #: Its start by the calendar.
    start: datetime
    #: What of it was asked for: from, inclusive, until, exclusive.
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Piece:
    """What a period has of a UTC day."""

    day: date
    #: Whether that is all of the day.
    whole: bool
    #: The quarters of an hour that it touches, before noon and after: bit n is the n-th.
    am: int
    pm: int


def zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is neither: a KeyError
        pass
    except KeyError:
        pass
    raise ConfigError(f"{name!r} is no time zone: use a name like Europe/Berlin, America/New_York or UTC")


def periods(by: By, since: datetime, until: datetime, tz: ZoneInfo) -> list[Period]:
    """The periods that ``[since, until)`` touches, without a gap; the first and the last cut where it begins and ends.

    Raises:
        ConfigError: they are more than ``MOST``.
    """
    if since >= until:
        return []
    least = {"hour": _HOUR, "day": _DAY, "week": 7 * _DAY, "month": 31 * _DAY}[by]
    if (until - since) / least > MOST:
        raise ConfigError(f"from {since:%Y-%m-%d} there are more than {MOST:,} periods by {by}: name a later --since")
    edges = [_floor(by, since, tz)]
    while edges[-1] < until:
        edges.append(_next(by, edges[-1], tz))
    return [Period(start, max(start, since), min(end, until)) for start, end in pairwise(edges)]


def _floor(by: By, at: datetime, tz: ZoneInfo) -> datetime:
    local = at.astimezone(tz)
    if by == "hour":
        return at.astimezone(UTC) - timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
    day = local.date()
    if by == "week":
        day -= timedelta(days=day.weekday())  # ISO: weeks begin on Monday
    elif by == "month":
        day = day.replace(day=1)
    return _midnight(day, tz)


def _next(by: By, start: datetime, tz: ZoneInfo) -> datetime:
    if by == "hour":
        # Aligned to the local clock again, where that was set by less than an hour in between.
        after = start + _HOUR
        aligned = _floor("hour", after, tz)
        return aligned if aligned > start else after
    day = start.astimezone(tz).date()
    if by == "day":
        day += _DAY
    elif by == "week":
        day += 7 * _DAY
    else:
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return _midnight(day, tz)


def _midnight(day: date, tz: ZoneInfo) -> datetime:
    # Where the clock jumps over midnight this is the moment of the jump; where midnight comes twice, the first.
    return datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)


def pieces(period: Period) -> list[Piece]:
    """What the period has of each UTC day, in order."""
    found = []
    midnight = period.since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while midnight < period.until:
        first = max(period.since - midnight, timedelta())
        last = min(period.until - midnight, _DAY)
        touched = (1 << -(-last // QUARTER)) - (1 << first // QUARTER)
        found.append(Piece(midnight.date(), last - first == _DAY, *halves(touched)))
        midnight += _DAY
    return found


def rest(
    since: datetime, until: datetime, unit: timedelta
) -> tuple[tuple[datetime, datetime] | None, list[tuple[datetime, datetime]]]:
    """Parts ``[since, until)`` into the whole units of UTC in it, and what is left before and after them.

    Args:
        unit: an hour or a day.

    Returns:
        From and until of the whole units, None if there is none; and what is left, as up to two ranges.
    """
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first = epoch + -(-(since - epoch) // unit) * unit
    last = epoch + (until - epoch) // unit * unit
    if first >= last:
        return None, [(since, until)]
    return (first, last), [(a, b) for a, b in ((since, first), (last, until)) if a < b]
