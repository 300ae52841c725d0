"""The report's sections about annotation jobs have the numbers that SQL gives, and names in them are plain text."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rig import Rig, job, record
from sqlalchemy import Engine

from rfsync import report
from rfsync.database.engine import open_engine
from rfsync.errors import ErrorKind, FetchError
from rfsync.history.no_jobs import job_lists, missing_jobs
from rfsync.report.data import ReportData
from rfsync.report.job_sections import stuck_table
from rfsync.report.section import NAME_LENGTH
from rfsync.report.sections import Section, sections

NOW = datetime(2026, 3, 10, 9, 41, tzinfo=UTC)
#: Would become an element or steer a terminal, and is too long for a cell.
HOSTILE = f"<img src=x onerror=alert(1)>\u202e\x1b[31m{'so.long.' * 20}@example.com"
SQL_WORK = """SELECT CAST(sum(CASE WHEN {0}_delta > 0 THEN {0}_delta ELSE 0 END) AS bigint),
    CAST(sum(CASE WHEN {0}_delta < 0 THEN -{0}_delta ELSE 0 END) AS bigint)
    FROM job_log WHERE observed_after IS NOT NULL"""


def observe(rig: Rig, days_ago: int, images: int, *jobs: dict[str, object]) -> None:
    """A run that many days ago; b1 has so many images in no job."""
    rig.now, rig.listed, rig.jobs = NOW - timedelta(days=days_ago), [record("b1", images, len(jobs))], list(jobs)
    assert rig.sync(minutes=0).ok


@pytest.fixture
def worked(rig: Rig) -> Rig:
    """Twenty days of two jobs, and then a third; one of them is stuck."""
    rig.sync_jobs = True
    ann: dict[str, Any] = {"labeler": "ann@example.com", "sourceBatch": "p/b1", "status": "assigned"}
    stuck = job("j2", 10, 4, name="half done", unannotated=6, **{**ann, "labeler": None})
    observe(rig, 20, 100, job("j1", 50, 5, unannotated=45, **ann))
    observe(rig, 19, 90, job("j1", 50, 30, unannotated=20, **ann), stuck)
    observe(rig, 2, 80, job("j1", 50, 20, unannotated=15, approved=10, rejected=5, **ann), stuck)
    new = job("j3", 10, 3, name=HOSTILE, unannotated=7, **{**ann, "labeler": HOSTILE})
    observe(rig, 1, 80, job("j1", 50, 20, unannotated=17, approved=13, rejected=0, **ann), stuck, new)
    return rig


@pytest.fixture
def engine(rig: Rig) -> Engine:
    """Reads what the test's rig writes."""
    return open_engine(rig.url, read_only=True)


def read(engine: Engine, *targets: str) -> ReportData:
    return report.read(engine, targets, ZoneInfo("UTC"), NOW)


def found(data: ReportData) -> dict[str, Section]:
    return {section.id: section for section in sections(data)}


def test_the_numbers_are_those_of_the_ledger(worked: Rig, engine: Engine) -> None:
    data = read(engine)
    charted = found(data)
    assert [*charted][:8] == [
        "totals", "flow-images", "flow-jobs", "places", "work", "labelers", "open-jobs", "backlog",
    ]  # fmt: skip
    places = {row[0]: row[1:] for row in charted["places"].table.rows}
    unknown = ("–",) * 6
    assert places["2026-03-10"] == unknown  # nothing was observed on that day
    # In no job; not annotated; rejected; annotated; approved; all. That of j1 adds up if annotated is without the rest.
    assert places["2026-03-09"] == ("80", "30", "0", "27", "13", "150")
    assert places["2026-03-08"] == ("80", "21", "5", "24", "10", "140")
    assert places["2026-02-19"] == ("90", "26", "0", "34", "0", "150")
    assert places["2026-02-18"] == ("100", "45", "0", "5", "0", "150")
    assert places["2026-02-20"] == unknown
    work = [row[1:] for row in charted["work"].table.rows if "–" not in row]
    sums = [sum(int(cell) for cell in column) for column in zip(*work, strict=True)]
    ((*annotated,), (*approved,), (*rejected,)) = (
        worked.rows(SQL_WORK.format(of))[0] for of in ("annotated", "approved", "rejected")
    )
    assert sums == [*annotated, *approved, *rejected] == [32, 10, 13, 0, 5, 5]
    assert charted["work"].table.rows[-1][0] == "2026-02-18 (part)"
    labelers = charted["labelers"].table.rows
    assert [(row[0], *row[1:4]) for row in labelers] == [
        ("ann@example.com", "25", "10", "13"), ("nobody", "4", "0", "0"), (HOSTILE, "3", "0", "0"),
    ]  # fmt: skip
    assert [(row[1], row[2], row[4]) for row in charted["open-jobs"].table.rows] == [
        ("j1", "ann@example.com", "50"), ("half done", "nobody", "10"), (HOSTILE, HOSTILE, "10"),
    ]  # fmt: skip
    assert [row[1:] for row in stuck_table(data).rows] == [("half done", "nobody", "19 days", "6 of 10")]


def test_names_are_plain_text_and_long_ones_have_the_whole_as_a_tooltip(worked: Rig, engine: Engine) -> None:
    page = report.render(read(engine))
    assert "<img" not in page
    assert not {"\u202e", "\x1b"} & set(page)
    shown = HOSTILE.replace("\u202e", "\ufffd").replace("\x1b", "\ufffd")
    cells = [
        (html.unescape(whole), html.unescape(cut))
        for whole, cut in re.findall(r'<bdi title="([^"]*)">([^<]*)</bdi>', page)
    ]
    assert cells
    assert {whole for whole, _ in cells} == {shown}
    assert all(len(cut) == NAME_LENGTH and cut.startswith("<img") and cut.endswith(".com") for _, cut in cells)


def test_a_pseudonym_stands_for_a_labeler(rig: Rig, engine: Engine) -> None:
    rig.people, rig.sync_jobs = "pseudonym", True
    rig.restart()
    observe(rig, 9, 5, job("j1", 9, labeler="ann@example.com"))
    observe(rig, 8, 5, job("j1", 9, 4, labeler="ann@example.com"))
    page = report.render(read(engine))
    assert "person-1" in page
    assert "ann@" not in page


def test_without_jobs_one_line_says_what_it_would_take(rig: Rig, engine: Engine) -> None:
    observe(rig, 9, 5)
    data = read(engine)
    assert data.jobs is None
    assert not {"places", "work", "labelers", "open-jobs"} & found(data).keys()
    assert data.jobs_note.startswith("Annotation jobs were never asked for: it takes a sync")
    assert report.render(data).count(data.jobs_note) == 1
    rig.sync_jobs = "auto"
    rig.jobs = FetchError(ErrorKind.AUTH, "HTTP 403", http_status=403, attempts=1)
    assert rig.sync().ok
    denied = "he key may see no annotation jobs (auth): it takes one with the scope annotation-job:read"
    assert f"T{denied}" in read(engine).jobs_note
    # Another project's jobs are known.
    rig.project, rig.key = "gears", "other"
    observe(rig, 8, 5, job("j1", 9))
    data = read(engine)
    assert data.jobs is not None
    assert data.jobs_note.startswith(f"Without the jobs of 1 of 2 projects: t{denied}")
    assert "Stuck jobs" in report.render(data)
    assert read(engine, "acme/gears").jobs_note == ""
    rig.jobs = FetchError(ErrorKind.TIMEOUT, "too slow", attempts=1)
    assert rig.sync().ok
    late = "The jobs of 1 project are out of date: the last list could not be read (timeout)."
    assert read(engine, "acme/gears").jobs_note == late
    off = missing_jobs(job_lists(engine), is_off=True)
    assert off.startswith("Annotation jobs were last observed at 20")
    assert off.endswith("they are not asked for, [jobs] sync is false.")
