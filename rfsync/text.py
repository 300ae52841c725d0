"""Text from elsewhere, on a terminal."""

from __future__ import annotations

import json
import re
from typing import Final

# C0 and C1 controls, and what turns the direction of writing or hides: a name must not write on somebody's terminal.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """A text from the API as a terminal can show it without being steered by it; it stays on one line."""
    return _UNPRINTABLE.sub("\ufffd", text)


def escaped(text: str) -> str:
    """JSON that means the same and does not steer the terminal that it may be shown on; it stays on its lines."""
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)
