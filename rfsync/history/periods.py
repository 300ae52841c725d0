"""Periods of a calendar, in any time zone, and the parts of them that the database keeps sums of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from rfsync.errors import ConfigError
from rfsync.ledger.observed import QUARTER, halves

By = Literal["hour", "day", "week", "month"]
BY: Final[tuple[str, ...]] = get_args(By)
#: More periods than that are a slip of the pen: eleven years of hours.
MOST: Final = 100_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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


def zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(f"{name!r} is no time zone: use a name like Europe/Berlin, America/New_York or UTC") from None


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
    edges = list(_edges(by, since, until, tz))
    found = [Period(start, start, end) for start, end in pairwise(edges)]
    found[0] = Period(edges[0], since, found[0].until)
    found[-1] = Period(found[-1].start, found[-1].since, until)
    return found


def _edges(by: By, since: datetime, until: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    """Where the periods meet, from the last one until ``since`` to the first from ``until`` on."""
    if by == "hour":
        yield (edge := _full_hour(since, tz))
        while edge < until:
            # Aligned to the local clock again, where that was set by less than an hour in between.
            aligned = _full_hour(edge + _HOUR, tz)
            yield (edge := aligned if aligned > edge else edge + _HOUR)
        return
    day = since.astimezone(tz).date()
    if by == "week":
        day -= timedelta(days=day.weekday())  # ISO: weeks begin on Monday
    elif by == "month":
        day = day.replace(day=1)
    yield (edge := _midnight(day, tz))
    while edge < until:
        day = (day + 31 * _DAY).replace(day=1) if by == "month" else day + (7 * _DAY if by == "week" else _DAY)
        yield (edge := _midnight(day, tz))


def _full_hour(at: datetime, tz: ZoneInfo) -> datetime:
    local = at.astimezone(tz)
    return at.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _midnight(day: date, tz: ZoneInfo) -> datetime:
    # Where the clock jumps over midnight this is the moment of the jump; where midnight comes twice, the first.
    if tz.key == "UTC":
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    return datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)


def quarters(since: datetime, until: datetime) -> list[tuple[date, int, int]]:
    """The quarters of an hour that a range of time touches: of each UTC day those before noon and those after it."""
    found = []
    midnight = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while midnight < until:
        first = max(since - midnight, timedelta()) // QUARTER
        last = -(-min(until - midnight, _DAY) // QUARTER)
        found.append((midnight.date(), *halves((1 << last) - (1 << first))))
        midnight += _DAY
    return found


def nearest(at: datetime) -> datetime:
    """The midnight of UTC that an instant is nearest to."""
    at = at.astimezone(UTC)
    past = (at - _EPOCH) % _DAY
    return at - past if past * 2 < _DAY else at - past + _DAY


def split_whole_units(
    since: datetime, until: datetime, unit: timedelta
) -> tuple[tuple[datetime, datetime] | None, list[tuple[datetime, datetime]]]:
    """SyncContext ``[since, until)`` into the whole units of UTC in it, and what is left before and after them.

    Args:
        unit: an hour or a day.

    Returns:
        From and until of the whole units, None if there is none; and what is left, as up to two ranges.
    """
    # In any other zone a day added would be a day of its calendar.
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    before, after = (since - _EPOCH) % unit, (until - _EPOCH) % unit
    if not before and not after:
        return (since, until), []
    first, last = since + (unit - before) % unit, until - after
    if first >= last:
        return None, [(since, until)]
    return (first, last), [(a, b) for a, b in ((since, first), (last, until)) if a < b]
