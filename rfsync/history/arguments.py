"""The arguments of queries, checked when a function is called; the command line uses the same rules."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TypeAlias

from rfsync.errors import ConfigError
from rfsync.parsing import LONGEST, YEARS, parse_duration, parse_time

#: An aware datetime; a date, which means the midnight at its start; or a text as on the command line: ISO 8601 (UTC
#: unless it says otherwise), a date, or an age such as ``7d``.
Time: TypeAlias = date | str
#: A duration, or a text such as ``7d``.
Age: TypeAlias = timedelta | str


def utc_now() -> datetime:
    """This moment, aware."""
    return datetime.now(UTC)


def read_time(value: Time, name: str, now: datetime, tz: tzinfo = UTC) -> datetime:
    """The instant that an argument means, in UTC.

    Args:
        name: of the argument, for messages.
        now: an age is subtracted from it; aware.
        tz: of a date, and of a text without an offset.

    Raises:
        ConfigError: it means none, or one outside of the years 1900 to 9998.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ConfigError(
                f"{name}: {value} has no time zone: use datetime(…, tzinfo=UTC), a date, "
                f"or a text such as {value.isoformat()!r}, which is in {tz}"
            )
        if value.year in YEARS:  # else it may have no equivalent in UTC
            value = value.astimezone(UTC)
    try:
        return parse_time(value.isoformat() if isinstance(value, date) else str(value), now, tz)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def read_span(
    since: Time | None,
    until: Time | None,
    now: datetime,
    tz: tzinfo = UTC,
    names: tuple[str, str] = ("since", "until"),
) -> tuple[datetime | None, datetime | None]:
    """The two ends of a range of time; None for None.

    Raises:
        ConfigError: one of them is no time, or the first is not before the second.
    """
    first = None if since is None else read_time(since, names[0], now, tz)
    end = None if until is None else read_time(until, names[1], now, tz)
    if first is not None and end is not None and first >= end:
        shown = [repr(one) if isinstance(one, str) else str(one) for one in (since, until)]
        raise ConfigError(f"{names[0]}: {shown[0]} is not before {names[1]} {shown[1]}")
    return first, end


def read_required_span(since: Time, until: Time | None, now: datetime) -> tuple[datetime, datetime | None]:
    """As ``read_span``, with a start that is required."""
    first, end = read_span(since, until, now)
    return read_time(since, "since", now) if first is None else first, end


def read_past(value: Time | None, name: str, now: datetime) -> datetime | None:
    """A moment that is not in the future; None for None.

    Raises:
        ConfigError: it is no time, or in the future.
    """
    moment = None if value is None else read_time(value, name, now)
    if moment is not None and moment > now:
        raise ConfigError(f"{name}: {repr(value) if isinstance(value, str) else value} is in the future")
    return moment


def read_age(value: Age, name: str) -> timedelta:
    """A duration.

    Raises:
        ConfigError: it is none, negative, or longer than a hundred years.
    """
    try:
        age = value if isinstance(value, timedelta) else parse_duration(str(value))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    if not timedelta() <= age <= LONGEST:
        raise ConfigError(f"{name}: {age} is not a duration from 0s to {LONGEST.days}d")
    return age


def require_choice(value: str, name: str, choices: Sequence[str]) -> None:
    """Check that an argument is one of some words.

    Raises:
        ConfigError: it is not; the message has all of them.
    """
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(map(repr, choices))}")


def require_count(value: int | None, name: str, *, least: int = 0, most: int = 1_000_000_000) -> None:
    """Check that an argument is a whole number within limits; None passes.

    Raises:
        ConfigError: it is something else.
    """
    if value is not None and not (isinstance(value, int) and least <= value <= most):
        raise ConfigError(f"{name}: {value!r} is not a whole number from {least} to {most:,}")
