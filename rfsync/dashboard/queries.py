"""History queries of the dashboard; the size of an answer does not depend on the size of the database.

Each raises a DatabaseError if the database can't be read.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from sqlalchemy import Engine

from rfsync import history
from rfsync.charts import STUCK_DAYS
from rfsync.dashboard.view import PERIOD_DAYS, Batch, TimeRange, View, time_range
from rfsync.errors import ConfigError
from rfsync.history.job_rows import LabelerRow, WorkRow
from rfsync.history.net_change import NetChange, net_change
from rfsync.history.periods import By
from rfsync.history.place_rows import OpenJobRow, PlacesRow, RemovedJobsRow
from rfsync.history.query import Query

#: Maximum projects with a line of their own in a chart; beyond it, all are shown as one.
MAX_LINES: Final = 8
#: Maximum points of all lines of a chart; beyond it, all projects are shown as one.
MAX_POINTS: Final = 6_000
#: Maximum changes shown of a batch.
MAX_CHANGES: Final = 200
#: Number of batches in the table of those that have waited longest.
_WAITING_ROWS: Final = 10
#: Number of jobs in the table of the stuck ones, and in the chart of those open longest.
JOB_ROWS: Final = 10
#: Window of the throughput, in periods.
_WINDOWS: Final = {"hour": 24, "day": 7, "week": 4, "month": 3}


class ProjectTotals(NamedTuple):
    """A project's totals at a moment; None: it had not been observed by then."""

    workspace: str
    project: str
    batches: int | None
    images: int | None
    num_jobs: int | None


def full_name(
    row: ProjectTotals | history.ProjectStatus | history.FlowRow | history.BatchRow | history.WaitingRow | OpenJobRow,
) -> str:
    """``workspace/project``."""
    return f"{row.workspace}/{row.project}"


def read_projects(engine: Engine) -> list[ProjectTotals]:
    """All projects now, by workspace and project; a cheap part of ``history.status``, which reads the runs too."""
    query = Query(engine, None)
    sql = """
SELECT workspace, project, CASE WHEN observed_at IS NOT NULL THEN batches END,
    CASE WHEN observed_at IS NOT NULL THEN images END, CASE WHEN observed_at IS NOT NULL THEN num_jobs END
FROM projects ORDER BY workspace, project"""
    return list(query.rows("reading the projects", sql, ProjectTotals._make))


def find_renamed(engine: Engine, target: str) -> str | None:
    """What a target is called now, by an id that it had before; None: none had, or it is no target."""
    try:
        renamed = history.require_known(engine, target)
    except ConfigError:
        return None
    return str(renamed[0][1]) if renamed else None


def selectable_targets(projects: Sequence[ProjectTotals]) -> list[str]:
    """The targets that can be selected: workspaces with more than one project, then projects."""
    counts = Counter(p.workspace for p in projects)
    return [*sorted(w for w in counts if counts[w] > 1), *map(full_name, projects)]


def in_scope(projects: Sequence[ProjectTotals], target: str | None) -> list[ProjectTotals]:
    """The projects that a target covers; None covers all."""
    return [p for p in projects if target in {None, p.workspace, full_name(p)}]


class Overview(NamedTuple):
    """The totals of a view's time range, and what changed in it."""

    #: Of ``totals``; possibly a coarser one than selected.
    by: By
    #: The charts' rows: by project, or of all projects together if they are too many. What a project had when it was
    #: first observed does not count as gained.
    totals: list[history.TotalRow]
    #: Each project in scope at the end of the time range.
    projects: list[ProjectTotals]
    change: NetChange


class Details(NamedTuple):
    """Throughput and top movers of a view's time range; the backlog and the longest waiting batches of now."""

    throughput: list[history.ThroughputRow]
    #: Throughput window, in periods.
    window: int
    movers: list[history.MoverRow]
    backlog: list[history.BacklogRow]
    waiting: list[history.WaitingRow]


def overview(engine: Engine, view: View, projects: Sequence[ProjectTotals], now: datetime) -> Overview:
    """Reads the totals for a view.

    Args:
        projects: those in the view's scope, now.
    """
    since, until, by = _time_range(engine, view, now)
    points = len(projects) * (((until or now) - since) / timedelta(days=PERIOD_DAYS[by]) + 1)
    summed = len(projects) > MAX_LINES or points > MAX_POINTS
    rows = history.totals(
        engine, view.target, by=by, since=since, until=until, tz=view.tz, summed=summed, first_looks=False, now=now
    )
    at_end = list(projects) if until is None else _totals_at(engine, view.target, until, now)
    shown = list(rows) if view.first_day else _from_first_known(rows)
    return Overview(by, shown, at_end, net_change(engine, view.target, since=since, until=until))


def _from_first_known(rows: Iterable[history.TotalRow]) -> list[history.TotalRow]:
    """The rows without a first period that is cut and was not observed in the rest: it would be a gap that is none."""
    kept = list(rows)
    first = min((row.period for row in kept), default=None)
    known = any(row.complete or row.observed or row.images is None for row in kept if row.period == first)
    return kept if known else [row for row in kept if row.period != first] or kept


def _totals_at(engine: Engine, target: str | None, moment: datetime, now: datetime) -> list[ProjectTotals]:
    """Each project's totals at a moment in the past."""
    rows = history.totals(engine, target, since=moment - timedelta(microseconds=1), until=moment, now=now)
    return [
        ProjectTotals(row.workspace or "", row.project or "", row.batches, row.images, row.num_jobs) for row in rows
    ]


def details(engine: Engine, view: View, projects: int, now: datetime) -> Details:
    """Reads throughput, top movers, backlog and longest waiting batches for a view.

    Args:
        projects: number of projects in the view's scope.
    """
    since, until, by = _time_range(engine, view, now)
    target, window = view.target, _WINDOWS[by]
    rows = history.throughput(
        engine, target, by=by, window=window, since=since, until=until, tz=view.tz, summed=True, now=now
    )
    throughput = [row for row in rows if row.complete]
    of: Literal["batches", "projects"] = "batches" if projects == 1 else "projects"
    return Details(
        throughput if any(row.observed for row in throughput) else [],
        window,
        history.movers(engine, target, of=of, since=since, until=until, first_looks=False),
        history.backlog(engine, target, now=now),
        history.waiting(engine, target, limit=_WAITING_ROWS),
    )


class Jobs(NamedTuple):
    """What a view shows of annotation jobs: of its time range, but the open and the stuck ones of now."""

    #: Inclusive.
    since: datetime
    #: Exclusive; None: now.
    until: datetime | None
    places: list[PlacesRow]
    removed: list[RemovedJobsRow]
    work: list[WorkRow]
    labelers: list[LabelerRow]
    open: list[OpenJobRow]
    stuck: list[OpenJobRow]


def jobs(engine: Engine, view: View, now: datetime) -> Jobs:
    """Reads what a view shows of annotation jobs."""
    since, until, by = _time_range(engine, view, now)
    target = view.target
    return Jobs(
        since,
        until,
        list(history.image_places(engine, target, by=by, since=since, until=until, tz=view.tz, summed=True, now=now)),
        history.removed_jobs(engine, target, since=since, until=until),
        list(history.work(engine, target, by=by, since=since, until=until, tz=view.tz, summed=True, now=now)),
        history.labelers(engine, target, since=since, until=until),
        history.open_jobs(engine, target, limit=JOB_ROWS, now=now),
        history.open_jobs(engine, target, unchanged_for=timedelta(days=STUCK_DAYS), limit=JOB_ROWS, now=now),
    )


def first_jobs(engine: Engine, view: View, now: datetime) -> list[history.FirstJobRow]:
    """Reads the batches that got their first job in the view's time range."""
    since, until, _ = _time_range(engine, view, now)
    return list(history.first_jobs(engine, view.target, since=since, until=until))


def _time_range(engine: Engine, view: View, now: datetime) -> TimeRange:
    days_given = view.first_day is not None
    return time_range(view, now, None if days_given else history.first_observed(engine, view.target))


def batch_changes(engine: Engine, batch: Batch) -> list[history.ChangeRow]:
    """Reads the latest changes of a batch, newest first; one more than ``MAX_CHANGES`` if there are more.

    None of a batch that isn't there.
    """
    try:
        rows = history.changes(
            engine, batch.project, batch_ids=batch.batch_id, newest_first=True, limit=MAX_CHANGES + 1
        )
    except ConfigError:
        return []
    return list(rows)
