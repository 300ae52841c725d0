"""The parts of the page: charts with their numbers as a table, and tables that stand by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from rfsync import charts
from rfsync.history.rows import MoverRow, ProjectStatus, TotalRow
from rfsync.report.data import MOVERS, WINDOW, Numbers
from rfsync.report.formatting import Clock, age, count, plural, signed

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Table:
    """Cells as text; of the columns, the last ``numbers`` are aligned to the right."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: int


@dataclass(frozen=True)
class Section:
    """A chart, what it says, and its numbers."""

    id: str
    title: str
    note: str
    figure: Figure
    table: Table
    #: Half the page's width is enough where that is wide.
    half: bool = False


def sections(numbers: Numbers, clock: Clock) -> list[Section]:
    """The charts, in their order; none where nothing was ever observed."""
    if numbers.since is None:
        return []
    return [*_over_time(numbers, clock), *_now(numbers), *_movers(numbers, clock), *_pace(numbers, clock)]


def _over_time(numbers: Numbers, clock: Clock) -> list[Section]:
    return [
        Section(
            "totals",
            "Images and jobs over time",
            "At the end of each day. Images are those without a job: handing them out lowers the line.",
            charts.totals_figure(numbers.totals, zone=clock.zone),
            _days(numbers.totals, clock),
        ),
        *(
            Section(
                f"flow-{of}",
                f"{of.capitalize()} gained and lost",
                note,
                charts.flow_figure(numbers.totals, of=of, zone=clock.zone),
                _flows(numbers.totals, of, clock),
                half=True,
            )
            for of, note in _FLOWS
        ),
    ]


_FLOWS: tuple[tuple[Literal["images", "jobs"], str], ...] = (
    (
        "images",
        "By day. What a project had when it was first observed is not counted as gained. Lost mostly means handed out.",
    ),
    ("jobs", "By day. What a project had when it was first observed is not counted as gained."),
)


def _now(numbers: Numbers) -> list[Section]:
    return [
        Section(
            "backlog",
            "Images without a job, by age",
            "Counted from the upload of their batch to now.",
            charts.backlog_figure(numbers.backlog),
            Table(
                ("Age of the batch", "Batches", "Images"),
                [
                    (charts.days_label(row.from_days, row.to_days), count(row.batches), count(row.images))
                    for row in numbers.backlog
                ],
                numbers=2,
            ),
            half=True,
        ),
        Section(
            "first-jobs",
            "Age of a batch at its first job",
            charts.first_jobs_summary(numbers.first_jobs) or "Of the batches whose first job came while rfsync looked.",
            charts.first_jobs_figure(numbers.first_jobs),
            Table(
                ("Age at the first job", "Batches"),
                [(label, count(batches)) for label, batches in charts.age_classes(numbers.first_jobs)],
                numbers=1,
            ),
            half=True,
        ),
    ]


def _movers(numbers: Numbers, clock: Clock) -> list[Section]:
    assert numbers.moved_since is not None  # noqa: S101 there is an observation
    note = f"By images gained and lost from {clock.day(numbers.moved_since)} on, the last {MOVERS} days at most."
    note += " A project first observed later has moved with all that it had."
    found = [
        ("movers-projects", "Projects that moved most", numbers.moving_projects),
        ("movers-batches", "Batches that moved most", numbers.moving_batches),
    ]
    if len(numbers.projects) == 1:
        found = found[1:]
    return [
        Section(id_, title, note, charts.movers_figure(rows), _moves(rows), half=len(found) > 1)
        for id_, title, rows in found
    ]


def _moves(rows: Sequence[MoverRow]) -> Table:
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
        numbers=4,
    )


def _pace(numbers: Numbers, clock: Clock) -> list[Section]:
    return [
        Section(
            "throughput",
            f"Throughput in {WINDOW} days",
            f"Images gained and lost in the {WINDOW} days that end with each day. Where the lines cross, the backlog "
            "begins to grow or to shrink.",
            charts.throughput_figure(numbers.throughput, WINDOW, zone=clock.zone),
            Table(
                ("Day", "Images gained", "lost", "Jobs gained", "lost", "Days observed"),
                [
                    (
                        clock.day(row.period),
                        *map(count, (row.images_gained, row.images_lost, row.jobs_gained, row.jobs_lost)),
                        f"{row.observed} of {WINDOW}",
                    )
                    for row in reversed(numbers.throughput)
                ],
                numbers=5,
            ),
        )
    ]


def _days(rows: Sequence[TotalRow], clock: Clock) -> Table:
    """The totals of all projects together, the last day first."""
    sums: dict[datetime, list[int]] = {}
    for row in rows:
        day = sums.setdefault(row.period, [0, 0, 0, 0])
        for place, number in enumerate((row.batches, row.images, row.num_jobs, int(row.observed))):
            day[place] += number
    return Table(
        ("Day", "Observed", "Batches", "Images", "Jobs"),
        [
            (clock.day(period), plural(observed, "project") if observed else "no", *map(count, totals))
            for period, (*totals, observed) in sorted(sums.items(), reverse=True)
        ],
        numbers=3,
    )


def _flows(rows: Sequence[TotalRow], of: str, clock: Clock) -> Table:
    sums: dict[datetime, list[int]] = {}
    for row in rows:
        day = sums.setdefault(row.period, [0, 0])
        gained, lost = (row.images_gained, row.images_lost) if of == "images" else (row.jobs_gained, row.jobs_lost)
        day[0] += gained
        day[1] += lost
    return Table(
        ("Day", "Gained", "Lost", "Net"),
        [
            (clock.day(period), count(gained), count(lost), signed(gained - lost))
            for period, (gained, lost) in sorted(sums.items(), reverse=True)
        ],
        numbers=3,
    )


def waiting_table(numbers: Numbers, clock: Clock) -> Table:
    """The batches that wait longest for a job."""
    return Table(
        ("Project", "Batch", "Waiting since", "For", "Images"),
        [
            (
                f"{row.workspace}/{row.project}",
                row.name or row.batch_id,
                clock.moment(row.waiting_since),
                age(row.waiting_since, numbers.made_at),
                count(row.images),
            )
            for row in numbers.waiting
        ],
        numbers=1,
    )


def health_table(numbers: Numbers, clock: Clock) -> Table:
    """Each project's freshness and last error, those in trouble first."""
    return Table(
        ("Project", "Sync", "Last observed", "Age", "Last error", "Batches", "Images", "Jobs"),
        [
            (
                f"{one.workspace}/{one.project}",
                _health(one),
                "never" if one.observed_at is None else clock.moment(one.observed_at),
                "" if one.observed_at is None else age(one.observed_at, numbers.made_at),
                _error(one),
                *map(count, (one.batches, one.images, one.num_jobs)),
            )
            for one in sorted(numbers.projects, key=_urgency)
        ],
        numbers=3,
    )


def _health(one: ProjectStatus) -> str:
    if one.consecutive_failures:
        return f"{plural(one.consecutive_failures, 'run')} failed"
    return "ok" if one.last_success_at else "not yet synced"


def _error(one: ProjectStatus) -> str:
    """The error that stands; one that a success has followed is history."""
    return f"{one.last_error_kind or one.last_outcome}: {one.last_error or ''}" if one.consecutive_failures else ""


def _urgency(one: ProjectStatus) -> tuple[bool, float, str, str]:
    observed = one.observed_at.timestamp() if one.observed_at else 0.0
    return (one.consecutive_failures == 0, observed, one.workspace, one.project)


def troubles(numbers: Numbers, clock: Clock) -> str:
    """What has to be known before the numbers are believed; empty if nothing."""
    failing = [one for one in numbers.projects if one.consecutive_failures]
    if not failing:
        return ""
    text = "The last sync failed."
    if len(numbers.projects) > 1:
        text = f"The last sync of {len(failing):,} of {len(numbers.projects):,} projects failed."
    known = [one.observed_at for one in failing if one.observed_at is not None]
    if known:
        text += f" The oldest numbers are of {clock.moment(min(known))}."
    return text


def change_lines(numbers: Numbers, of: Literal["images", "jobs", "batches"]) -> list[str]:
    """How a headline's number changed, in words."""
    lines = []
    for change in numbers.changes:
        if not change.known:
            lines.append(f"not known for {change.days} days yet")
            continue
        line = f"{signed(getattr(change, of))} in {change.days} days"
        lines.append(line + (f", without {plural(change.newer, 'newer project')}" if change.newer else ""))
    return lines
