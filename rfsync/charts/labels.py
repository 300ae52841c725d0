"""Names in figures. Plotly takes texts for a kind of HTML and of templates; a name from the API must be neither."""

from __future__ import annotations

from typing import Final

from rfsync.text import printable

#: Characters of a name that a legend or an axis has room for, on a phone too.
SHORT: Final = 24

# Tags and entities, templates like %{y}, and TeX between dollars.
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "%": "&#37;", "$": "&#36;"})


def safe(text: str, limit: int | None = None) -> str:
    """A text as Plotly shows it letter by letter, wherever it takes text.

    Args:
        limit: a longer text is cut to so many characters, the last of them an ellipsis.
    """
    text = printable(text)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text.translate(_ESCAPES)


def days_label(from_days: int, to_days: int | None) -> str:
    """An age class of whole days in words: ``under 1 day``, ``7 to 30 days``, ``90 days or more``."""
    if to_days is None:
        return f"{_days(from_days)} or more"
    return f"{from_days} to {_days(to_days)}" if from_days else f"under {_days(to_days)}"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days:,} days"
