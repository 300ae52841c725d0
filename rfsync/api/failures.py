"""What went wrong with an answer, in words for people."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from rfsync.errors import BadResponse, FetchError
from rfsync.text import printable


def describe_error(error: FetchError, redact: Callable[[str], str]) -> str:
    """What went wrong in a line for people, with how the answer begins where that says something.

    Args:
        redact: takes secrets out.
    """
    text = redact(str(error))
    return (
        text if not isinstance(error, BadResponse) or error.body is None else f"{text}: {_excerpt(error.body, redact)}"
    )


def _excerpt(body: bytes, redact: Callable[[str], str]) -> str:
    """How an answer begins, or the API's own words in it."""
    # Redacted before anything is cut off: half of a key is still half a key.
    said = error_message(body)
    if said:
        return f"the API says {shortened(redact(said), 300)!r}"
    return repr(shortened(redact(body.decode("utf-8", "replace")), 80)) if body else "an empty body"


def shortened(text: str, most: int) -> str:
    """At most so many characters of a text, and whether there were more."""
    return text if len(text) <= most else text[:most] + "…"


def error_message(body: bytes | bytearray) -> str | None:
    """The text of ``{"error": "text"}`` or ``{"error": {"message": "text"}}``, fit to be shown; else None."""
    try:
        decoded = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    error = decoded.get("error")
    if isinstance(error, dict):
        error = error.get("message")
    return printable(error) if isinstance(error, str) and error else None
