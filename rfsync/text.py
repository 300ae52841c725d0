"""Text from outside, made safe for a terminal."""

from __future__ import annotations

import json
import re
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
