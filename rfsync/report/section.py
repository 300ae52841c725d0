"""A section of the page: a chart with a note and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rfsync.charts.labels import shortened
from rfsync.text import printable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


#: Maximum length of a name in a cell, in characters; a longer one has its whole as a tooltip.
NAME_LENGTH: Final = 80


class Name(str):
    """A cell with a name, which may be long."""

    __slots__ = ()


def is_cut(cell: str) -> bool:
    """Whether a cell has a name that is too long for it."""
    return isinstance(cell, Name) and len(cell) > NAME_LENGTH


def shown(cell: str) -> str:
    """The text of a cell, in one line; the middle of a long name is left out."""
    return printable(shortened(cell, NAME_LENGTH) if is_cut(cell) else cell)


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
