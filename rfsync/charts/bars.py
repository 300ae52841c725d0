"""Bar charts: the backlog, batches by age at their first job, top movers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Final

from rfsync.charts.labels import LABEL_LENGTH, days_label, escape, labels_above, shortened
from rfsync.charts.theme import FLOW_NAMES, GAINED, LOST, NEUTRAL, TEXT, blank_figure, new_figure
from rfsync.history.rows import BacklogRow, FirstJobRow, MoverRow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_HOUR: Final = 3_600
_DAY: Final = 86_400

#: A batch's label has at least that much of its project.
_PROJECT_LENGTH: Final = 16
#: Label and upper limit of each age class; in seconds, exclusive.
_AGE_CLASSES: Final = (
    ("under 1 hour", _HOUR),
    ("1 to 6 hours", 6 * _HOUR),
    ("6 to 24 hours", _DAY),
    ("1 to 3 days", 3 * _DAY),
    ("3 to 7 days", 7 * _DAY),
    ("7 to 30 days", 30 * _DAY),
    ("30 days or more", math.inf),
)


def backlog_figure(rows: Sequence[BacklogRow]) -> Figure:
    """Images without a job by the age of their batch; one bar per age class, in the order of the rows."""
    if not any(row.images for row in rows):
        return blank_figure("No image is waiting for a job")
    classes = [(days_label(row.from_days, row.to_days), row.images) for row in rows]
    hover_texts = [f"{row.images:,} images in {row.batches:,} batches" for row in rows]
    return _class_bars(classes, hover_texts, "images")


def first_jobs_figure(rows: Sequence[FirstJobRow]) -> Figure:
    """Number of batches by their age when their first job was observed."""
    if not rows:
        return blank_figure("No batch got its first job yet")
    classes = age_classes(rows)
    return _class_bars(classes, [f"{count:,} batches" for _, count in classes], "batches")


def age_classes(rows: Iterable[FirstJobRow]) -> list[tuple[str, int]]:
    """Label and number of batches of each age class, including the empty ones."""
    counts = dict.fromkeys((label for label, _ in _AGE_CLASSES), 0)
    for row in rows:
        counts[next(label for label, limit in _AGE_CLASSES if row.age_seconds < limit)] += 1
    return list(counts.items())


def first_jobs_summary(rows: Sequence[FirstJobRow]) -> str:
    """Median and 90th percentile in a sentence; empty for fewer than two batches."""
    if len(rows) < 2:
        return ""
    ages = sorted(row.age_seconds for row in rows)
    percentile_90 = ages[math.ceil(0.9 * len(ages)) - 1]
    within = f"{_approximately(median(ages))}, nine of ten within {_approximately(percentile_90)}"
    return f"Half of {len(ages):,} batches had a job within {within}."


def _approximately(seconds: float) -> str:
    if seconds < 2 * _HOUR:
        return f"{max(math.ceil(seconds / 60), 1)} minutes" if seconds > 60 else "a minute"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.0f} hours"
    return f"{seconds / _DAY:.0f} days"


def movers_figure(rows: Sequence[MoverRow]) -> Figure:
    """Images that came in (to the right) and left (to the left) of each project or batch; the first row on top."""
    if not rows:
        return blank_figure("Nothing moved")
    figure = new_figure(height=90 + 46 * len(rows))
    for name, colour, values, sign in zip(
        FLOW_NAMES["images"],
        (GAINED, LOST),
        ([row.images_gained for row in rows], [row.images_lost for row in rows]),
        (1, -1),
        strict=True,
    ):
        figure.add_bar(
            orientation="h",
            # Not the names: Plotly would parse numbers and dates, and two names can be equal.
            y=[position + 0.2 for position in range(len(rows))],
            x=[sign * value for value in values],
            width=0.45,
            name=name,
            customdata=[[escape(_full_name(row)), value] for row, value in zip(rows, values, strict=True)],
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{customdata[0]}}<br>{name}: %{{customdata[1]:,}}<extra></extra>",
        )
    labels = labels_above([_short_name(row) for row in rows], [_full_name(row) for row in rows])
    figure.update_layout(barmode="relative", hovermode="closest", annotations=labels)
    figure.update_xaxes(
        fixedrange=True, tickformat=",", nticks=6, showline=False, zeroline=True, zerolinecolor=TEXT, showgrid=True,
        title={"text": "images"},
    )  # fmt: skip
    return figure.update_yaxes(range=[len(rows) - 0.5, -0.5], showgrid=False, showticklabels=False)


def _short_name(row: MoverRow) -> str:
    """The project, after the name of the batch if the row is of one."""
    project = f"{row.workspace}/{row.project}"
    if row.batch_id is None:
        return shortened(project, LABEL_LENGTH)
    separator, name = " · ", row.name or row.batch_id
    room = LABEL_LENGTH - len(separator)
    project = shortened(row.project, max(room - len(name), _PROJECT_LENGTH))
    return f"{shortened(name, room - len(project))}{separator}{project}"


def _full_name(row: MoverRow) -> str:
    project = f"{row.workspace}/{row.project}"
    return project if row.batch_id is None else f"{project}: {row.name or 'without a name'} ({row.batch_id})"


def _class_bars(classes: Sequence[tuple[str, int]], hover_texts: Sequence[str], unit: str) -> Figure:
    """A bar for each class, the first on top, with its value at the end."""
    figure = new_figure(height=64 + 34 * len(classes))
    figure.add_bar(
        orientation="h",
        y=[label for label, _ in classes],
        x=[number for _, number in classes],
        text=[f"{number:,}" for _, number in classes],
        textposition="outside",
        cliponaxis=False,
        hovertext=hover_texts,
        hoverinfo="text",
        marker={"color": NEUTRAL, "line": {"width": 0}},
    )
    # Leave room for the value at the end of the longest bar.
    longest = max(number for _, number in classes)
    figure.update_xaxes(
        range=[0, 1.25 * longest], fixedrange=True, showticklabels=False, showline=False, ticks="", title={"text": unit}
    )
    figure.update_yaxes(type="category", autorange="reversed", dtick=1, showgrid=False)
    return figure.update_layout(showlegend=False, hovermode="closest")
