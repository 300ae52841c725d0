"""What changes over time: totals, flows, throughput."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from rfsync.charts.blank import blank_figure, new_figure
from rfsync.charts.series import Axis, Flow, Series, flows, totals_series
from rfsync.charts.theme import GAINED, GRID, LOST, OTHERS, PALETTE, TEXT, UNOBSERVED
from rfsync.history.rows import ThroughputRow, TotalRow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_Values = list[int | None]


def totals_figure(rows: Sequence[TotalRow], *, zone: tzinfo = UTC) -> Figure:
    """Images without a job and, below, jobs at the end of each period; a line for each project.

    A line ends where a project was not observed and goes on where it was again, dotted in between; where none was, the
    ground is shaded. Of many projects the largest have a line each and the rest one together.

    Args:
        zone: of the clock that the periods are shown by.
    """
    series = totals_series(rows)
    if not series:
        return blank_figure("Nothing observed yet")
    axis = Axis(tuple(sorted({row.period for row in rows})), zone)
    figure = new_figure(height=420 + 12 * len(series))  # the legend, too, grows with them
    gaps = False
    for n, one in enumerate(series):
        colour = OTHERS if one.is_rest else PALETTE[n % len(PALETTE)]
        for panel in (0, 1):
            gaps |= _line(figure, one, axis, panel, colour, legend=len(series) > 1)
    _gap_in_legend(figure, {"mode": "lines", "line": {"color": TEXT, "width": 1, "dash": "dot"}}, shown=gaps)
    _shade(figure, axis, [any(one.points.get(p, (0, 0, False))[2] for one in series) for p in axis.periods])
    _time_axis(figure, axis)
    figure.update_layout(
        yaxis={"domain": [0.44, 0.95], "rangemode": "tozero", **_steps(row.images for row in rows)},
        yaxis2={"domain": [0, 0.33], "rangemode": "tozero", **_steps(row.num_jobs for row in rows)},
        xaxis={"anchor": "y2"},
        hovermode="x unified",
        legend={"traceorder": "normal"},
    )
    for text, y in (("Images without a job", 1.0), ("Jobs", 0.38)):
        figure.add_annotation(
            text=text, x=0, y=y, xref="paper", yref="paper", xanchor="left", yanchor="top", showarrow=False
        )
    return figure


def _line(figure: Figure, series: Series, axis: Axis, panel: int, colour: str, *, legend: bool) -> bool:
    """Draws a series into a panel, 0 for images and 1 for jobs; says whether there are gaps in it."""
    periods = [period for period in axis.periods if period in series.points]
    observed = [series.points[period][2] for period in periods]
    walls = [axis.at(period) for period in periods]
    values: _Values = [series.points[p][panel] if seen else None for p, seen in zip(periods, observed, strict=True)]
    alone = [_alone(observed, n) for n in range(len(observed))]
    common: dict[str, Any] = {"yaxis": f"y{panel + 1 if panel else ''}", "legendgroup": series.name}
    figure.add_scatter(
        x=walls,
        y=values,
        name=series.name,
        mode="lines+markers" if any(alone) else "lines",
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": [6 if one else 0 for one in alone], "line": {"width": 0}},
        showlegend=legend and panel == 0,
        **common,
    )
    bridges_x, bridges_y = _bridges(walls, values)
    if bridges_x:
        figure.add_scatter(
            x=bridges_x,
            y=bridges_y,
            mode="lines",
            line={"color": colour, "width": 1, "dash": "dot"},
            hoverinfo="skip",
            showlegend=False,
            **common,
        )
    return bool(bridges_x)


def _alone(observed: Sequence[bool], n: int) -> bool:
    """Whether a point has no neighbour that a line could lead to."""
    return observed[n] and not any(observed[max(n - 1, 0) : n]) and not any(observed[n + 1 : n + 2])


def _bridges(walls: Sequence[datetime], values: _Values) -> tuple[list[datetime | None], _Values]:
    """Lines over the gaps between the last value before and the first one after."""
    x: list[datetime | None] = []
    y: _Values = []
    known = [n for n, value in enumerate(values) if value is not None]
    for before, after in pairwise(known):
        if after - before > 1:
            x += [walls[before], walls[after], None]
            y += [values[before], values[after], None]
    return x, y


def flow_figure(rows: Sequence[TotalRow], of: Literal["images", "jobs"] = "images", *, zone: tzinfo = UTC) -> Figure:
    """What each period gained, upwards, and lost, downwards, over all projects; unobserved periods are shaded.

    Args:
        zone: of the clock that the periods are shown by.
    """
    found = flows(rows, of)
    if not found:
        return blank_figure("Nothing observed yet")
    if list(found.values()) == [Flow(observed=True)]:
        return blank_figure("Nothing moved")
    axis = Axis(tuple(found), zone)
    figure = new_figure(height=300)
    for name, colour, values, sign in (
        ("gained", GAINED, [flow.gained for flow in found.values()], 1),
        ("lost", LOST, [flow.lost for flow in found.values()], -1),
    ):
        figure.add_bar(
            x=axis.walls,
            y=[sign * value for value in values],
            customdata=values,
            name=f"{of} {name}",
            # One by itself would be as wide as all of the figure, or as a hair.
            width=1.6 * axis.half / timedelta(milliseconds=1) if len(found) == 1 else None,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate="%{customdata:,}",
        )
    observed = [flow.observed for flow in found.values()]
    _gap_in_legend(figure, {"mode": "markers", "marker": _SQUARE}, shown=not all(observed))
    _shade(figure, axis, observed)
    _time_axis(figure, axis)
    figure.update_layout(barmode="relative", hovermode="x unified", yaxis={"zeroline": True, "zerolinecolor": TEXT})
    figure.update_yaxes(_steps(max(flow.gained, flow.lost) for flow in found.values()))
    return figure


def throughput_figure(rows: Sequence[ThroughputRow], window: int, *, zone: tzinfo = UTC) -> Figure:
    """Images gained and lost in the ``window`` periods that end with each period, over all projects.

    A line ends where nothing was observed in the whole window.

    Args:
        zone: of the clock that the periods are shown by.
    """
    found = flows(rows, "images")
    if not found:
        return blank_figure("Not enough history yet")
    axis = Axis(tuple(found), zone)
    figure = new_figure(height=300)
    stretch = axis.unit if window == 1 else f"{window} {axis.unit}s"
    observed = [flow.observed for flow in found.values()]
    alone = [_alone(observed, n) for n in range(len(observed))]
    for name, colour, values in (
        ("gained", GAINED, [flow.gained if flow.observed else None for flow in found.values()]),
        ("lost", LOST, [flow.lost if flow.observed else None for flow in found.values()]),
    ):
        figure.add_scatter(
            x=axis.walls,
            y=values,
            name=f"{name} in {stretch}",
            mode="lines+markers" if any(alone) else "lines",
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": [6 if one else 0 for one in alone], "line": {"width": 0}},
        )
    _gap_in_legend(figure, {"mode": "markers", "marker": _SQUARE}, shown=not all(observed))
    _shade(figure, axis, observed)
    _time_axis(figure, axis)
    figure.update_layout(hovermode="x unified", yaxis={"rangemode": "tozero"})
    return figure


_SQUARE = {"symbol": "square", "size": 11, "color": UNOBSERVED, "line": {"width": 1, "color": GRID}}


def _gap_in_legend(figure: Figure, look: dict[str, Any], *, shown: bool) -> None:
    if shown:
        figure.add_scatter(x=[None], y=[None], name="not observed", hoverinfo="skip", **look)
        figure.update_layout(showlegend=True)


def _shade(figure: Figure, axis: Axis, observed: Sequence[bool]) -> None:
    for start, end in axis.stretches(observed):
        figure.add_shape(
            type="rect", xref="x", yref="paper", x0=start, x1=end, y0=0, y1=1,
            fillcolor=UNOBSERVED, line={"width": 0}, layer="below",
        )  # fmt: skip


def _steps(values: Iterable[int]) -> dict[str, int]:
    """For an axis: no half images."""
    return {"dtick": 1} if max(values) < 6 else {}


def _time_axis(figure: Figure, axis: Axis) -> None:
    labels: dict[str, Any] = {"tickformatstops": _TICKS}
    if len(axis.walls) == 1:
        labels = {"tickvals": axis.walls, "tickformat": axis.hover_format}
    # And no range: what has one was zoomed into.
    whole = {"include": axis.range}
    figure.update_xaxes(type="date", autorangeoptions=whole, hoverformat=axis.hover_format, **labels)
    figure.update_yaxes(tickformat=",", hoverformat=",")


# Whole days and more have no hours; the year stands where it is needed.
_TICKS = [
    {"dtickrange": [None, 86_400_000 - 1], "value": "%H:%M\n%-d %b"},
    {"dtickrange": [86_400_000, "M1"], "value": "%-d %b\n%Y"},
    {"dtickrange": ["M1", None], "value": "%b\n%Y"},
]
