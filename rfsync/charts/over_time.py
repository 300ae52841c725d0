"""Shared by the charts over time: their axes, and how time in which nothing was observed is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rfsync.charts.series import TimeAxis
from rfsync.charts.theme import GRID, TEXT, UNOBSERVED

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Legend entries for unobserved time: as a dotted line, and as a shaded background.
DOTTED: Final[dict[str, Any]] = {"mode": "lines", "line": {"color": TEXT, "width": 1, "dash": "dot"}}
SHADED: Final[dict[str, Any]] = {
    "mode": "markers",
    "marker": {"symbol": "square", "size": 11, "color": UNOBSERVED, "line": {"width": 1, "color": GRID}},
}

#: A shaded gap, without its start and end.
_GAP: Final[dict[str, Any]] = {
    "type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
    "fillcolor": UNOBSERVED, "line": {"width": 0}, "layer": "below",
}  # fmt: skip


def finish(figure: Figure, axis: TimeAxis, observed: Sequence[bool], *, legend_entry: dict[str, Any] | None) -> None:
    """Shades the unobserved periods, explains them in the legend, and sets up the axes.

    Args:
        legend_entry: style of the legend's entry for unobserved periods; None for no entry.
    """
    if legend_entry is not None:
        figure.add_scatter(x=[None], y=[None], name="not observed", hoverinfo="skip", **legend_entry)
        figure.update_layout(showlegend=True)
    # All at once: add_shape copies the existing shapes at each call.
    figure.update_layout(shapes=[{**_GAP, "x0": start, "x1": end} for start, end in axis.gaps(observed)])
    labels: dict[str, Any] = {"tickformatstops": _TICK_FORMATS}
    if len(axis.local_times) < _LABELLED_EACH:
        labels = {"tickvals": axis.local_times, "tickformat": axis.tick_format}
    # Not a fixed range: the page takes an axis that has one for zoomed.
    visible = {"include": axis.range}
    figure.update_xaxes(type="date", autorangeoptions=visible, hoverformat=axis.hover_format, **labels)
    figure.update_yaxes(tickformat=",", hoverformat=",")
    figure.update_layout(hovermode="x unified")


def whole_steps(values: Iterable[int]) -> dict[str, int]:
    """Axis settings that avoid fractional ticks for small numbers."""
    return {"dtick": 1} if max(values) < 6 else {}


#: Below this number each period has a label, also where Plotly would put none or one between two of them.
_LABELLED_EACH: Final = 4

# Ticks of a day or more show no hours; the year is shown where it changes. Plotly puts ticks a week or two apart on
# Sundays, unless their format has a number of the week that begins on Monday.
_TICK_FORMATS: Final = [
    {"dtickrange": [None, 86_400_000 - 1], "value": "%H:%M\n%-d %b"},
    {"dtickrange": [86_400_000, 7 * 86_400_000 - 1], "value": "%-d %b\n%Y"},
    {"dtickrange": [7 * 86_400_000, 14 * 86_400_000], "value": "%-d %b\nweek %V"},
    {"dtickrange": ["M1", None], "value": "%b\n%Y"},
]
