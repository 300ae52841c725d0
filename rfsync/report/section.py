"""A section of the page: a chart with a note and its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from rfsync.charts.labels import shortened
from rfsync.text import printable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


#: Maximum length of a name in a cell, in characters; a longer one has its whole as a tooltip.
NAME_LENGTH: Final = 80
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?")


class Name(str):
    """A cell with a name, which may be long."""

    __slots__ = ()


def is_cut(cell: str) -> bool:
    """Whether a cell has a name that is too long for it."""
    return isinstance(cell, Name) and len(cell) > NAME_LENGTH


def shown(cell: str) -> str:
    """The text of a cell, in one line; the middle of a long name is left out."""
    return printable(shortened(cell, NAME_LENGTH) if is_cut(cell) else cell)


def unbroken(text: str) -> Markup:
    """HTML of a text whose dates and times are not broken but between the two."""
    return Markup(_DATE.sub(r'<span class="date">\g<0></span>', str(escape(text))))  # noqa: S704 it is escaped


@dataclass(frozen=True)
class Table:
    """Cells as text; the last ``number_columns`` columns are right-aligned."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    number_columns: int


@dataclass(frozen=True)
class Section:
    """A chart with a note, and its numbers as a table."""

    id: str
    title: str
    note: str
    figure: Figure
    table: Table
    #: Takes half the width of a wide page.
    half: bool = False
