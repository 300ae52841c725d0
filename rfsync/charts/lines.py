"""Charts over time: totals, gains and losses, throughput."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

from rfsync.charts.series import UNKNOWN, Flow, Series, TimeAxis, flows, totals_series
from rfsync.charts.theme import (
    FLOW_NAMES,
    GAINED,
    GRID,
    LOST,
    OTHERS,
    PALETTE,
    TEXT,
    UNOBSERVED,
    blank_figure,
    new_figure,
)
from rfsync.history.rows import ThroughputRow, TotalRow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_Values = list[int | None]

#: Legend entries for unobserved time: as a dotted line, and as a shaded background.
_DOTTED: Final[dict[str, Any]] = {"mode": "lines", "line": {"color": TEXT, "width": 1, "dash": "dot"}}
_SHADED: Final[dict[str, Any]] = {
    "mode": "markers",
    "marker": {"symbol": "square", "size": 11, "color": UNOBSERVED, "line": {"width": 1, "color": GRID}},
}

#: How a bar is drawn of which only a part was counted; the same pattern stands in the legend.
_HATCHED: Final = "/"
_HATCHING: Final[dict[str, Any]] = {"fillmode": "replace", "size": 5, "solidity": 0.45}

#: A shaded gap, without its start and end.
_GAP: Final[dict[str, Any]] = {
    "type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
    "fillcolor": UNOBSERVED, "line": {"width": 0}, "layer": "below",
}  # fmt: skip


def totals_figure(rows: Sequence[TotalRow], *, zone: tzinfo = UTC) -> Figure:
    """Images without a job and, below, jobs at the end of each period; a line for each project.

    A line is dotted across periods in which its project was not observed; where no project was, the background is
    shaded. Of many projects, the largest have a line each and all others share one.

    Args:
        zone: time zone in which the periods are labelled.
    """
    all_series = totals_series(rows)
    if not all_series:
        return blank_figure("Nothing observed yet")
    axis = TimeAxis(tuple(sorted({row.period for row in rows})), zone)
    figure = new_figure(height=420 + 20 * len(all_series))  # the legend grows with the number of lines
    gaps = False
    for n, series in enumerate(all_series):
        colour = OTHERS if series.is_others else PALETTE[n % len(PALETTE)]
        for panel in (0, 1):
            gaps |= _draw_series(figure, series, axis, panel, colour, legend=len(all_series) > 1)
    observed = [any(one.points.get(p, UNKNOWN)[2] for one in all_series) for p in axis.periods]
    _finish(figure, axis, observed, legend_entry=_DOTTED if gaps else None)
    figure.update_layout(
        yaxis={"domain": [0.44, 0.95], "rangemode": "tozero", **_whole_steps(row.images or 0 for row in rows)},
        yaxis2={"domain": [0, 0.33], "rangemode": "tozero", **_whole_steps(row.num_jobs or 0 for row in rows)},
        xaxis={"anchor": "y2"},
        legend={"traceorder": "normal"},
    )
    for text, y in (("Images without a job", 1.0), ("Jobs", 0.38)):
        figure.add_annotation(
            text=text, x=0, y=y, xref="paper", yref="paper", xanchor="left", yanchor="top", showarrow=False
        )
    return figure


def _draw_series(figure: Figure, series: Series, axis: TimeAxis, panel: int, colour: str, *, legend: bool) -> bool:
    """Draws a series into a panel, 0 for images and 1 for jobs; returns whether it has gaps."""
    periods = [period for period in axis.periods if period in series.points]
    observed = [series.points[period][2] for period in periods]
    times = [axis.local(period) for period in periods]
    values: _Values = [series.points[p][panel] if seen else None for p, seen in zip(periods, observed, strict=True)]
    common: dict[str, Any] = {"yaxis": f"y{panel + 1 if panel else ''}", "legendgroup": series.name}
    figure.add_scatter(
        x=times, y=values, name=series.name, showlegend=legend and panel == 0, **_line_style(colour, observed), **common
    )
    bridge_x, bridge_y = _bridges(times, values)
    if bridge_x:
        dotted = {"color": colour, "width": 1, "dash": "dot"}
        figure.add_scatter(
            x=bridge_x, y=bridge_y, mode="lines", line=dotted, hoverinfo="skip", showlegend=False, **common
        )
    return bool(bridge_x)


def _line_style(colour: str, observed: Sequence[bool]) -> dict[str, Any]:
    """A line, with a dot at each point that has no observed neighbour to draw a line to."""
    isolated = [
        seen and not any(observed[max(n - 1, 0) : n]) and not any(observed[n + 1 : n + 2])
        for n, seen in enumerate(observed)
    ]
    return {
        "mode": "lines+markers" if any(isolated) else "lines",
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": [6 if one else 0 for one in isolated], "line": {"width": 0}},
    }


def _bridges(times: Sequence[datetime], values: _Values) -> tuple[list[datetime | None], _Values]:
    """Line segments across the gaps, from the last value before each to the first one after it."""
    x: list[datetime | None] = []
    y: _Values = []
    known = [n for n, value in enumerate(values) if value is not None]
    for before, after in pairwise(known):
        if after - before > 1:
            x += [times[before], times[after], None]
            y += [values[before], values[after], None]
    return x, y


def flow_figure(rows: Sequence[TotalRow], of: Literal["images", "jobs"] = "images", *, zone: tzinfo = UTC) -> Figure:
    """What came in (upwards) and left (downwards) in each period, over all projects.

    Bars are hatched where only a part of the period is counted: it is not over, or the time range cuts it. Unobserved
    periods are shaded.

    Args:
        zone: time zone in which the periods are labelled.
    """
    by_period = flows(rows, of)
    if not by_period:
        return blank_figure("Nothing observed yet")
    if len(by_period) == 1 and all(flow.observed and not flow.gained + flow.lost for flow in by_period.values()):
        return blank_figure("Nothing moved")
    axis = TimeAxis(tuple(by_period), zone)
    figure = new_figure(height=300)
    gained, lost = FLOW_NAMES[of]
    _add_bars(figure, axis, list(by_period.values()), gained, GAINED, sign=1)
    _add_bars(figure, axis, list(by_period.values()), lost, LOST, sign=-1)
    observed = [flow.observed for flow in by_period.values()]
    if any(flow.observed and not flow.complete for flow in by_period.values()):
        _explain_hatching(figure, axis.unit)
    _finish(figure, axis, observed, legend_entry=None if all(observed) else _SHADED)
    title = {"text": f"{of} per {axis.unit}"}
    figure.update_layout(barmode="relative", yaxis={"zeroline": True, "zerolinecolor": TEXT, "title": title})
    figure.update_yaxes(_whole_steps(max(flow.gained, flow.lost) for flow in by_period.values()))
    return figure


def _add_bars(figure: Figure, axis: TimeAxis, flows: Sequence[Flow], name: str, colour: str, *, sign: int) -> None:
    """Adds a bar for each observed period, hatched where it is not whole."""
    # Whole ones first: the legend shows the pattern of the first bar.
    bars = sorted(zip(axis.local_times, flows, strict=True), key=lambda bar: not bar[1].complete)
    values = [(flow.gained if sign > 0 else flow.lost) if flow.observed else None for _, flow in bars]
    parts = ["" if flow.complete else f" (part of a {axis.unit})" for _, flow in bars]
    figure.add_bar(
        x=[time for time, _ in bars],
        y=[None if value is None else sign * value for value in values],
        customdata=list(zip(values, parts, strict=True)),
        name=name,
        width=axis.bar_width,
        marker={
            "color": colour,
            "line": {"width": 0},
            "pattern": {"shape": [_HATCHED if part else "" for part in parts], **_HATCHING},
        },
        hovertemplate="%{customdata[0]:,}%{customdata[1]}",
    )


def _explain_hatching(figure: Figure, unit: str) -> None:
    """Adds a legend entry for hatched bars."""
    marker = {"color": TEXT, "line": {"width": 0}, "pattern": {"shape": _HATCHED, **_HATCHING}}
    figure.add_bar(x=[None], y=[None], name=f"part of a {unit}", marker=marker, hoverinfo="skip")


def throughput_figure(rows: Sequence[ThroughputRow], window: int, *, zone: tzinfo = UTC) -> Figure:
    """Images that came in and left in the ``window`` periods that end with each period, over all projects.

    A line is interrupted where nothing was observed in the whole window.

    Args:
        rows: of whole windows; others would look like a dip.
        zone: time zone in which the periods are labelled.
    """
    by_period = flows(rows, "images")
    if not by_period:
        return blank_figure("Not enough history yet")
    axis = TimeAxis(tuple(by_period), zone)
    figure = new_figure(height=300)
    duration = axis.unit if window == 1 else f"{window} {axis.unit}s"
    observed = [flow.observed for flow in by_period.values()]
    for name, colour, values in zip(
        FLOW_NAMES["images"],
        (GAINED, LOST),
        (
            [flow.gained if flow.observed else None for flow in by_period.values()],
            [flow.lost if flow.observed else None for flow in by_period.values()],
        ),
        strict=True,
    ):
        figure.add_scatter(x=axis.local_times, y=values, name=name, **_line_style(colour, observed))
    _finish(figure, axis, observed, legend_entry=None if all(observed) else _SHADED)
    return figure.update_layout(yaxis={"rangemode": "tozero", "title": {"text": f"images in {duration}"}})


def _finish(figure: Figure, axis: TimeAxis, observed: Sequence[bool], *, legend_entry: dict[str, Any] | None) -> None:
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


def _whole_steps(values: Iterable[int]) -> dict[str, int]:
    """Axis settings that avoid fractional ticks for small numbers."""
    return {"dtick": 1} if max(values) < 6 else {}


#: Below this number each period has a label, also where Plotly would put none or one between two of them.
_LABELLED_EACH: Final = 4

# Ticks of a day or more show no hours; the year is shown where it changes.
_TICK_FORMATS: Final = [
    {"dtickrange": [None, 86_400_000 - 1], "value": "%H:%M\n%-d %b"},
    {"dtickrange": [86_400_000, "M1"], "value": "%-d %b\n%Y"},
    {"dtickrange": ["M1", None], "value": "%b\n%Y"},
]
