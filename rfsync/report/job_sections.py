"""The sections about annotation jobs: where the images are, what was done and by whom, open and stuck jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rfsync import charts
from rfsync.history.job_rows import LabelerRow, WorkRow
from rfsync.history.place_rows import OpenJobRow
from rfsync.report.data import JobsData, ReportData
from rfsync.report.formatting import UNKNOWN, age, count
from rfsync.report.section import Name, Section, Table

#: Heading of each column of work.
_WORK_HEADERS: Final = tuple(f"{way} {of}" for of in charts.WORK for way in ("More", "Fewer"))
#: Places from the top of the stack, and the headings of their columns.
_STACK: Final = charts.PLACES[::-1]
_STACK_HEADERS: Final = tuple(place.name.capitalize() for place in _STACK)


def job_sections(data: ReportData) -> list[Section]:
    """The charts about jobs in page order; empty if no jobs are known."""
    if data.jobs is None:
        return []
    return [_places(data, data.jobs), _work(data, data.jobs), _labelers(data, data.jobs), _open(data, data.jobs)]


def _places(data: ReportData, jobs: JobsData) -> Section:
    note = "At the end of each day. An image is counted once: one that was approved or rejected is not in annotated. "
    note += "Those of jobs that are gone are in none. "
    if data.since is not None:
        note += charts.removed_summary(data.removed_jobs, f"since {data.moment(data.since)}")
    rows = [
        (data.day(period), *([UNKNOWN] * (len(_STACK) + 1) if counts is None else _counts(counts)))
        for period, counts in reversed(charts.places(jobs.places).items())
    ]
    table = Table(("Day", *_STACK_HEADERS, "Total"), rows, number_columns=len(_STACK) + 1)
    figure = charts.places_figure(jobs.places, zone=data.zone)
    return Section("places", "Where the images are", note, figure, table)


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [*(count(counts[place.field]) for place in _STACK), count(sum(counts.values()))]


def _work(data: ReportData, jobs: JobsData) -> Section:
    note = "By day; hatched: not a whole day. What was done before the first list of jobs is not counted. "
    note += "Annotated may fall because images are approved or rejected."
    rows = [
        (
            data.day(row.period) + ("" if row.complete else " (part)"),
            *(_done(row) if row.observed else [UNKNOWN] * len(_WORK_HEADERS)),
        )
        for row in reversed(jobs.work)
    ]
    table = Table(("Day", *_WORK_HEADERS), rows, number_columns=len(_WORK_HEADERS))
    figure = charts.work_figure(jobs.work, zone=data.zone)
    return Section("work", "Annotated, approved and rejected", note, figure, table)


def _done(row: WorkRow | LabelerRow) -> list[str]:
    return [count(getattr(row, f"{of}_{way}")) for of in charts.WORK for way in ("gained", "lost")]


def _labelers(data: ReportData, jobs: JobsData) -> Section:
    note = f"Images annotated, approved and rejected in the jobs of each since {data.moment(data.changes[-1].since)}."
    rows = [(Name(charts.person(row.labeler)), *_done(row)) for row in jobs.labelers]
    table = Table(("Labeler", *_WORK_HEADERS), rows, number_columns=len(_WORK_HEADERS))
    return Section("labelers", "Work by labeler", note, charts.labelers_figure(jobs.labelers), table, half=True)


def _open(data: ReportData, jobs: JobsData) -> Section:
    rows = [
        (
            *_job_cells(row),
            data.moment(row.opened_at),
            count(row.num_images),
            *(count(getattr(row, place.field)) for place in _STACK[1:]),
        )
        for row in jobs.open
    ]
    headers = ("Project", "Job", "Labeler", "Open since", "Images", *_STACK_HEADERS[1:])
    figure, note = charts.open_jobs_figure(jobs.open), "Those open longest, and where their images are."
    return Section("open-jobs", "Open jobs", note, figure, Table(headers, rows, number_columns=len(_STACK)), half=True)


def stuck_table(data: ReportData) -> Table:
    """The open jobs on which nothing has changed for longest."""
    rows = [
        (
            *_job_cells(row),
            age(row.changed_at, data.made_at),
            f"{row.unannotated:,} of {row.num_images:,}",
        )
        for row in (data.jobs.stuck if data.jobs else ())
    ]
    headers = ("Project", "Job", "Labeler", "Nothing changed for", "Not annotated")
    return Table(headers, rows, number_columns=1)


def _job_cells(row: OpenJobRow) -> Sequence[str]:
    job, labeler = Name(row.name or row.job_id), Name(charts.person(row.labeler))
    return f"{row.workspace}/{row.project}", job, labeler
