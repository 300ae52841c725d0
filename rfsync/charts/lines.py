"""Lines over time: totals, throughput."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rfsync.charts.over_time import DOTTED, SHADED, finish, whole_steps
from rfsync.charts.series import UNKNOWN, Series, TimeAxis, flows, totals_series
from rfsync.charts.theme import FLOW_NAMES, GAINED, LOST, OTHERS, PALETTE, blank_figure, new_figure
from rfsync.history.rows import ThroughputRow, TotalRow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_Values = list[int | None]


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
    finish(figure, axis, observed, legend_entry=DOTTED if gaps else None)
    figure.update_layout(
        yaxis={"domain": [0.44, 0.95], "rangemode": "tozero", **whole_steps(row.images or 0 for row in rows)},
        yaxis2={"domain": [0, 0.33], "rangemode": "tozero", **whole_steps(row.num_jobs or 0 for row in rows)},
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
    finish(figure, axis, observed, legend_entry=None if all(observed) else SHADED)
    return figure.update_layout(yaxis={"rangemode": "tozero", "title": {"text": f"images in {duration}"}})
