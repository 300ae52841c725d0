"""Text from outside, made safe for a terminal; and times as text."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Final

# Control characters (C0, C1), and invisible ones, such as those that change the direction of writing.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text in one line, without characters that could control a terminal."""
    return _UNPRINTABLE.sub("\ufffd", text)


def escaped(text: str) -> str:
    """A line of JSON with the same meaning, without characters that could control a terminal."""
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def rfc3339(instant: datetime | None) -> str | None:
    """An aware instant in UTC with microseconds and ``Z``; None for None."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def age(since: timedelta) -> str:
    """An approximate duration in one unit: ``40s``, ``5m``, ``3h``, ``12d``; ``0s`` if negative."""
    seconds = max(int(since.total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
