"""Bar charts about annotation jobs: what each labeler did, how far the open jobs are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rfsync.charts.flows import WORK
from rfsync.charts.labels import LABEL_LENGTH, labels_above, shortened, tooltip
from rfsync.charts.theme import PLACES, blank_figure, new_figure, place_marker
from rfsync.history.digest import STUCK
from rfsync.history.job_rows import LabelerRow
from rfsync.history.place_rows import OpenJobRow, RemovedJobsRow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Labelers with a row of their own; all others share one.
TOP_LABELERS: Final = 10
#: Who has no name.
NOBODY: Final = "nobody"

#: Days without a change after which an open job is called stuck.
STUCK_DAYS: Final = STUCK.days

_DONE: Final = tuple(next(place for place in PLACES if place.field == of) for of in WORK)
#: The furthest first.
_DONE_FIRST: Final = tuple(place for place in PLACES if place in _DONE)


def top_labelers(rows: Iterable[LabelerRow], top: int = TOP_LABELERS) -> list[LabelerRow]:
    """The labelers who annotated most, at most ``top``, and all others as one row, ``490 others``.

    Those in whose jobs nothing was annotated, approved or rejected are left out. Who has no name is ``NOBODY``.
    """
    worked = [row._replace(labeler=person(row.labeler)) for row in rows if any(row[3:])]
    worked.sort(key=lambda row: (-row.annotated_gained, -row.approved_gained, -row.rejected_gained, row.labeler))
    # "1 other" would take as much room as the labeler.
    if len(worked) <= top + 1:
        return worked
    others = worked[top:]
    sums = (sum(counts) for counts in zip(*(row[1:] for row in others), strict=True))
    return [*worked[:top], LabelerRow(f"{len(others):,} others", *sums)]


def removed_summary(rows: Iterable[RemovedJobsRow], period: str) -> str:
    """What was done in jobs that were removed, which a chart of where images are counts no more; empty if nothing was.

    Args:
        period: when they were removed: ``since 2026-01-31 18:00``.
    """
    kept = list(rows)
    done = [(place, sum(getattr(row, place.field) for row in kept)) for place in _DONE_FIRST]
    counts = [f"{number:,} {place.name}" for place, number in done if number]
    if not counts:
        return ""
    listed = " and ".join(filter(None, (", ".join(counts[:-1]), counts[-1])))
    images = "image" if sum(number for _, number in done) == 1 else "images"
    jobs = sum(row.jobs for row in kept)
    of = "1 job that was" if jobs == 1 else f"{jobs:,} jobs that were"
    return f"No longer counted: {listed} {images} of {of} removed {period}."


def person(labeler: str | None) -> str:
    """What a labeler or reviewer is called."""
    return labeler or NOBODY


def labelers_figure(rows: Sequence[LabelerRow]) -> Figure:
    """Images annotated, approved and rejected in the jobs of each labeler; the first row on top.

    Args:
        rows: as ``top_labelers`` returns them.
    """
    if not rows:
        return blank_figure("No work was done")
    figure = new_figure(height=90 + 56 * len(rows))
    names = [person(row.labeler) for row in rows]
    for number, place in enumerate(_DONE):
        values = [getattr(row, f"{place.field}_gained") for row in rows]
        figure.add_bar(
            orientation="h",
            # Not the names: Plotly would parse numbers and dates.
            y=[position + 0.02 + 0.2 * number for position in range(len(rows))],
            x=values,
            width=0.18,
            name=place.name,
            customdata=[tooltip(name) for name in names],
            marker=place_marker(place),
            hovertemplate=f"%{{customdata}}<br>{place.name}: %{{x:,}}<extra></extra>",
        )
    return _finish(figure, [shortened(name, LABEL_LENGTH) for name in names], names, "images")


def open_jobs_figure(rows: Sequence[OpenJobRow]) -> Figure:
    """How far open jobs are: where their images are, in percent; the first row on top."""
    if not rows:
        return blank_figure("No job is open")
    figure = new_figure(height=90 + 46 * len(rows))
    whole, share = [_job_name(row) for row in rows], "%{customdata[1]:,} of %{customdata[2]:,}"
    for place in PLACES[:-1]:
        counts = [getattr(row, place.field) for row in rows]
        figure.add_bar(
            orientation="h",
            y=[position + 0.2 for position in range(len(rows))],
            x=[100 * count / max(row.num_images, 1) for row, count in zip(rows, counts, strict=True)],
            width=0.4,
            name=place.name,
            customdata=[
                [tooltip(name), count, row.num_images] for row, name, count in zip(rows, whole, counts, strict=True)
            ],
            marker=place_marker(place),
            hovertemplate=f"%{{customdata[0]}}<br>{place.name}: {share}<extra></extra>",
        )
    figure.update_xaxes(range=[0, 100], ticksuffix="%")
    return _finish(figure, [shortened(_job_label(row), LABEL_LENGTH) for row in rows], whole, "share of the images")


def _job_label(row: OpenJobRow) -> str:
    """The job and its labeler."""
    separator, labeler = " · ", shortened(person(row.labeler), LABEL_LENGTH // 2)
    return f"{shortened(row.name or row.job_id, LABEL_LENGTH - len(separator) - len(labeler))}{separator}{labeler}"


def _job_name(row: OpenJobRow) -> str:
    return f"{row.workspace}/{row.project}: {row.name or 'without a name'} ({row.job_id}) · {person(row.labeler)}"


def _finish(figure: Figure, labels: Sequence[str], whole: Sequence[str], unit: str) -> Figure:
    figure.update_layout(
        barmode="stack", hovermode="closest", legend={"traceorder": "normal"}, annotations=labels_above(labels, whole)
    )
    figure.update_xaxes(fixedrange=True, tickformat=",", nticks=6, showline=False, showgrid=True, title={"text": unit})
    return figure.update_yaxes(range=[len(labels) - 0.5, -0.5], showgrid=False, showticklabels=False)
