"""The sections of the page: charts with their numbers as a table, and tables of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

from rfsync import charts
from rfsync.history.net_change import NetChange
from rfsync.history.rows import MoverRow, ProjectStatus, ThroughputRow
from rfsync.report.data import WINDOW_DAYS, ReportData
from rfsync.report.formatting import UNKNOWN, age, count, plural, signed
from rfsync.report.job_sections import job_sections
from rfsync.report.section import Section, Table

_FLOW_HEADERS: Final = tuple(name.capitalize() for of in ("images", "jobs") for name in charts.FLOW_NAMES[of])


def sections(data: ReportData) -> list[Section]:
    """The charts in page order; empty if nothing was ever observed."""
    if data.since is None:
        return []
    return [*_over_time(data), *job_sections(data), *_now(data), *_movers(data), _throughput(data)]


def _over_time(data: ReportData) -> list[Section]:
    note = "At the end of each day. Only images without a job are counted: assigning them to a job lowers the line."
    totals = charts.totals_figure(data.totals, zone=data.zone)
    charted = [Section("totals", "Images and jobs over time", note, totals, _totals_table(data))]
    for of, title, flow_note in _FLOWS:
        flow = charts.flow_figure(data.totals, of=of, zone=data.zone)
        charted.append(Section(f"flow-{of}", title, flow_note, flow, _flow_table(data, of), half=True))
    return charted


_BY_DAY: Final = "By day; hatched: not a whole day. What a project had when it was first observed is not counted."
_FLOWS: Final[tuple[tuple[Literal["images", "jobs"], str, str], ...]] = (
    ("images", "Images in and left", f"Most images that left were assigned to a job. {_BY_DAY}"),
    ("jobs", "Jobs added and gone", _BY_DAY),
)


def _now(data: ReportData) -> list[Section]:
    ages = [
        (charts.days_label(row.from_days, row.to_days), count(row.batches), count(row.images)) for row in data.backlog
    ]
    first_jobs = [(label, count(batches)) for label, batches in charts.age_classes(data.first_jobs)]
    return [
        Section(
            "backlog",
            "Images without a job, by age",
            "Age since the upload of the batch.",
            charts.backlog_figure(data.backlog),
            Table(("Age of the batch", "Batches", "Images"), ages, number_columns=2),
            half=True,
        ),
        Section(
            "first-jobs",
            "Age of a batch at its first job",
            charts.first_jobs_summary(data.first_jobs) or "Batches whose first job was observed by rfsync.",
            charts.first_jobs_figure(data.first_jobs),
            Table(("Age at the first job", "Batches"), first_jobs, number_columns=1),
            half=True,
        ),
    ]


def _movers(data: ReportData) -> list[Section]:
    change = data.changes[-1]
    note = f"By images in and left since {data.moment(change.since)}{_without_first(change)}."
    charted = [("movers-batches", "Batches that moved most", data.moving_batches)]
    if len(data.projects) != 1:
        charted.insert(0, ("movers-projects", "Projects that moved most", data.moving_projects))
    return [
        Section(id_, title, note, charts.movers_figure(rows), _movers_table(rows), half=len(charted) > 1)
        for id_, title, rows in charted
    ]


def _without_first(change: NetChange) -> str:
    """What a change leaves out, in words; empty if nothing."""
    number = change.first_observed
    return f", without what {plural(number, 'project')} had when first observed" if number else ""


def _movers_table(movers: Sequence[MoverRow]) -> Table:
    rows = [
        (
            f"{row.workspace}/{row.project}",
            "" if row.batch_id is None else row.name or row.batch_id,
            *_gains_and_losses(row),
        )
        for row in movers
    ]
    return Table(("Project", "Batch", *_FLOW_HEADERS), rows, number_columns=4)


def _gains_and_losses(row: MoverRow | ThroughputRow) -> Iterator[str]:
    return map(count, (row.images_gained, row.images_lost, row.jobs_gained, row.jobs_lost))


def _throughput(data: ReportData) -> Section:
    note = f"Images that came in and left in the {WINDOW_DAYS} days that end with each day, as soon as it is over. "
    note += "Where the lines cross, the backlog starts to grow or shrink."
    rows = [
        (data.day(row.period), *_gains_and_losses(row), f"{row.observed} of {WINDOW_DAYS}")
        for row in reversed(data.throughput)
    ]
    table = Table(("Last day", *_FLOW_HEADERS, "Days observed"), rows, number_columns=5)
    figure = charts.throughput_figure(data.throughput, WINDOW_DAYS, zone=data.zone)
    return Section("throughput", f"Throughput in {WINDOW_DAYS} days", note, figure, table)


def _totals_table(data: ReportData) -> Table:
    """Totals of all projects together, newest day first."""
    sums: dict[datetime, list[int | None]] = {}
    observed: dict[datetime, int] = {}
    for row in data.totals:
        counts = (row.batches, row.images, row.num_jobs)
        sums[row.period] = [charts.plus(*pair) for pair in zip(sums.get(row.period, [None] * 3), counts, strict=True)]
        observed[row.period] = observed.get(row.period, 0) + row.observed
    rows = [
        (data.day(period), plural(observed[period], "project") if observed[period] else "no", *map(count, totals))
        for period, totals in sorted(sums.items(), reverse=True)
    ]
    return Table(("Day", "Observed", "Batches", "Images", "Jobs"), rows, number_columns=3)


def _flow_table(data: ReportData, of: Literal["images", "jobs"]) -> Table:
    rows = [
        (
            data.day(period) + ("" if flow.complete else " (part)"),
            *(
                (count(flow.gained), count(flow.lost), signed(flow.gained - flow.lost))
                if flow.observed
                else [UNKNOWN] * 3
            ),
        )
        for period, flow in reversed(charts.flows(data.totals, of).items())
    ]
    return Table(("Day", *map(str.capitalize, charts.FLOW_NAMES[of]), "Net"), rows, number_columns=3)


def waiting_table(data: ReportData) -> Table:
    """The batches that have waited longest for a job."""
    rows = [
        (
            f"{row.workspace}/{row.project}",
            row.name or row.batch_id,
            data.moment(row.waiting_since),
            age(row.waiting_since, data.made_at),
            count(row.images),
        )
        for row in data.waiting
    ]
    return Table(("Project", "Batch", "Waiting since", "For", "Images"), rows, number_columns=1)


def health_table(data: ReportData) -> Table:
    """Freshness and last error of each project, failing ones first."""
    rows = [
        (
            f"{project.workspace}/{project.project}",
            _health(project),
            "never" if project.observed_at is None else data.moment(project.observed_at),
            "" if project.observed_at is None else age(project.observed_at, data.made_at),
            _error(project),
        )
        for project in sorted(data.projects, key=_urgency)
    ]
    return Table(("Project", "Sync", "Last observed", "Age", "Last error"), rows, number_columns=0)


def _health(project: ProjectStatus) -> str:
    if project.consecutive_failures:
        return f"{plural(project.consecutive_failures, 'run')} failed"
    return "ok" if project.last_success_at else "not yet synced"


def _error(project: ProjectStatus) -> str:
    """The last error, unless a successful run has followed it."""
    if not project.consecutive_failures:
        return ""
    return f"{project.last_error_kind or project.last_outcome}: {project.last_error or ''}"


def _urgency(project: ProjectStatus) -> tuple[bool, float, str, str]:
    observed = project.observed_at.timestamp() if project.observed_at else 0.0
    return (project.consecutive_failures == 0, observed, project.workspace, project.project)


def problems(data: ReportData) -> str:
    """A warning that some numbers may be outdated; empty if all is well."""
    failing = [project for project in data.projects if project.consecutive_failures]
    if not failing:
        return ""
    text = "The last sync failed."
    if len(data.projects) > 1:
        text = f"The last sync of {len(failing):,} of {len(data.projects):,} projects failed."
    known = [project.observed_at for project in failing if project.observed_at is not None]
    if known:
        text += f" The oldest numbers are from {data.moment(min(known))}."
    return text


def change_lines(data: ReportData, of: Literal["images", "jobs", "batches"]) -> list[str]:
    """Changes of a headline number, in words."""
    return [f"{signed(getattr(change, of))} {_since(data, change)}" for change in data.changes]


def _since(data: ReportData, change: NetChange) -> str:
    return f"since {data.moment(change.since)}{_without_first(change)}"


def projects_table(data: ReportData) -> Table:
    """The numbers of each project, those with the most images first."""
    deltas = [{(row.workspace, row.project): row.images_delta for row in change.projects} for change in data.changes]
    rows = [
        (
            f"{project.workspace}/{project.project}",
            count(project.images),
            *(signed(delta.get((project.workspace, project.project), 0)) for delta in deltas),
            *map(count, (project.num_jobs, project.batches)),
        )
        for project in sorted(data.projects, key=lambda one: (-(one.images or 0), one.workspace, one.project))
    ]
    # What a project took along that departed is in the headline's changes.
    known = {(project.workspace, project.project) for project in data.projects}
    departed = [
        path
        for path in (deltas[-1] if deltas else ())
        if path not in known and any(delta.get(path) for delta in deltas)
    ]
    rows += (
        (f"{'/'.join(path)} (gone)", count(0), *(signed(delta.get(path, 0)) for delta in deltas), count(0), count(0))
        for path in departed
    )
    since = [f"Since {data.moment(change.since)}" for change in data.changes]
    headers = ("Project", "Images", *since, "Jobs", "Batches")
    return Table(headers, rows, number_columns=len(headers) - 1)
