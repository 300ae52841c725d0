"""What the history answers for a view: little enough for a browser, however much there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Engine

from rfsync import history
from rfsync.dashboard.view import LENGTH, Batch, Span, View, span
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

#: Projects that have a line of their own in a chart; where there are more, all are shown as one.
MOST_LINES: Final = 8
#: Points of all lines of a chart; where there would be more, all projects are shown as one.
MOST_POINTS: Final = 6_000
#: Changes shown of a batch, and batches among those that wait longest.
MOST_CHANGES: Final = 200
MOST_WAITING: Final = 10
#: Periods of the trailing window of the throughput.
WINDOWS: Final = {"hour": 24, "day": 7, "week": 4, "month": 3}

#: A workspace and an observation of one of its projects -> from when on that is too old.
Patience = Callable[[str, datetime], datetime]


class ProjectNow(NamedTuple):
    """What there is in a project."""

    workspace: str
    project: str
    batches: int
    images: int
    num_jobs: int


def named(project: ProjectNow | ProjectStatus) -> str:
    """``workspace/project``."""
    return f"{project.workspace}/{project.project}"


def projects_of(engine: Engine) -> list[ProjectNow]:
    """All projects, by workspace and project: what ``history.status`` has of them, without a look at their syncs.

    Raises:
        DatabaseError: the database can't be read.
    """
    query = Query(engine, None)
    sql = "SELECT workspace, project, batches, images, num_jobs FROM projects ORDER BY workspace, project"
    return list(query.rows("reading the projects", sql, ProjectNow._make))


def targets_of(projects: Sequence[ProjectNow]) -> list[str]:
    """What can be chosen: workspaces with more than one project, then projects."""
    counted = Counter(p.workspace for p in projects)
    return [*sorted(w for w in counted if counted[w] > 1), *map(named, projects)]


def in_scope(projects: Sequence[ProjectNow], target: str | None) -> list[ProjectNow]:
    """The projects that a target means; None: all."""
    return [p for p in projects if target in {None, p.workspace, named(p)}]


@dataclass(frozen=True, slots=True)
class Overview:
    """What has been there and what has moved."""

    span: Span
    #: Of each project, or where they are too many of all as one; first looks count as no gain.
    totals: list[TotalRow]


@dataclass(frozen=True, slots=True)
class Details:
    """What it comes from."""

    throughput: list[ThroughputRow]
    window: int
    backlog: list[BacklogRow]
    movers: list[MoverRow]
    waiting: list[WaitingRow]


def overview(engine: Engine, view: View, projects: int, now: datetime) -> Overview:
    """Asks for the totals that a view shows.

    Args:
        projects: how many the view is about.

    Raises:
        DatabaseError: the database can't be read.
    """
    time = _span(engine, view, now)
    points = projects * (((time.until or now) - time.since) / LENGTH[time.by] + 1)
    alone = projects <= MOST_LINES and points <= MOST_POINTS
    since, until, by = time.since, time.until, time.by
    rows = history.totals(
        engine, view.target, by=by, since=since, until=until, tz=view.tz, summed=not alone, first_looks=False, now=now
    )
    return Overview(time, list(rows))


def details(engine: Engine, view: View, projects: int, now: datetime) -> Details:
    """Asks for what is behind the totals.

    Args:
        projects: how many the view is about.

    Raises:
        DatabaseError: the database can't be read.
    """
    time, target = _span(engine, view, now), view.target
    since, until, by = time.since, time.until, time.by
    window = WINDOWS[by]
    throughput = history.throughput(
        engine, target, by=by, window=window, since=since, until=until, tz=view.tz, summed=True, now=now
    )
    windows = list(throughput)
    return Details(
        windows if any(row.observed for row in windows) else [],
        window,
        history.backlog(engine, target, now=now),
        history.movers(engine, target, of="batches" if projects == 1 else "projects", since=since, until=until),
        history.waiting(engine, target, limit=MOST_WAITING),
    )


def first_jobs(engine: Engine, view: View, now: datetime) -> list[FirstJobRow]:
    """Asks for the batches that got their first job in the time that a view is about.

    Raises:
        DatabaseError: the database can't be read.
    """
    time = _span(engine, view, now)
    return list(history.first_jobs(engine, view.target, since=time.since, until=time.until))


def _span(engine: Engine, view: View, now: datetime) -> Span:
    by_days = view.first_day is not None
    return span(view, now, None if by_days else history.first_observed(engine, view.target))


def history_of(engine: Engine, batch: Batch) -> list[ChangeRow]:
    """The last changes of a batch, the newest first.

    Raises:
        DatabaseError: the database can't be read.
    """
    rows = history.changes(engine, batch.project, batch_ids=[batch.batch_id], newest_first=True, limit=MOST_CHANGES + 1)
    return list(rows)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the data of a project is not to be relied on."""

    project: str
    text: str


def troubles(projects: Sequence[ProjectStatus], now: datetime, patience: Patience) -> list[Trouble]:
    """What is wrong with the syncs of projects: those that fail, and data that is too old."""
    found = []
    for project in projects:
        if project.consecutive_failures:
            times = "once" if project.consecutive_failures == 1 else f"{project.consecutive_failures:,} times in a row"
            why = project.last_error or project.last_error_kind or project.last_outcome or "no reason is known"
            found.append(Trouble(named(project), f"its sync has failed {times}: {why}"))
        elif project.observed_at is None:
            found.append(Trouble(named(project), "it was never observed"))
        elif now > patience(project.workspace, project.observed_at):
            found.append(Trouble(named(project), "its data is old: three of its polls were due since"))
    return found
