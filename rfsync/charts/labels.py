"""Labels in figures. Plotly interprets text as a subset of HTML and as templates; names from the API are escaped."""

from collections.abc import Sequence
from typing import Any, Final

from rfsync.text import printable

#: Maximum length of a name in a legend, in characters; fits on a phone.
LEGEND_LENGTH: Final = 40
#: Maximum length of a label above a bar, in characters; fits on a phone.
LABEL_LENGTH: Final = 50
#: Length of a line in a tooltip, and maximum length of a name there, in characters.
_TOOLTIP_LINE: Final = 50
_TOOLTIP_LENGTH: Final = 500

# Tags and entities, templates such as %{y}, and TeX between dollar signs.
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "%": "&#37;", "$": "&#36;"})


def escape(text: str, limit: int | None = None) -> str:
    """Escapes a text so that Plotly shows it literally.

    Args:
        limit: as for ``shortened``; it applies before escaping.
    """
    text = printable(text)
    if limit is not None:
        text = shortened(text, limit)
    return text.translate(_ESCAPES)


def shortened(text: str, limit: int) -> str:
    """A text of at most ``limit`` characters: an ellipsis replaces its middle, as names often differ at the end."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def tooltip(text: str) -> str:
    """A name in a tooltip, which Plotly would not wrap: as a whole in short lines, unless it is longer than a page."""
    text = shortened(printable(text), _TOOLTIP_LENGTH)
    lines = [text[start : start + _TOOLTIP_LINE] for start in range(0, len(text), _TOOLTIP_LINE)]
    return "<br>".join(map(escape, lines))


def labels_above(texts: Sequence[str], whole: Sequence[str]) -> list[dict[str, Any]]:
    """The label of each row of a bar chart, above its bar: beside it, a long name would leave the bars no room.

    Args:
        texts: short enough for a line.
        whole: shown as a tooltip where it differs from the text.
    """
    place = {"x": 0, "xref": "paper", "xanchor": "left", "yref": "y", "yanchor": "middle", "showarrow": False}
    return [
        {**place, "y": position - 0.23, "text": escape(text)} | ({} if text == full else {"hovertext": tooltip(full)})
        for position, (text, full) in enumerate(zip(texts, whole, strict=True))
    ]


def days_label(from_days: int, to_days: int | None) -> str:
    """The label of an age class, in whole days: ``under 1 day``, ``7 to 30 days``, ``90 days or more``."""
    if to_days is None:
        return f"{_days(from_days)} or more"
    return f"{from_days} to {_days(to_days)}" if from_days else f"under {_days(to_days)}"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days:,} days"
