"""Values as people write them, on the command line and in the configuration."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from ipaddress import ip_address
from typing import Final, NamedTuple

from rfsync.errors import ConfigError

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
#: A hundred years: what is longer can't be counted back from today.
_LONGEST: Final = timedelta(days=36_500)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?([Zz]|([+-])([0-9]{2}):?([0-9]{2})?)?)?"
)
_TIME_FORMS: Final = (
    "write a date such as 2026-01-31, a time such as 2026-01-31T18:00:00Z or '2026-01-31 18:00+02:00', "
    "or an age such as 7d"
)
#: Within them a time can be read in every time zone, and the calendar has periods around it.
_YEARS: Final = range(1900, 9999)


def parse_duration(text: str) -> timedelta:
    """Reads ``90s``, ``5m``, ``12h`` or ``30d``.

    Raises:
        ValueError: anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration: write 90s, 5m, 12h or 30d")
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > _LONGEST:
        raise ValueError(f"{text!r} is too long a duration: at most {_LONGEST.days}d")
    return duration


def parse_time(text: str, now: datetime, tz: tzinfo = UTC) -> datetime:
    """Reads ISO 8601, a date or an age, and gives the instant in UTC.

    A date is the midnight that begins it. What has less than seconds begins the minute, and what is finer than a
    microsecond is cut off. Where a clock that was set back shows a time twice, the first is meant; a time that it leaps
    over is read by the clock before.

    Args:
        now: what an age such as ``7d`` is counted back from; aware.
        tz: of a date, and of a time that has no offset from UTC.

    Raises:
        ValueError: the text is none of them, there is no such day or time, or the year is not from 1900 to 9998.
    """
    written = text.strip()
    match = _TIME.fullmatch(written)
    instant: datetime | None
    try:
        instant = _instant(match, tz) if match else now.astimezone(UTC) - parse_duration(written)
    except ValueError:
        raise ValueError(f"{text!r} is no time: {_TIME_FORMS}") from None
    except OverflowError:  # within a day of the years that Python has
        instant = None
    if instant is None or instant.year not in _YEARS:
        raise ValueError(f"{text!r} is out of range: years are from {_YEARS[0]} to {_YEARS[-1]}")
    return instant


def _instant(match: re.Match[str], tz: tzinfo) -> datetime:
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction, offset, sign, hours, minutes = match.groups()[6:]
    if offset is not None and sign is None:
        tz = UTC
    elif sign is not None:
        if int(minutes or 0) > 59:
            raise ValueError(offset)
        ahead = timedelta(hours=int(hours), minutes=int(minutes or 0))
        tz = timezone(ahead if sign == "+" else -ahead)
    microsecond = int((fraction or "").ljust(6, "0")[:6])
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=tz).astimezone(UTC)


class Target(NamedTuple):
    """What a command line names: a workspace, or one project of it."""

    workspace: str
    #: None: all of the workspace that is configured.
    project: str | None

    def __str__(self) -> str:
        return self.workspace if self.project is None else f"{self.workspace}/{self.project}"


def parse_target(text: str) -> Target:
    """Reads ``workspace`` or ``workspace/project``.

    Raises:
        ConfigError: neither of the two.
    """
    workspace, slash, project = text.partition("/")
    if not is_url_id(workspace) or (slash and not is_url_id(project)):
        raise ConfigError(
            f"TARGET {text!r} is neither a workspace nor workspace/project: "
            "use the ids as in the address app.roboflow.com/WORKSPACE/PROJECT"
        )
    return Target(workspace, project if slash else None)


def is_url_id(text: str) -> bool:
    """Whether a text can be the id of a workspace or project in an address."""
    return bool(re.fullmatch(r"[^\s/?#\\\x00-\x1f\x7f*\ud800-\udfff]+", text)) and text not in {".", ".."}


def parse_listen(text: str) -> tuple[str, int]:
    """Reads ``HOST:PORT``, an IPv6 address in brackets.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
