"""Text from outside, decoded and made safe for a terminal; and times as text."""

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

# Control characters (C0, C1), and invisible ones, such as those that change the direction of writing.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text in one line, without characters that could control a terminal."""
    return _UNPRINTABLE.sub("\ufffd", text)


#: What names hardly ever have, but URLs (of which a path has lost a slash) and the contents of configuration files do.
_NO_NAME: Final = re.compile("[\x00-\x1f\x7f-\x9f]|://|:/[^/]*:[^/]*@|=\\s*[\"']")
#: In characters.
_LONGEST_NAME: Final = 200
#: Names that a message proposes.
_MAX_CLOSE: Final = 3
#: Of two typing errors in a name of eight characters.
_LIKENESS: Final = 0.75


def shown_name(name: str) -> str:
    """A path or name as it was given, quoted and cut for a message.

    Text that is none, such as a URL or the content of a file, may contain a secret: it is not repeated.
    """
    if _NO_NAME.search(name):
        return f"({len(name):,} characters, not shown)"
    return printable(repr(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"))


def close_names(name: str, names: Iterable[str]) -> list[str]:
    """The names that are most like another one, at most three; empty: none is."""
    from difflib import get_close_matches  # slow to import, and seldom needed

    return get_close_matches(name, sorted(set(names) - {name}), _MAX_CLOSE, _LIKENESS)


def did_you_mean(meant: Sequence[str]) -> str:
    """A question at the end of a message, about what was probably meant; empty if there is nothing."""
    return f"; did you mean {' or '.join(meant)}?" if meant else ""


def decode_utf8(raw: bytes) -> str:
    """The text of a file that a person wrote, which may begin with a byte order mark.

    Raises:
        ValueError: it is not UTF-8; the message begins with "it is" and says what to do.
    """
    if is_utf16(raw):
        raise ValueError("it is UTF-16: save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 (line {line:,}): save it as UTF-8") from None


def is_utf16(raw: bytes | bytearray) -> bool:
    """Whether the text of a file is UTF-16, as some programs on Windows write it."""
    return raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw[:2]


def escaped(text: str) -> str:
    """A line of JSON with the same meaning, without characters that could control a terminal."""
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def rfc3339(instant: datetime | None) -> str | None:
    """An aware instant in UTC with microseconds and ``Z``; None for None."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def local_time(instant: datetime, zone: tzinfo) -> datetime:
    """An aware instant as a time in a zone; the last one that there is where that would be beyond the year 9999."""
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return datetime.max.replace(tzinfo=zone)


def age(since: timedelta) -> str:
    """An approximate duration in one unit: ``40s``, ``5m``, ``3h``, ``12d``; ``0s`` if negative."""
    seconds = max(int(since.total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
