"""Parsing of values on the command line and in the configuration."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from ipaddress import ip_address
from typing import Final, NamedTuple

from rfsync.errors import ConfigError
from rfsync.text import shown_name

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
#: A hundred years: from today, a longer one may reach beyond the years that can be shown.
LONGEST: Final = timedelta(days=36_500)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
#: Narrower than ``datetime.fromisoformat``, which takes other forms as well.
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ](?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?:[Zz]|[+-][0-9]{2}(?::?[0-5][0-9])?)?)?"
)
_TIME_FORMS: Final = (
    "write a date such as 2026-01-31, a time such as 2026-01-31T18:00:00Z or '2026-01-31 18:00+02:00', "
    "or an age such as 7d"
)
#: A time within them exists in every time zone, and has periods of the calendar before and after it.
YEARS: Final = range(1900, 9999)


def read_variable(env: Mapping[str, str], name: str) -> str | None:
    """The value of an environment variable without the blanks around it; None: it is not set, or is blank.

    Raises:
        ConfigError: there is a control character in it; the value itself is not shown, since it may be a secret.
    """
    value = env.get(name, "").strip()
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ConfigError(f"${name} has a line break or another control character in its value: it must be one line")
    return value or None


def parse_duration(text: str) -> timedelta:
    """Parses ``90s``, ``5m``, ``12h`` or ``30d``.

    Raises:
        ValueError: anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 90s, 5m, 12h or 30d")
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > LONGEST:
        raise ValueError(f"{text!r} is too long a duration: at most {LONGEST.days}d")
    return duration


def parse_time(text: str, now: datetime, tz: tzinfo = UTC) -> datetime:
    """Parses ISO 8601, a date or an age, and returns the instant in UTC.

    A date means the midnight at its start. A time without seconds means the start of the minute; digits beyond
    microseconds are cut off. A time that occurs twice when clocks are set back means the first; one that is skipped
    when they are set forward has the offset from before.

    Args:
        now: an age such as ``7d`` is subtracted from it; aware.
        tz: of a date, and of a time without an offset.

    Raises:
        ValueError: another format, no such day or time, or a year outside of 1900 to 9998.
    """
    written = text.strip()
    instant: datetime | None
    try:
        if _TIME.fullmatch(written):
            instant = datetime.fromisoformat(written.upper())
            instant = (instant if instant.tzinfo else instant.replace(tzinfo=tz)).astimezone(UTC)
        else:
            instant = now.astimezone(UTC) - parse_duration(written)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: {_TIME_FORMS}") from None
    except OverflowError:  # within a day of the first or last year of Python
        instant = None
    if instant is None or instant.year not in YEARS:
        raise ValueError(f"{text!r} is out of range: years are from {YEARS[0]} to {YEARS[-1]}")
    return instant


class Target(NamedTuple):
    """A workspace or a project, as named on a command line."""

    workspace: str
    #: None: all configured projects of the workspace.
    project: str | None

    def __str__(self) -> str:
        return self.workspace if self.project is None else f"{self.workspace}/{self.project}"


#: A page of the app, or an address of the API, in place of a target.
_ADDRESS: Final = re.compile(r"(?:https?://)?(?:app|api)\.roboflow\.(?:com|eu)/([\w-]+)(?:/([\w-]+))?")


def parse_target(text: str) -> Target:
    """Parses ``workspace`` or ``workspace/project``.

    Raises:
        ConfigError: anything else.
    """
    workspace, slash, project = text.partition("/")
    address = _ADDRESS.match(text)
    if address or not is_url_id(workspace) or (slash and not is_url_id(project)):
        ids = "use the ids as in the address app.roboflow.com/WORKSPACE/PROJECT"
        if address:
            ids = f"write {'/'.join(filter(None, address.groups()))}"
        raise ConfigError(f"TARGET {shown_name(text)} is neither a workspace nor workspace/project: {ids}")
    return Target(workspace, project if slash else None)


def is_url_id(text: str) -> bool:
    """True if a text can be the id of a workspace or project in a URL."""
    return bool(re.fullmatch(r"[^\s/?#\\\x00-\x1f\x7f*\ud800-\udfff]+", text)) and text not in {".", ".."}


def parse_listen(text: str) -> tuple[str, int]:
    """Parses ``HOST:PORT``, where an IPv6 address is in brackets.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9108")
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """True if a host name or address is this machine's loopback interface."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
