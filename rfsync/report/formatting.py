"""Numbers and durations as the report shows them."""

from datetime import datetime
from typing import Final

#: What is not known.
UNKNOWN: Final = "–"


def count(number: int | None) -> str:
    """A number with thousands separators; a dash for None."""
    return UNKNOWN if number is None else f"{number:,}"


def signed(number: int) -> str:
    """A number with its sign (a typographic minus) and thousands separators; ``±0`` for zero."""
    return f"{number:+,}".replace("-", "−") if number else "±0"


def plural(number: int, singular: str) -> str:
    """``1 project``, ``2 projects``, ``3 batches``."""
    ending = "" if number == 1 else "es" if singular.endswith("ch") else "s"
    return f"{number:,} {singular}{ending}"


def age(since: datetime, now: datetime) -> str:
    """Approximate time between two instants, in one unit: ``40 seconds``, ``3 hours``."""
    seconds = max(int((now - since).total_seconds()), 0)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return plural(seconds // length, unit)
    return plural(seconds, "second")
