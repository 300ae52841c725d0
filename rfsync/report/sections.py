"""The sections of the page: charts with their numbers as a table, and tables of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from rfsync import charts
from rfsync.history.rows import MoverRow, ProjectStatus, TotalRow
from rfsync.report.data import MOVERS_DAYS, WINDOW_DAYS, ReportData
from rfsync.report.formatting import TimeFormat, age, count, plural, signed

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Table:
    """Cells as text; the last ``number_columns`` columns are right-aligned."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    number_columns: int


@dataclass(frozen=True)
class Section:
    """A chart with a note, and its numbers as a table."""

    id: str
    title: str
    note: str
    figure: Figure
    table: Table
    #: Takes half the width of a wide page.
    half: bool = False


def sections(data: ReportData, times: TimeFormat) -> list[Section]:
    """The charts in page order; empty if nothing was ever observed."""
    if data.since is None:
        return []
    return [*_over_time(data, times), *_now(data), *_movers(data, times), _throughput(data, times)]


def _over_time(data: ReportData, times: TimeFormat) -> list[Section]:
    return [
        Section(
            "totals",
            "Images and jobs over time",
            "At the end of each day. Only images without a job are counted: assigning them to a job lowers the line.",
            charts.totals_figure(data.totals, zone=times.zone),
            _totals_table(data.totals, times),
        ),
        *(
            Section(
                f"flow-{of}",
                f"{of.capitalize()} gained and lost",
                note,
                charts.flow_figure(data.totals, of=of, zone=times.zone),
                _flow_table(data.totals, of, times),
                half=True,
            )
            for of, note in _FLOWS
        ),
    ]


_NOT_GAINED: Final = "By day. What a project had when it was first observed does not count as gained."
_FLOWS: Final[tuple[tuple[Literal["images", "jobs"], str], ...]] = (
    ("images", f"{_NOT_GAINED} Most lost images were assigned to a job."),
    ("jobs", _NOT_GAINED),
)


def _now(data: ReportData) -> list[Section]:
    return [
        Section(
            "backlog",
            "Images without a job, by age",
            "Age since the upload of the batch.",
            charts.backlog_figure(data.backlog),
            Table(
                ("Age of the batch", "Batches", "Images"),
                [
                    (charts.days_label(row.from_days, row.to_days), count(row.batches), count(row.images))
                    for row in data.backlog
                ],
                number_columns=2,
            ),
            half=True,
        ),
        Section(
            "first-jobs",
            "Age of a batch at its first job",
            charts.first_jobs_summary(data.first_jobs) or "Batches whose first job was observed by rfsync.",
            charts.first_jobs_figure(data.first_jobs),
            Table(
                ("Age at the first job", "Batches"),
                [(label, count(batches)) for label, batches in charts.age_classes(data.first_jobs)],
                number_columns=1,
            ),
            half=True,
        ),
    ]


def _movers(data: ReportData, times: TimeFormat) -> list[Section]:
    assert data.moved_since is not None  # noqa: S101 set together with since
    note = f"By images gained and lost since {times.day(data.moved_since)}, at most the last {MOVERS_DAYS} days."
    note += " Everything that a project had when it was first observed after that day counts as gained."
    charted = [
        ("movers-projects", "Projects that moved most", data.moving_projects),
        ("movers-batches", "Batches that moved most", data.moving_batches),
    ]
    if len(data.projects) == 1:
        charted = charted[1:]
    return [
        Section(id_, title, note, charts.movers_figure(rows), _movers_table(rows), half=len(charted) > 1)
        for id_, title, rows in charted
    ]


def _movers_table(rows: Sequence[MoverRow]) -> Table:
    return Table(
        ("Project", "Batch", "Images gained", "lost", "Jobs gained", "lost"),
        [
            (
                f"{row.workspace}/{row.project}",
                "" if row.batch_id is None else row.name or row.batch_id,
                *map(count, (row.images_gained, row.images_lost, row.jobs_gained, row.jobs_lost)),
            )
            for row in rows
        ],
        number_columns=4,
    )


def _throughput(data: ReportData, times: TimeFormat) -> Section:
    return Section(
        "throughput",
        f"Throughput in {WINDOW_DAYS} days",
        f"Images gained and lost in the {WINDOW_DAYS} days that end with each day. Where the lines cross, the backlog "
        "starts to grow or shrink.",
        charts.throughput_figure(data.throughput, WINDOW_DAYS, zone=times.zone),
        Table(
            ("Day", "Images gained", "lost", "Jobs gained", "lost", "Days observed"),
            [
                (
                    times.day(row.period),
                    *map(count, (row.images_gained, row.images_lost, row.jobs_gained, row.jobs_lost)),
                    f"{row.observed} of {WINDOW_DAYS}",
                )
                for row in reversed(data.throughput)
            ],
            number_columns=5,
        ),
    )


def _totals_table(rows: Sequence[TotalRow], times: TimeFormat) -> Table:
    """Totals of all projects together, newest day first."""
    sums: dict[datetime, list[int]] = {}
    for row in rows:
        day = sums.setdefault(row.period, [0, 0, 0, 0])
        for column, number in enumerate((row.batches, row.images, row.num_jobs, int(row.observed))):
            day[column] += number
    return Table(
        ("Day", "Observed", "Batches", "Images", "Jobs"),
        [
            (times.day(period), plural(observed, "project") if observed else "no", *map(count, totals))
            for period, (*totals, observed) in sorted(sums.items(), reverse=True)
        ],
        number_columns=3,
    )


def _flow_table(rows: Sequence[TotalRow], of: str, times: TimeFormat) -> Table:
    return Table(
        ("Day", "Gained", "Lost", "Net"),
        [
            (times.day(period), count(flow.gained), count(flow.lost), signed(flow.gained - flow.lost))
            for period, flow in reversed(charts.flows(rows, of).items())
        ],
        number_columns=3,
    )


def waiting_table(data: ReportData, times: TimeFormat) -> Table:
    """The batches that have waited longest for a job."""
    return Table(
        ("Project", "Batch", "Waiting since", "For", "Images"),
        [
            (
                f"{row.workspace}/{row.project}",
                row.name or row.batch_id,
                times.moment(row.waiting_since),
                age(row.waiting_since, data.made_at),
                count(row.images),
            )
            for row in data.waiting
        ],
        number_columns=1,
    )


def health_table(data: ReportData, times: TimeFormat) -> Table:
    """Freshness and last error of each project, failing ones first."""
    return Table(
        ("Project", "Sync", "Last observed", "Age", "Last error", "Batches", "Images", "Jobs"),
        [
            (
                f"{project.workspace}/{project.project}",
                _health(project),
                "never" if project.observed_at is None else times.moment(project.observed_at),
                "" if project.observed_at is None else age(project.observed_at, data.made_at),
                _error(project),
                *map(count, (project.batches, project.images, project.num_jobs)),
            )
            for project in sorted(data.projects, key=_urgency)
        ],
        number_columns=3,
    )


def _health(project: ProjectStatus) -> str:
    if project.consecutive_failures:
        return f"{plural(project.consecutive_failures, 'run')} failed"
    return "ok" if project.last_success_at else "not yet synced"


def _error(project: ProjectStatus) -> str:
    """The last error, unless a successful run has followed it."""
    return (
        f"{project.last_error_kind or project.last_outcome}: {project.last_error or ''}"
        if project.consecutive_failures
        else ""
    )


def _urgency(project: ProjectStatus) -> tuple[bool, float, str, str]:
    observed = project.observed_at.timestamp() if project.observed_at else 0.0
    return (project.consecutive_failures == 0, observed, project.workspace, project.project)


def problems(data: ReportData, times: TimeFormat) -> str:
    """A warning that some numbers may be outdated; empty if all is well."""
    failing = [project for project in data.projects if project.consecutive_failures]
    if not failing:
        return ""
    text = "The last sync failed."
    if len(data.projects) > 1:
        text = f"The last sync of {len(failing):,} of {len(data.projects):,} projects failed."
    known = [project.observed_at for project in failing if project.observed_at is not None]
    if known:
        text += f" The oldest numbers are from {times.moment(min(known))}."
    return text


def change_lines(data: ReportData, of: Literal["images", "jobs", "batches"]) -> list[str]:
    """Changes of a headline number, in words."""
    lines = []
    for change in data.changes:
        if not change.known:
            lines.append(f"not yet known for {change.days} days")
            continue
        line = f"{signed(getattr(change, of))} in {change.days} days"
        lines.append(line + (f", without {plural(change.newer, 'newer project')}" if change.newer else ""))
    return lines
