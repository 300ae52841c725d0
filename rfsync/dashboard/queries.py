"""History queries of the dashboard; the size of an answer does not depend on the size of the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Engine

from rfsync import history
from rfsync.dashboard.view import PERIOD_LENGTH, Batch, TimeRange, View, time_range
from rfsync.history import (
    BacklogRow,
    ChangeRow,
    FirstJobRow,
    MoverRow,
    ProjectStatus,
    ThroughputRow,
    TotalRow,
    WaitingRow,
)
from rfsync.history.query import Query

#: Maximum projects with a line of their own in a chart; beyond it, all are shown as one.
MAX_LINES: Final = 8
#: Maximum points of all lines of a chart; beyond it, all projects are shown as one.
MAX_POINTS: Final = 6_000
#: Maximum changes shown of a batch.
MAX_CHANGES: Final = 200
#: Number of batches in the table of those that have waited longest.
_WAITING_ROWS: Final = 10
#: Window of the throughput, in periods.
_WINDOWS: Final = {"hour": 24, "day": 7, "week": 4, "month": 3}

#: (workspace, time of an observation) -> time from which that observation is stale.
StaleFrom = Callable[[str, datetime], datetime]


class ProjectTotals(NamedTuple):
    """A project's current totals."""

    workspace: str
    project: str
    batches: int
    images: int
    num_jobs: int


def full_name(project: ProjectTotals | ProjectStatus) -> str:
    """``workspace/project``."""
    return f"{project.workspace}/{project.project}"


def read_projects(engine: Engine) -> list[ProjectTotals]:
    """All projects, ordered by workspace and project; a cheap part of ``history.status``, which reads the runs too.

    Raises:
        DatabaseError: the database can't be read.
    """
    query = Query(engine, None)
    sql = "SELECT workspace, project, batches, images, num_jobs FROM projects ORDER BY workspace, project"
    return list(query.rows("reading the projects", sql, ProjectTotals._make))


def selectable_targets(projects: Sequence[ProjectTotals]) -> list[str]:
    """The targets that can be selected: workspaces with more than one project, then projects."""
    counts = Counter(p.workspace for p in projects)
    return [*sorted(w for w in counts if counts[w] > 1), *map(full_name, projects)]


def in_scope(projects: Sequence[ProjectTotals], target: str | None) -> list[ProjectTotals]:
    """The projects that a target covers; None covers all."""
    return [p for p in projects if target in {None, p.workspace, full_name(p)}]


@dataclass(frozen=True, slots=True)
class Overview:
    """The totals over time."""

    time_range: TimeRange
    #: By project, or of all projects together if they are too many. What a project had when it was first observed
    #: does not count as gained.
    totals: list[TotalRow]


@dataclass(frozen=True, slots=True)
class Details:
    """Throughput, backlog and the batches behind them."""

    throughput: list[ThroughputRow]
    #: Throughput window, in periods.
    window: int
    backlog: list[BacklogRow]
    movers: list[MoverRow]
    waiting: list[WaitingRow]


def overview(engine: Engine, view: View, projects: int, now: datetime) -> Overview:
    """Reads the totals for a view.

    Args:
        projects: number of projects in the view's scope.

    Raises:
        DatabaseError: the database can't be read.
    """
    span = _time_range(engine, view, now)
    points = projects * (((span.until or now) - span.since) / PERIOD_LENGTH[span.by] + 1)
    rows = history.totals(
        engine,
        view.target,
        by=span.by,
        since=span.since,
        until=span.until,
        tz=view.tz,
        summed=projects > MAX_LINES or points > MAX_POINTS,
        first_looks=False,
        now=now,
    )
    return Overview(span, list(rows))


def details(engine: Engine, view: View, projects: int, now: datetime) -> Details:
    """Reads throughput, backlog, top movers and longest waiting batches for a view.

    Args:
        projects: number of projects in the view's scope.

    Raises:
        DatabaseError: the database can't be read.
    """
    span, target = _time_range(engine, view, now), view.target
    since, until, by = span.since, span.until, span.by
    window = _WINDOWS[by]
    throughput = list(
        history.throughput(
            engine, target, by=by, window=window, since=since, until=until, tz=view.tz, summed=True, now=now
        )
    )
    return Details(
        throughput if any(row.observed for row in throughput) else [],
        window,
        history.backlog(engine, target, now=now),
        history.movers(engine, target, of="batches" if projects == 1 else "projects", since=since, until=until),
        history.waiting(engine, target, limit=_WAITING_ROWS),
    )


def first_jobs(engine: Engine, view: View, now: datetime) -> list[FirstJobRow]:
    """Reads the batches that got their first job in the view's time range.

    Raises:
        DatabaseError: the database can't be read.
    """
    span = _time_range(engine, view, now)
    return list(history.first_jobs(engine, view.target, since=span.since, until=span.until))


def _time_range(engine: Engine, view: View, now: datetime) -> TimeRange:
    days_given = view.first_day is not None
    return time_range(view, now, None if days_given else history.first_observed(engine, view.target))


def batch_changes(engine: Engine, batch: Batch) -> list[ChangeRow]:
    """Reads the latest changes of a batch, newest first; one more than ``MAX_CHANGES`` if there are more.

    Raises:
        DatabaseError: the database can't be read.
    """
    rows = history.changes(engine, batch.project, batch_ids=[batch.batch_id], newest_first=True, limit=MAX_CHANGES + 1)
    return list(rows)


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why a project's data may be outdated."""

    project: str
    text: str


def problems(projects: Sequence[ProjectStatus], now: datetime, stale_from: StaleFrom) -> list[Problem]:
    """Projects whose sync fails or whose data is stale."""
    found = []
    for project in projects:
        if project.consecutive_failures:
            times = "once" if project.consecutive_failures == 1 else f"{project.consecutive_failures:,} times in a row"
            reason = project.last_error or project.last_error_kind or project.last_outcome or "unknown reason"
            found.append(Problem(full_name(project), f"its sync has failed {times}: {reason}"))
        elif project.observed_at is None:
            found.append(Problem(full_name(project), "it was never observed"))
        elif now > stale_from(project.workspace, project.observed_at):
            found.append(Problem(full_name(project), "its data is old: three polls have been due since then"))
    return found
