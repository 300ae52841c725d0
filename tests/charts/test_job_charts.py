"""Charts about annotation jobs show the numbers of the rows, and names in them are plain text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from plotly.graph_objects import Figure

from rfsync import charts
from rfsync.charts import theme
from rfsync.charts.labels import LABEL_LENGTH
from rfsync.history.job_rows import LabelerRow, WorkRow
from rfsync.history.place_rows import OpenJobRow, PlacesRow, RemovedJobsRow

START = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "<b>x</b>%{y}$z$\u202e\x1b[31m"


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def places(number: int, *counts: int, observed: bool = True, project: str = "widgets") -> PlacesRow:
    """Images in no job, in a job and not annotated, annotated, approved, rejected."""
    return PlacesRow("acme", project, day(number), *(counts or (None,) * 5), observed, complete=True)


def work(number: int, *, observed: bool = True, complete: bool = True, **flows: int) -> WorkRow:
    zero = dict.fromkeys(WorkRow._fields[4:12], 0)
    return WorkRow("acme", None, None, day(number), **{**zero, **flows}, observed=observed, complete=complete)


def labeler(name: str | None, annotated: int, approved: int = 0, *, lost: int = 0) -> LabelerRow:
    return LabelerRow(name, 1, 100, annotated, lost, approved, 0, 0, 0)


def open_job(name: str | None = "week 12", who: str | None = "ann@example.com", **counts: int) -> OpenJobRow:
    placed = {"num_images": 0, "unannotated": 0, "annotated": 0, "approved": 0, "rejected": 0, **counts}
    return OpenJobRow(
        "acme", "widgets", "j1", "b1", name, "assigned", who, None, **placed, opened_at=START, changed_at=START
    )


def values(figure: Figure, name: str, axis: str = "y") -> list[Any]:
    """The lengths of the bars of that name, and of that panel."""
    (bars,) = [one for one in figure.data if one.name == name and (one.yaxis or "y") == axis]
    return list(bars.x if bars.orientation == "h" else bars.y)


def test_places_are_stacked_over_all_projects() -> None:
    rows = [places(0, 5, 4, 3, 2, 1), places(1, 9, 0, 0, 0, 0), places(0, 10, 20, 30, 40, 50, project="gears")]
    figure = charts.places_figure(rows)
    shown = {one.name: list(one.y) for one in figure.data}
    assert shown == {
        "approved": [42, 0], "annotated": [33, 0], "rejected": [51, 0],
        "in a job, not annotated": [24, 0], "in no job": [15, 9],
    }  # fmt: skip
    assert figure.layout.barmode == "stack"
    # The legend begins with what is on top of the stack.
    by_rank = sorted(figure.data, key=lambda one: one.legendrank)
    assert [one.name for one in by_rank] == [place.name for place in reversed(theme.PLACES)]


def test_where_images_were_while_no_jobs_were_read_is_unknown() -> None:
    figure = charts.places_figure([places(0, 1, 1, 1, 1, 1), places(1, observed=False), places(2, 2, 2, 2, 2, 2)])
    assert values(figure, "annotated") == [1, None, 2]
    assert len(figure.layout.shapes) == 1
    assert "not observed" in [one.name for one in figure.data]


def test_places_that_touch_differ_without_their_colour() -> None:
    assert all(one.pattern != other.pattern for one, other in pairwise(theme.PLACES))
    assert "/" not in {place.pattern for place in theme.PLACES}  # a part of a period
    for bars in charts.places_figure([places(0, 1, 1, 1, 1, 1)]).data:
        (place,) = [one for one in theme.PLACES if one.name == bars.name]
        assert (bars.marker.color, bars.marker.pattern.shape) == (place.colour, place.pattern)


def test_more_goes_up_and_fewer_goes_down() -> None:
    rows = [
        work(0, annotated_gained=5, annotated_lost=1, approved_gained=4, complete=False),
        work(1, rejected_gained=2, rejected_lost=3),
        work(2, observed=False),
    ]
    figure = charts.work_figure(rows)
    assert (values(figure, "more"), values(figure, "fewer")) == ([0, None, 5], [0, None, -1])  # whole ones first
    assert (values(figure, "more", "y2"), values(figure, "more", "y3")) == ([0, None, 4], [2, None, 0])
    assert values(figure, "fewer", "y3") == [-3, None, 0]
    assert [one.text for one in figure.layout.annotations] == ["Annotated", "Approved", "Rejected"]
    assert [one.name for one in figure.data if one.showlegend is not False] == [
        "more", "fewer", "part of a day", "not observed",
    ]  # fmt: skip


def test_of_many_labelers_ten_have_a_row() -> None:
    rows = [labeler(f"l{n}@example.com", n, 1, lost=2) for n in range(1, 500)] + [labeler(None, 1_000)]
    top = charts.top_labelers(rows)
    assert [row.labeler for row in top] == ["nobody", *(f"l{n}@example.com" for n in range(499, 490, -1)), "490 others"]
    assert top[-1][1:5] == (490, 49_000, sum(range(1, 491)), 980)
    assert [row.annotated_gained for row in top[:2]] == [1_000, 499]
    figure = charts.labelers_figure(top)
    assert values(figure, "annotated") == [row.annotated_gained for row in top]
    assert values(figure, "approved") == [0, *[1] * 9, 490]
    assert [one.text for one in figure.layout.annotations] == [row.labeler for row in top]


def test_a_single_other_labeler_keeps_its_name_and_idle_ones_have_none() -> None:
    rows = [labeler(f"l{n}", 1) for n in range(11)]
    assert [row.labeler for row in charts.top_labelers([*rows, labeler("idle", 0)])] == [
        f"l{n}" for n in sorted(range(11), key=str)
    ]
    assert [row.labeler for row in charts.top_labelers([labeler("undid", 0, lost=1)])] == ["undid"]


def test_how_far_open_jobs_are() -> None:
    figure = charts.open_jobs_figure(
        [
            open_job(num_images=25, unannotated=10, annotated=5, approved=9, rejected=1),
            open_job(None, None, num_images=2, unannotated=2),
            open_job("empty"),
        ]
    )
    assert {one.name: list(one.x) for one in figure.data} == {
        "approved": [36, 0, 0], "annotated": [20, 0, 0], "rejected": [4, 0, 0],
        "in a job, not annotated": [40, 100, 0],
    }  # fmt: skip
    assert [one.text for one in figure.layout.annotations] == [
        "week 12 · ann@example.com", "j1 · nobody", "empty · ann@example.com",
    ]  # fmt: skip
    assert list(figure.data[0].customdata[0])[1:] == [9, 25]


@pytest.mark.parametrize("name", [HOSTILE, f"{HOSTILE}{'long ' * 100}end"])
def test_names_are_escaped_and_cut_with_the_whole_in_the_tooltip(name: str) -> None:
    figures = [
        charts.labelers_figure(charts.top_labelers([labeler(name, 1)])),
        charts.open_jobs_figure([open_job(name, name, num_images=1, unannotated=1)]),
    ]
    for figure in figures:
        (label,) = figure.layout.annotations
        hovers = [str(one.customdata[0]) for one in figure.data]
        for text in (label.text, label.hovertext or "", *hovers):
            assert not set("%$\u202e\x1b") & set(text)
            assert "<" not in text.replace("<br>", "")
        assert len(label.text.replace("&lt;", "<").replace("&gt;", ">")) <= LABEL_LENGTH + 40  # entities
        if "end" in name:
            assert "end" in label.hovertext.replace("<br>", "")
            assert max(map(len, label.hovertext.split("<br>"))) < 100


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (charts.places_figure([]), "No jobs were read yet"),
        (charts.places_figure([places(0, observed=False)]), "No jobs were read yet"),
        (charts.work_figure([]), "No jobs were read yet"),
        (charts.work_figure([work(0)]), "No work was done"),
        (charts.labelers_figure([]), "No work was done"),
        (charts.open_jobs_figure([]), "No job is open"),
    ],
)
def test_nothing_to_show_is_said(figure: Figure, said: str) -> None:
    assert ([one.text for one in figure.layout.annotations], len(figure.data)) == ([said], 0)


def test_what_was_done_in_removed_jobs_is_said_in_a_sentence() -> None:
    some = RemovedJobsRow("acme", "widgets", 11, unannotated=9, annotated=37, approved=1_204, rejected=0)
    assert charts.removed_summary([some, some], "since then") == (
        "No longer counted: 2,408 approved and 74 annotated images of 22 jobs that were removed since then."
    )
    one = RemovedJobsRow("acme", "gears", 1, unannotated=9, annotated=0, approved=0, rejected=1)
    assert charts.removed_summary([one], "since then") == (
        "No longer counted: 1 rejected image of 1 job that was removed since then."
    )
    assert charts.removed_summary([one._replace(rejected=0)], "since then") == ""
