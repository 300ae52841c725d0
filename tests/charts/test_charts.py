"""Figures show the numbers of the rows, and names in them are plain text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from plotly.graph_objects import Figure

from rfsync import charts
from rfsync.charts import theme
from rfsync.history.rows import BacklogRow, FirstJobRow, MoverRow, ThroughputRow, TotalRow

START = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '<a href="http://evil.example">x</a>',
    "<b>bold</b><br>and more",
    "%{y}",
    "%{customdata[0]:,}<extra></extra>",
    r"$\alpha$",
    "&lt;b&gt;",
    "\u202egnp.exe\x1b[31m",
]


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def total(
    number: int,
    images: int,
    jobs: int = 0,
    *,
    project: str | None = "widgets",
    workspace: str = "acme",
    gained: int = 0,
    lost: int = 0,
    jobs_gained: int = 0,
    observed: bool = True,
) -> TotalRow:
    net = gained - lost
    return TotalRow(
        workspace, project, day(number), 1, images, jobs, net, jobs_gained, gained, lost, jobs_gained, 0, observed, True
    )


def mover(project: str = "widgets", batch_id: str | None = None, name: str | None = None, **counts: int) -> MoverRow:
    gained, lost = counts.get("gained", 1), counts.get("lost", 1)
    return MoverRow("acme", project, batch_id, name, 1, gained - lost, 0, gained, lost, 0, 0)


def first_job(seconds: float) -> FirstJobRow:
    return FirstJobRow("acme", "widgets", "b", None, START, START, START + timedelta(seconds=seconds), seconds)


def line(figure: Figure, name: str, axis: str = "y") -> dict[datetime, Any]:
    """The points of the line of that name in that panel."""
    (trace,) = [one for one in figure.data if one.name == name and (one.yaxis or "y") == axis]
    return dict(zip(trace.x, trace.y, strict=True))


def texts(figure: Figure) -> str:
    """Every text in a figure in which Plotly interprets tags, templates or TeX, except our own templates."""
    traces = [(one.name, one.customdata, one.hovertext) for one in figure.data]
    return json.dumps([traces, figure.layout.yaxis.ticktext, [a.text for a in figure.layout.annotations]])


def naive(number: int) -> datetime:
    return day(number).replace(tzinfo=None)


def test_totals_are_a_line_for_each_project_in_two_panels() -> None:
    rows = [total(0, 10, 1), total(1, 12, 3), total(0, 5, 0, project="gears"), total(1, 0, 2, project="gears")]
    figure = charts.totals_figure(rows)
    assert line(figure, "widgets") == {naive(0): 10, naive(1): 12}
    assert line(figure, "widgets", "y2") == {naive(0): 1, naive(1): 3}
    assert line(figure, "gears") == {naive(0): 5, naive(1): 0}
    assert line(figure, "gears", "y2") == {naive(0): 0, naive(1): 2}


def test_projects_of_several_workspaces_are_named_with_them() -> None:
    rows = [total(0, 1), total(0, 2, workspace="bolt")]
    assert {one.name for one in charts.totals_figure(rows).data} == {"acme/widgets", "bolt/widgets"}


def test_a_total_of_all_projects_is_a_line() -> None:
    row = total(0, 4, project=None)
    assert line(charts.totals_figure([row]), "acme") == {naive(0): 4}
    assert charts.totals_figure([row]).data[0].line.color == theme.OTHERS
    assert line(charts.totals_figure([row._replace(workspace=None)]), "all projects") == {naive(0): 4}


def test_periods_are_shown_in_local_time() -> None:
    midnight = datetime(2026, 6, 30, 22, tzinfo=UTC)
    rows = [total(0, 1)._replace(period=midnight)]
    figure = charts.totals_figure(rows, zone=ZoneInfo("Europe/Berlin"))
    assert line(figure, "widgets") == {datetime(2026, 7, 1): 1}  # noqa: DTZ001 plotly.js knows no zones


def test_a_line_is_interrupted_at_a_gap() -> None:
    seen = [True, True, False, False, True, False]
    figure = charts.totals_figure([total(n, 10 * n, observed=one) for n, one in enumerate(seen)])
    assert list(line(figure, "widgets").values()) == [0, 10, None, None, 40, None]
    (bridge,) = [one for one in figure.data if one.line.dash == "dot" and one.showlegend is False and one.yaxis == "y"]
    assert (list(bridge.x), list(bridge.y)) == ([naive(1), naive(4), None], [10, 40, None])
    half = timedelta(hours=12)
    shaded = [(shape.x0, shape.x1) for shape in figure.layout.shapes]
    assert shaded == [(naive(2) - half, naive(3) + half), (naive(5) - half, naive(5) + half)]
    assert "not observed" in [one.name for one in figure.data]


def test_a_point_without_neighbours_is_a_dot() -> None:
    seen = [True, True, False, True, False]
    figure = charts.totals_figure([total(n, n, observed=one) for n, one in enumerate(seen)])
    assert [size > 0 for size in figure.data[0].marker.size] == [False, False, False, True, False]
    assert charts.totals_figure([total(0, 3)]).data[0].marker.size[0] > 0


def test_the_background_is_shaded_only_where_no_project_was_observed() -> None:
    rows = [total(0, 1), total(1, 1, observed=False)]
    rows += [total(0, 1, project="gears", observed=False), total(1, 1, project="gears")]
    assert not charts.totals_figure(rows).layout.shapes
    assert not charts.flow_figure(rows).layout.shapes


def test_of_many_projects_the_smaller_ones_are_one_line() -> None:
    rows = [total(n, size, 1, project=f"p{size}") for size in range(1, 1001) for n in (0, 1)]
    figure = charts.totals_figure(rows)
    names = [one.name for one in figure.data if one.yaxis in {None, "y"}]
    assert names == ["p1000", "p999", "p998", "p997", "p996", "p995", "994 others"]
    assert line(figure, "994 others") == {naive(0): sum(range(1, 995)), naive(1): sum(range(1, 995))}
    assert line(figure, "994 others", "y2")[naive(1)] == 994


def test_a_single_smaller_project_keeps_its_line() -> None:
    figure = charts.totals_figure([total(0, 1, project=f"p{n}") for n in range(7)])
    assert {one.name for one in figure.data} == {f"p{n}" for n in range(7)}


def test_flow_goes_up_and_down_and_sums_the_projects() -> None:
    rows = [
        total(0, 0, gained=5, lost=3, jobs_gained=4),
        total(1, 0, lost=7),
        total(1, 0, project="gears", gained=2, lost=1, jobs_gained=1),
    ]
    images = charts.flow_figure(rows)
    assert line(images, "images in") == {naive(0): 5, naive(1): 2}
    assert line(images, "images left") == {naive(0): -3, naive(1): -8}
    assert [value for value, _ in images.data[1].customdata] == [3, 8]
    jobs = charts.flow_figure(rows, of="jobs")
    assert line(jobs, "jobs added") == {naive(0): 4, naive(1): 1}
    assert line(jobs, "jobs gone") == {naive(0): 0, naive(1): 0}


def test_a_bar_of_a_part_of_a_period_is_hatched_and_explained() -> None:
    rows = [total(0, 1, gained=1)._replace(complete=False), total(1, 1, gained=2), total(2, 1, lost=3)]
    rows += [row._replace(project="gears") for row in rows]
    cut = [*rows[:2], rows[2]._replace(complete=False), *rows[3:5], rows[5]._replace(complete=False)]
    for figure, hatched in ((charts.flow_figure(rows), {0}), (charts.flow_figure(cut), {0, 2})):
        for bars in figure.data[:2]:
            assert {x for x, shape in zip(bars.x, bars.marker.pattern.shape, strict=True) if shape} == set(
                map(naive, hatched)
            )
            assert bars.marker.pattern.shape[0] == ""  # what the legend shows
        assert figure.data[2].name == "part of a day"
        assert figure.data[2].marker.pattern.shape == "/"
    assert len(charts.flow_figure([row._replace(complete=True) for row in rows]).data) == 2
    hours = [row._replace(period=START + timedelta(hours=n)) for n, row in enumerate(rows[:3])]
    assert charts.flow_figure(hours).data[2].name == "part of an hour"


def test_what_is_unknown_is_a_gap_and_no_zero() -> None:
    unknown = {"batches": None, "images": None, "num_jobs": None}
    rows = [total(0, 0, observed=False)._replace(**unknown), total(1, 5, 1, gained=2)]
    assert line(charts.totals_figure(rows), "widgets") == {naive(0): None, naive(1): 5}
    assert line(charts.flow_figure(rows), "images in") == {naive(0): None, naive(1): 2}
    others = [row._replace(project=f"p{n}") for n in range(9) for row in rows]
    assert line(charts.totals_figure(others), "3 others") == {naive(0): None, naive(1): 15}


def test_the_axis_shows_the_periods_and_nothing_else() -> None:
    weeks = [total(7 * n, 1, gained=1) for n in range(3)]
    for figure in (charts.totals_figure(weeks), charts.flow_figure(weeks)):
        assert figure.layout.xaxis.autorangeoptions.include == (
            naive(0) - timedelta(days=3.5), naive(14) + timedelta(days=3.5),
        )  # fmt: skip


def test_axes_have_units() -> None:
    rows = [total(0, 9, gained=1), total(1, 9, lost=1)]
    assert charts.flow_figure(rows).layout.yaxis.title.text == "images per day"
    assert charts.flow_figure(rows, of="jobs").layout.yaxis.title.text == "jobs per day"
    assert charts.movers_figure([mover()]).layout.xaxis.title.text == "images"
    assert charts.backlog_figure([BacklogRow(0, None, 1, 1)]).layout.xaxis.title.text == "images"
    assert charts.first_jobs_figure([first_job(1)]).layout.xaxis.title.text == "batches"
    assert [a.text for a in charts.totals_figure(rows).layout.annotations] == ["Images without a job", "Jobs"]


def test_a_colour_has_one_meaning() -> None:
    # What is in no job is the backlog, which is neutral.
    meanings = [*theme.PALETTE, theme.OTHERS, theme.GAINED, theme.LOST, *(place.colour for place in theme.PLACES)]
    assert theme.PLACES[-1].colour == theme.NEUTRAL
    assert len(set(meanings)) == len(meanings)
    flows = [total(0, 1, gained=1), total(1, 1, lost=1)]
    windows = [ThroughputRow(None, None, day(n), 1, 1, 0, 0, 7, complete=True) for n in range(2)]
    for bars in (charts.flow_figure(flows), charts.flow_figure(flows, of="jobs"), charts.movers_figure([mover()])):
        assert [bar.marker.color for bar in bars.data] == [theme.GAINED, theme.LOST]
    lines = charts.throughput_figure(windows, 7)
    assert [one.line.color for one in lines.data] == [theme.GAINED, theme.LOST]
    for bars in (charts.backlog_figure([BacklogRow(0, None, 1, 1)]), charts.first_jobs_figure([first_job(1)])):
        assert bars.data[0].marker.color == theme.NEUTRAL


def test_a_long_label_keeps_both_its_batch_and_its_project() -> None:
    row = mover("conveyor-belt-inspection-hall-17", "b", "camera 17 of the second line, the evening of the 27th")
    (label,) = charts.movers_figure([row]).layout.annotations
    assert label.text == "camera 17 of th…ing of the 27th · conveyor…hall-17"
    (short,) = charts.movers_figure([mover("widgets", "b", "Uploaded on 11/22/22 at 1:39 pm")]).layout.annotations
    assert short.text == "Uploaded on 11/22/22 at 1:39 pm · widgets"


def test_nothing_moved_in_the_only_period() -> None:
    (nothing,) = charts.flow_figure([total(0, 100)]).layout.annotations
    assert nothing.text == "Nothing moved"
    assert charts.flow_figure([total(0, 100, gained=1)]).data
    assert charts.flow_figure([total(0, 100), total(1, 100)]).data
    assert charts.flow_figure([total(0, 100, observed=False)]).layout.shapes


def test_backlog_has_every_class() -> None:
    rows = [BacklogRow(0, 1, 2, 5), BacklogRow(1, 7, 0, 0), BacklogRow(7, 30, 1, 9), BacklogRow(30, None, 3, 1_200)]
    (bars,) = charts.backlog_figure(rows).data
    assert list(bars.y) == ["under 1 day", "1 to 7 days", "7 to 30 days", "30 days or more"]
    assert (list(bars.x), list(bars.text)) == ([5, 0, 9, 1200], ["5", "0", "9", "1,200"])
    assert bars.hovertext[0] == "5 images in 2 batches"


def test_movers_with_equal_or_numeric_names_have_their_own_bars() -> None:
    rows = [mover("2024", gained=9, lost=4), mover("2024-01-01", gained=3, lost=2)]
    rows += [mover(batch_id="b1", name="same"), mover(batch_id="b2", name="same"), mover(batch_id="b3")]
    figure = charts.movers_figure(rows)
    gained, lost = figure.data
    assert (list(gained.x), list(lost.x)) == ([9, 3, 1, 1, 1], [-4, -2, -1, -1, -1])
    assert list(gained.y) == list(lost.y)
    assert len(set(gained.y)) == 5
    labels = [annotation.text for annotation in figure.layout.annotations]
    assert labels == ["acme/2024", "acme/2024-01-01", "same · widgets", "same · widgets", "b3 · widgets"]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first on top
    assert [name for name, _ in gained.customdata][2:4] == ["acme/widgets: same (b1)", "acme/widgets: same (b2)"]
    assert [value for _, value in lost.customdata] == [4, 2, 1, 1, 1]


def test_first_jobs_are_counted_by_age() -> None:
    rows = [first_job(s) for s in (-5, 0, 3_599.9, 3_600, 86_399, 86_400, 30 * 86_400 - 1, 30 * 86_400, 1e9)]
    counts = [("under 1 hour", 3), ("1 to 6 hours", 1), ("6 to 24 hours", 1), ("1 to 3 days", 1), ("3 to 7 days", 0)]
    counts += [("7 to 30 days", 1), ("30 days or more", 2)]
    assert charts.age_classes(rows) == counts
    (bars,) = charts.first_jobs_figure(rows).data
    assert list(zip(bars.y, bars.x, strict=True)) == counts


@pytest.mark.parametrize(
    ("ages", "said"),
    [
        ([], ""),
        ([30.0], ""),
        ([30.0, 60.0], "Half of 2 batches had a job within a minute, nine of ten within a minute."),
        ([3_600.0] * 9 + [864_000.0], "Half of 10 batches had a job within 60 minutes, nine of ten within 60 minutes."),
        ([7_200.0] * 8 + [864_000.0] * 2, "Half of 10 batches had a job within 2 hours, nine of ten within 10 days."),
    ],
)
def test_first_jobs_in_a_sentence(ages: list[float], said: str) -> None:
    assert charts.first_jobs_summary([first_job(age) for age in ages]) == said


def test_throughput_ends_where_nothing_was_observed() -> None:
    rows = [
        ThroughputRow(None, None, day(0), 5, 3, 1, 0, 7, True),
        ThroughputRow(None, None, day(1), 6, 2, 1, 0, 1, True),
        ThroughputRow(None, None, day(2), 0, 0, 0, 0, 0, True),
    ]
    figure = charts.throughput_figure(rows, 7)
    assert line(figure, "images in") == {naive(0): 5, naive(1): 6, naive(2): None}
    assert line(figure, "images left") == {naive(0): 3, naive(1): 2, naive(2): None}
    assert len(figure.layout.shapes) == 1


@pytest.mark.parametrize(
    ("step", "unit"),
    [
        (timedelta(hours=1), "hours"),
        (timedelta(days=1), "days"),
        (timedelta(days=7), "weeks"),
        (timedelta(31), "months"),
    ],
)
def test_the_window_is_named_by_its_periods(step: timedelta, unit: str) -> None:
    rows = [ThroughputRow(None, None, START + n * step, 1, 1, 0, 0, 3, True) for n in range(3)]
    assert charts.throughput_figure(rows, 3).layout.yaxis.title.text == f"images in 3 {unit}"


@pytest.mark.parametrize(
    "figure",
    [
        charts.totals_figure,
        charts.flow_figure,
        charts.backlog_figure,
        charts.movers_figure,
        charts.first_jobs_figure,
        lambda rows: charts.throughput_figure(rows, 7),
    ],
)
def test_no_rows_give_a_message(figure: Callable[[Sequence[Any]], Figure]) -> None:
    made = figure([])
    assert (len(made.data), len(made.layout.annotations), made.layout.xaxis.visible) == (0, 1, False)


def test_a_single_bar_does_not_fill_the_figure() -> None:
    (gained, _) = charts.flow_figure([total(0, 1, gained=1)]).data
    first, last = charts.flow_figure([total(0, 1, gained=1)]).layout.xaxis.autorangeoptions.include
    assert timedelta(milliseconds=gained.width) < (last - first) / 4


def test_whole_numbers_have_no_fractions_on_the_axis() -> None:
    assert charts.totals_figure([total(0, 3, 9)]).layout.yaxis.dtick == 1
    assert charts.totals_figure([total(0, 3, 9)]).layout.yaxis2.dtick is None


def test_a_year_of_days_keeps_every_day() -> None:
    rows = [total(n, n, n, gained=1) for n in range(366)]
    assert list(line(charts.totals_figure(rows), "widgets").values()) == list(range(366))
    assert len(charts.flow_figure(rows).data[0].x) == 366


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_escaped(name: str) -> None:
    figures = [
        charts.totals_figure([total(0, 1, project=name), total(0, 1, workspace=name)]),
        charts.totals_figure([total(0, 1, project=None, workspace=name)]),
        charts.movers_figure([mover(name), mover(batch_id=name), mover(batch_id="b", name=name)]),
    ]
    for figure in figures:
        for sign in "<%$\u202e\x1b":
            assert sign not in texts(figure).replace("\\u001b", "\x1b").replace("\\u202e", "\u202e")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<b>&lt;</b>", "&lt;b&gt;&amp;lt;&lt;/b&gt;"),
        ("%{y} $x$", "&#37;{y} &#36;x&#36;"),
        ("a\nb\u202ec", "a\ufffdb\ufffdc"),
        ("größer 图像", "größer 图像"),
    ],
)
def test_escaping_keeps_readable_text(name: str, shown: str) -> None:
    assert charts.escape(name) == shown


def test_a_long_name_is_cut_before_it_is_escaped() -> None:
    assert charts.escape("<" * 10, 4) == "&lt;&lt;…&lt;"


def _luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    "colour",
    [
        *(*theme.PALETTE, theme.OTHERS, theme.TEXT, theme.GAINED, theme.LOST),
        *(place.colour for place in theme.PLACES),
    ],
)
@pytest.mark.parametrize("background", ["#ffffff", "#15181c"])
def test_colours_contrast_with_light_and_dark_pages(colour: str, background: str) -> None:
    dark, light = sorted((_luminance(colour), _luminance(background)))
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_figures_have_a_transparent_background() -> None:
    layout = charts.template().layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0, 0, 0, 0)"
    assert layout.font.family == "inherit"
    assert "--ink" in charts.stylesheet()
