"""Periods of a calendar in any time zone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from rfsync.errors import ConfigError

By = Literal["hour", "day", "week", "month"]
BY: Final[tuple[str, ...]] = get_args(By)
#: More are taken for a mistake; as hours these are eleven years.
MOST: Final = 100_000

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_NOTHING: Final = timedelta()


class Period(NamedTuple):
    """A period of the calendar, or the part of it that is wanted."""

    #: Its start by the calendar.
    start: datetime
    #: Start of what is wanted, inclusive, and its end, exclusive.
    since: datetime
    until: datetime
    #: Its end by the calendar.
    end: datetime

    @property
    def whole(self) -> bool:
        """True if all of it is wanted."""
        return self.since == self.start and self.until == self.end


def zone(name: str) -> ZoneInfo:
    """Find a time zone by its name.

    Raises:
        ConfigError: it is unknown.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        raise ConfigError(f"{name!r} is no time zone: use a name like Europe/Berlin, America/New_York or UTC") from None


def periods(by: By, since: datetime, until: datetime, tz: ZoneInfo) -> list[Period]:
    """The periods in ``[since, until)``, without a gap; the first and the last one are cut to it.

    Raises:
        ConfigError: there are more than ``MOST``.
    """
    if since >= until:
        return []
    least = {"hour": _HOUR, "day": _DAY, "week": 7 * _DAY, "month": 31 * _DAY}[by]
    if (until - since) / least > MOST:
        raise ConfigError(f"from {since:%Y-%m-%d} there are more than {MOST:,} periods by {by}: name a later --since")
    edges = list(_edges(by, since, until, tz))
    found = [Period(start, start, end, end) for start, end in pairwise(edges)]
    found[0] = found[0]._replace(since=since)
    found[-1] = found[-1]._replace(until=until)
    return found


def _edges(by: By, since: datetime, until: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    """The limits between periods, from the last one at or before ``since`` to the first one at or after ``until``."""
    limits = _hours(since, tz) if by == "hour" else _midnights(by, since, tz)
    edge = next(limits)
    for limit in limits:
        if limit > since:
            yield edge
            if edge >= until:
                return
        edge = limit


def _hours(since: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    """The beginning of the hour that ``since`` is in, and of all later ones: full hours, and changes of the offset."""
    since = since.astimezone(UTC)
    hour = since - _past_hour(since, tz)
    yield (edge := _change(hour, since, tz) or hour)
    full = edge + _HOUR - _past_hour(edge, tz)
    while True:
        change = _change(edge, full, tz)
        yield (edge := change or full)
        full = edge + _HOUR - (_past_hour(edge, tz) if change else _NOTHING)


def _past_hour(at: datetime, tz: ZoneInfo) -> timedelta:
    local = at.astimezone(tz)
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _midnights(by: By, since: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    """The beginning of the day, week or month that ``since`` is in, and of all later ones that exist."""
    day = first_day(by, since.astimezone(tz).date())
    yield (edge := midnight(day, tz))
    while True:
        day = (day + 31 * _DAY).replace(day=1) if by == "month" else day + (7 * _DAY if by == "week" else _DAY)
        last, edge = edge, midnight(day, tz)
        if edge > last:  # else there is no such day: a change of the date line skipped it
            yield edge


def first_day(by: By, day: date) -> date:
    """The first day of the week or month of a day, otherwise the day itself."""
    if by == "week":
        return day - timedelta(days=day.weekday())  # ISO: weeks begin on Monday
    return day.replace(day=1) if by == "month" else day


def midnight(day: date, tz: ZoneInfo) -> datetime:
    """The start of a day in UTC.

    If the clock skips midnight, this is the moment at which it does, and for a day that it skips altogether the start
    of the next one; if midnight comes twice, the first one.
    """
    if tz.key == "UTC":
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    local = datetime(day.year, day.month, day.day, tzinfo=tz)
    start, early = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    # Of a skipped time, fold=0 has the offset from before, and fold=1 the one from afterwards.
    return (_change(early, start, tz) or start) if early < start else start


def _change(after: datetime, until: datetime, tz: ZoneInfo) -> datetime | None:
    """When the zone's offset changes between two instants, the last one included; None: it does not.

    Args:
        after: a whole second.
    """
    offset = after.astimezone(tz).utcoffset()
    if until.astimezone(tz).utcoffset() == offset:
        return None
    until = until.replace(microsecond=0)  # changes are at whole seconds
    while until - after > _SECOND:
        middle = (after + (until - after) / 2).replace(microsecond=0)
        if middle.astimezone(tz).utcoffset() == offset:
            after = middle
        else:
            until = middle
    return until
