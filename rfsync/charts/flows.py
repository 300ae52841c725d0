"""Bars over time: gains and losses of images and jobs, work, and where the images were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal

from rfsync.charts.over_time import SHADED, finish, whole_steps
from rfsync.charts.series import MIN_PERIODS, Flow, TimeAxis, flows, places
from rfsync.charts.theme import FLOW_NAMES, GAINED, LOST, PLACES, TEXT, blank_figure, new_figure, place_marker
from rfsync.history.job_rows import WorkRow
from rfsync.history.place_rows import PlacesRow
from rfsync.history.rows import TotalRow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: How a bar is drawn of which only a part was counted; the same pattern stands in the legend.
_HATCHED: Final = "/"
_HATCHING: Final[dict[str, Any]] = {"fillmode": "replace", "size": 5, "solidity": 0.45}


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
    if _is_still(by_period):
        return blank_figure("Nothing moved")
    axis = TimeAxis(tuple(by_period), zone)
    figure = new_figure(height=300)
    _add_flows(figure, axis, by_period, of)
    _explain(figure, axis, by_period)
    _label_flows(figure, "yaxis", f"{of} per {axis.unit}", by_period)
    return figure


#: The panels of ``work_figure``, from the top.
WORK: Final = ("annotated", "approved", "rejected")


def work_figure(rows: Sequence[WorkRow], *, zone: tzinfo = UTC) -> Figure:
    """By how many images the counts of annotated, approved and rejected ones rose (upwards) and fell (downwards).

    A panel each. Periods that are not whole, and those in which no jobs were read, are shown as in ``flow_figure``.

    Args:
        zone: time zone in which the periods are labelled.
    """
    panels = {of: flows(rows, of) for of in WORK}
    first = panels[WORK[0]]
    if not first:
        return blank_figure("No jobs were read yet")
    if all(map(_is_still, panels.values())):
        return blank_figure("No work was done")
    axis = TimeAxis(tuple(first), zone)
    figure = new_figure(height=520)
    for number, (of, by_period) in enumerate(panels.items(), 1):
        name = f"y{number if number > 1 else ''}"
        _add_flows(figure, axis, by_period, of, axis_name=name, legend=number == 1)
        top = 1 - (number - 1) * _PANEL
        figure.add_annotation(
            text=of.capitalize(), x=0, y=top, xref="paper", yref="paper", xanchor="left", yanchor="top", showarrow=False
        )
        figure.update_layout({f"yaxis{number}": {"domain": [max(top - _PANEL + 0.03, 0), top - 0.06]}})
    _explain(figure, axis, first)
    for number, by_period in enumerate(panels.values(), 1):
        _label_flows(figure, f"yaxis{number}", f"images per {axis.unit}" if number == 2 else "", by_period)
    return figure.update_layout(xaxis={"anchor": f"y{len(WORK)}"})


#: Share of the height that each panel takes.
_PANEL: Final = 1 / len(WORK)


def _is_still(by_period: Mapping[datetime, Flow]) -> bool:
    """Whether there is a single period, in which nothing moved: a chart would show nothing."""
    return len(by_period) == 1 and all(flow.observed and not flow.gained + flow.lost for flow in by_period.values())


def _label_flows(figure: Figure, axis_name: str, title: str, by_period: Mapping[datetime, Flow]) -> None:
    steps = whole_steps(max(flow.gained, flow.lost) for flow in by_period.values())
    zero = {"zeroline": True, "zerolinecolor": TEXT}
    if not any(flow.lost for flow in by_period.values()):
        zero["rangemode"] = "tozero"  # else the axis of a panel in which nothing moved would go from -1 to 1
    figure.update_layout({"barmode": "relative", axis_name: {**zero, **steps, "title": {"text": title}}})


def _add_flows(
    figure: Figure,
    axis: TimeAxis,
    by_period: Mapping[datetime, Flow],
    of: str,
    *,
    axis_name: str = "y",
    legend: bool = True,
) -> None:
    """Adds two bars for each observed period, hatched where it is not whole."""
    # Whole ones first: the legend shows the pattern of the first bar.
    bars = sorted(zip(axis.local_times, by_period.values(), strict=True), key=lambda bar: not bar[1].complete)
    parts = ["" if flow.complete else f" ({axis.part})" for _, flow in bars]
    for name, colour, sign in zip(FLOW_NAMES[of], (GAINED, LOST), (1, -1), strict=True):
        values = [(flow.gained if sign > 0 else flow.lost) if flow.observed else None for _, flow in bars]
        figure.add_bar(
            x=[time for time, _ in bars],
            y=[None if value is None else sign * value for value in values],
            yaxis=axis_name,
            customdata=list(zip(values, parts, strict=True)),
            name=name,
            showlegend=legend,
            legendgroup=name,
            width=axis.bar_width,
            marker={
                "color": colour,
                "line": {"width": 0},
                "pattern": {"shape": [_HATCHED if part else "" for part in parts], **_HATCHING},
            },
            hovertemplate="%{customdata[0]:,}%{customdata[1]}",
        )


def _explain(figure: Figure, axis: TimeAxis, by_period: Mapping[datetime, Flow]) -> None:
    """Adds the legend entries for hatched bars and shaded periods, and finishes the figure."""
    if any(flow.observed and not flow.complete for flow in by_period.values()):
        marker = {"color": TEXT, "line": {"width": 0}, "pattern": {"shape": _HATCHED, **_HATCHING}}
        figure.add_bar(x=[None], y=[None], name=axis.part, marker=marker, hoverinfo="skip")
    observed = [flow.observed for flow in by_period.values()]
    finish(figure, axis, observed, legend_entry=None if all(observed) else SHADED)


def places_figure(rows: Sequence[PlacesRow], *, zone: tzinfo = UTC) -> Figure:
    """Where the images were at the end of each period, over all projects, stacked: the further, the lower.

    Periods in which no jobs were read are shaded.

    Args:
        zone: time zone in which the periods are labelled.
    """
    sums = places(rows)
    observed = [counts is not None for counts in sums.values()]
    if not any(observed):
        return blank_figure("No jobs were read yet")
    axis = TimeAxis(tuple(sums), zone)
    figure = new_figure(height=400)
    for number, place in enumerate(PLACES):
        figure.add_bar(
            x=axis.local_times,
            y=[None if counts is None else counts[place.field] for counts in sums.values()],
            name=place.name,
            legendrank=1000 - number,  # as the stack, from the top
            # Without gaps, as an area, unless there are few: those would fill the chart.
            width=axis.bar_width if len(sums) < MIN_PERIODS else None,
            marker=place_marker(place),
            hovertemplate="%{y:,}",
        )
    finish(figure, axis, observed, legend_entry=None if all(observed) else SHADED)
    figure.update_layout(barmode="stack", bargap=0, legend={"traceorder": "normal"})
    most = max(sum(counts.values()) for counts in sums.values() if counts is not None)
    return figure.update_yaxes(title={"text": "images"}, **whole_steps([most]))
