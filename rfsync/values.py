"""Values as people write them, on the command line and in the configuration."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Final, NamedTuple

from rfsync.errors import ConfigError

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
#: A hundred years: what is longer can't be counted back from today.
_LONGEST: Final = timedelta(days=36_500)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


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
