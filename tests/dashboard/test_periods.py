"""A period means the same on every page, and all of a page is of its period."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rig import Rig, record
from sqlalchemy import Engine

from rfsync import history, report
from rfsync.dashboard import components, queries, tables
from rfsync.dashboard.queries import Overview
from rfsync.dashboard.view import View
from rfsync.database.engine import open_engine
from rfsync.parsing import parse_time
from rfsync.report.sections import change_lines, projects_table, sections

NOW = datetime(2026, 3, 10, 9, 41, 7, 5, tzinfo=UTC)
ZONES = ["UTC", "Asia/Kolkata", "America/New_York"]


@pytest.fixture
def engine(rig: Rig) -> Engine:
    """Forty days of two projects, looked at every eleven hours; what came in is never what left."""
    rig.now, step = NOW - timedelta(days=40), 0
    while rig.now < NOW:
        for project, factor in (("widgets", 1), ("gears", 100)):
            rig.project = project
            images = (7 * step * step + 3 * step) % 31
            rig.listed = [
                record("a", factor * images, (step * step + 3) % 17),
                record("b", 5),
                *([record("c")] if step % 5 else []),
            ]
            assert rig.sync(minutes=0, allow_removals=True).ok
        rig.now += timedelta(hours=11)
        step += 1
    return open_engine(rig.url, read_only=True)


def new_project(rig: Rig, *, days_ago: int) -> None:
    rig.project, rig.listed, rig.now = "levers", [record("x", 1_000_000, 3)], NOW - timedelta(days=days_ago)
    assert rig.sync(minutes=0).ok


def shown(engine: Engine, view: View) -> Overview:
    return queries.overview(engine, view, queries.read_projects(engine), NOW)


def ledger(engine: Engine, days: int, zone: str) -> tuple[int, int, int, int]:
    """The sums that ``rfsync totals --since 30d --sum`` has: images in, images left, images and jobs."""
    since = parse_time(f"{days}d", NOW)
    rows = list(history.totals(engine, since=since, tz=zone, summed=True, now=NOW))
    return (
        sum(row.images_gained for row in rows),
        sum(row.images_lost for row in rows),
        sum(row.images_delta for row in rows),
        sum(row.num_jobs_delta for row in rows),
    )


def test_so_many_days_are_the_same_everywhere(engine: Engine) -> None:
    for zone in ZONES:
        for number, days in enumerate((7, 30)):
            check_days(engine, zone, days, number)


def check_days(engine: Engine, zone: str, days: int, number: int) -> None:
    """The sums of so many days, the ``number``-th change of the report."""
    expected = ledger(engine, days, zone)
    assert 0 not in expected, expected
    data = report.read(engine, (), ZoneInfo(zone), NOW)
    page = shown(engine, View(period=f"{days}d", tz=zone))
    for change in (data.changes[number], page.change):
        assert (change.images_gained, change.images_lost, change.images, change.jobs) == expected
        assert (change.since, change.first_observed) == (NOW - timedelta(days=days), 0)
    drawn = [sum(getattr(row, name) for row in page.totals) for name in ("images_gained", "images_lost")]
    assert drawn == [*expected[:2]]
    moved = queries.details(engine, View(period=f"{days}d", tz=zone), 2, NOW).movers
    assert (sum(row.images_gained for row in moved), sum(row.images_lost for row in moved)) == expected[:2]
    since = f"since {(NOW - timedelta(days=days)).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"
    assert change_lines(data, "images")[number] == f"{expected[2]:+,} {since}".replace("-", "−", expected[2] < 0)
    assert components.span_text(page.change, View(tz=zone)) == since


def test_the_report_s_movers_are_of_its_last_30_days(engine: Engine) -> None:
    data = report.read(engine, (), ZoneInfo("UTC"), NOW)
    gained, lost, *_ = ledger(engine, 30, "UTC")
    for rows in (data.moving_projects, data.moving_batches):
        assert (sum(row.images_gained for row in rows), sum(row.images_lost for row in rows)) == (gained, lost)


def test_what_a_new_project_had_is_left_out_and_that_is_said(rig: Rig, engine: Engine) -> None:
    before = ledger(engine, 30, "UTC")
    new_project(rig, days_ago=3)
    assert ledger(engine, 30, "UTC")[0] == before[0] + 1_000_000
    data, page = report.read(engine, (), ZoneInfo("UTC"), NOW), shown(engine, View())
    for change in (*data.changes, page.change):
        assert change.first_observed == 1
    assert (page.change.images_gained, data.changes[1].images, data.changes[1].jobs) == (before[0], *before[2:])
    assert all(line.endswith("without what 1 project had when first observed") for line in change_lines(data, "images"))
    assert "what 1 project had" in components.first_observed_note(page.change)
    assert {row.project for row in data.moving_projects} == {"widgets", "gears"}
    movers = next(one for one in sections(data) if one.id == "movers-projects")
    assert "without what 1 project had when first observed" in movers.note
    assert projects_table(data).rows[0][:2] == ("acme/levers", "1,000,000")


def test_a_younger_database_has_its_first_observation_as_the_date(rig: Rig) -> None:
    new_project(rig, days_ago=1)
    engine = open_engine(rig.url, read_only=True)
    data = report.read(engine, (), ZoneInfo("UTC"), NOW)
    said = "±0 since 2026-03-09 09:41, without what 1 project had when first observed"
    assert change_lines(data, "images") == [said]
    page = shown(engine, View())
    assert {row.period for row in page.totals} == {datetime(2026, 3, day, tzinfo=UTC) for day in (9, 10)}
    assert not any(row.complete for row in page.totals)
    assert data.throughput == []


def test_a_past_period_is_shown_as_it_was(engine: Engine) -> None:
    for zone in ZONES:
        check_past(engine, zone)


def check_past(engine: Engine, zone: str) -> None:
    """Nine days in the past, in a time zone."""
    first, last = date(2026, 2, 12), date(2026, 2, 20)
    view = View(first_day=first, last_day=last, tz=zone, by="week")
    since, end = (
        datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) for day in (first, last + timedelta(days=1))
    )
    page = shown(engine, view)
    then = list(history.batches(engine, as_of=end - timedelta(microseconds=1)))
    for project in page.projects:
        own = [row for row in then if row.project == project.project]
        assert (project.batches, project.images) == (len(own), sum(row.images for row in own))
        assert project.num_jobs == sum(row.num_jobs for row in own)
    assert page.projects != queries.read_projects(engine)
    moved = list(history.changes(engine, since=since, until=end))
    assert page.change.images == sum(row.images_delta for row in moved)
    assert page.change.jobs == sum(row.num_jobs_delta for row in moved)
    assert sum(row.images_delta for row in page.totals) == page.change.images
    assert [row.complete for row in page.totals[:2]] == [False, False]
    details = queries.details(engine, view, 2, NOW)
    assert sum(row.images_delta for row in details.movers) == page.change.images
    assert [row.period < end for row in details.throughput] == [True] * len(details.throughput)
    labels, values, below = zip(
        *([part.children for part in card.children] for card in components.headline(page, view)), strict=True
    )
    assert plain(labels[0]) == "Images without a job at the end of 2026-02-20"
    assert values[0] == f"{sum(row.images for row in then):,}"
    assert plain(below[0]) == f"{page.change.images:+,} from 2026-02-12 to 2026-02-20"
    (caption, _) = tables.projects(view, page)
    assert caption.children.startswith("Images without a job at the end of 2026-02-20; change, in and left from")


def plain(parts: Iterable[Any]) -> str:
    return "".join(getattr(part, "children", part) for part in parts)


def test_before_the_first_observation_nothing_is_known(engine: Engine) -> None:
    view = View(first_day=date(2026, 1, 1), last_day=date(2026, 1, 3))
    page = shown(engine, view)
    assert [(row.images, row.observed) for row in page.totals] == [(None, False)] * 6
    values = [card.children[1].children for card in components.headline(page, view)]
    assert values == ["–", "–", "–", "0", "0"]
    assert queries.details(engine, view, 2, NOW).throughput == []


def test_throughput_has_whole_windows_only(engine: Engine) -> None:
    data = report.read(engine, (), ZoneInfo("UTC"), NOW)
    days = [row.period for row in data.throughput]
    assert (days[0], days[-1]) == (
        datetime(2026, 2, 5, tzinfo=UTC),
        datetime(2026, 3, 9, tzinfo=UTC),
    )
    weeks = queries.details(engine, View(period="all", by="week"), 2, NOW).throughput
    assert [row.period for row in weeks] == [datetime(2026, 2, 23, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)]


def test_the_changes_of_the_report_s_projects_add_up_to_its_headline_s_even_if_one_departed(
    rig: Rig, engine: Engine
) -> None:
    rig.now, rig.project = NOW - timedelta(hours=1), "gears"
    rig.projects = ["widgets"]
    assert rig.sync(minutes=0).outcome == "changed"
    data = report.read(engine, (), ZoneInfo("UTC"), NOW)
    rows = projects_table(data).rows
    assert [row[0] for row in rows] == ["acme/widgets", "acme/gears (gone)"]
    for number, change in enumerate(data.changes, 2):
        deltas = [int(row[number].replace("−", "-").replace(",", "")) for row in rows]
        assert (sum(deltas), deltas[1] < 0) == (change.images, True)
