"""All history queries of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from rfsync import charts, history
from rfsync.history.job_rows import LabelerRow, WorkRow
from rfsync.history.net_change import NetChange, net_change
from rfsync.history.no_jobs import job_lists, missing_jobs
from rfsync.history.periods import midnight
from rfsync.history.place_rows import OpenJobRow, PlacesRow, RemovedJobsRow
from rfsync.history.rows import BacklogRow, FirstJobRow, MoverRow, ProjectStatus, ThroughputRow, TotalRow, WaitingRow
from rfsync.text import local_time

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Longest time that the charts cover, in days.
MAX_DAYS: Final = 365
#: Periods for which the headline shows how totals changed, in days of 24 hours until now; the top movers' is the last.
CHANGE_DAYS: Final = (7, 30)
#: Throughput window, in days.
WINDOW_DAYS: Final = 7
#: Rows of a table or chart of the top movers, the longest waiting batches, or the jobs open or stuck longest.
_LIMIT: Final = 10


class Totals(NamedTuple):
    """Totals of all projects together."""

    batches: int
    images: int
    jobs: int


@dataclass(frozen=True)
class JobsData:
    """Everything that the page shows about annotation jobs."""

    #: By day, over all projects.
    places: Sequence[PlacesRow]
    work: Sequence[WorkRow]
    #: Of the same time as the top movers.
    labelers: Sequence[LabelerRow]
    #: Those open longest.
    open: Sequence[OpenJobRow]
    #: Open ones on which nothing has changed for ``charts.STUCK_DAYS``, the longest first.
    stuck: Sequence[OpenJobRow]


@dataclass(frozen=True)
class ReportData:
    """Everything that the page shows."""

    made_at: datetime
    zone: ZoneInfo
    #: As given on the command line; empty for all projects.
    targets: Sequence[str]
    #: Every project in scope, with its health.
    projects: Sequence[ProjectStatus]
    #: Start of the charts; None if nothing was ever observed, and everything below is empty.
    since: datetime | None = None
    #: By day and project; what a project had when it was first observed does not count as gained.
    totals: Sequence[TotalRow] = ()
    now: Totals = field(default_factory=lambda: Totals(0, 0, 0))
    #: For each of ``CHANGE_DAYS``; only one if nothing was observed before the last 7 days.
    changes: Sequence[NetChange] = ()
    backlog: Sequence[BacklogRow] = ()
    waiting: Sequence[WaitingRow] = ()
    moving_projects: Sequence[MoverRow] = ()
    moving_batches: Sequence[MoverRow] = ()
    first_jobs: Sequence[FirstJobRow] = ()
    throughput: Sequence[ThroughputRow] = ()
    #: Whose annotation jobs are not known or out of date, and why, in a sentence; empty if all are.
    jobs_note: str = ""
    #: None: no jobs are known.
    jobs: JobsData | None = None
    #: Jobs that were removed since ``since``.
    removed_jobs: Sequence[RemovedJobsRow] = ()

    def moment(self, instant: datetime) -> str:
        """A local time to the minute: ``2026-01-31 18:00``."""
        return f"{local_time(instant, self.zone):%Y-%m-%d %H:%M}"

    def day(self, instant: datetime) -> str:
        """A local date: ``2026-01-31``."""
        return f"{local_time(instant, self.zone):%Y-%m-%d}"


def read(
    engine: Engine, targets: Sequence[str], zone: ZoneInfo, now: datetime, *, jobs_off: bool = False
) -> ReportData:
    """Reads everything that the page shows.

    Args:
        targets: ``workspace`` or ``workspace/project``; empty for all.
        zone: time zone of the days.
        jobs_off: jobs are not asked for any more, as ``[jobs] sync`` says.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    scope = list(targets) or None
    projects = history.status(engine, scope)
    first = history.first_observed(engine, scope)
    if first is None:
        return ReportData(now, zone, targets, projects)

    lists = job_lists(engine, scope)
    are_known = any(row.jobs_observed_at is not None for row in lists)
    earliest = midnight(now.astimezone(zone).date() + timedelta(days=1 - MAX_DAYS), zone)
    since = earliest if first < earliest else None
    begins = sorted({max(now - timedelta(days=days), first) for days in CHANGE_DAYS}, reverse=True)
    return ReportData(
        now,
        zone,
        targets,
        projects,
        since=max(first, earliest),
        totals=list(history.totals(engine, scope, since=since, tz=zone.key, first_looks=False, now=now)),
        now=_sum(projects),
        changes=[net_change(engine, scope, since=begin) for begin in begins],
        backlog=history.backlog(engine, scope, now=now),
        waiting=history.waiting(engine, scope, limit=_LIMIT),
        moving_projects=history.movers(engine, scope, since=begins[-1], limit=_LIMIT, first_looks=False),
        moving_batches=history.movers(engine, scope, of="batches", since=begins[-1], limit=_LIMIT, first_looks=False),
        first_jobs=list(history.first_jobs(engine, scope, since=earliest)),
        throughput=_throughput(engine, scope, max(first, earliest), zone, now),
        jobs=_jobs(engine, scope, since, begins[-1], zone, now) if are_known else None,
        jobs_note=missing_jobs(lists, is_off=jobs_off),
        removed_jobs=history.removed_jobs(engine, scope, since=max(first, earliest)),
    )


def _throughput(
    engine: Engine, scope: list[str] | None, since: datetime, zone: ZoneInfo, now: datetime
) -> list[ThroughputRow]:
    """Throughput of whole windows."""
    rows = history.throughput(engine, scope, window=WINDOW_DAYS, since=since, tz=zone.key, summed=True, now=now)
    return [row for row in rows if row.complete]


def _jobs(
    engine: Engine, scope: list[str] | None, since: datetime | None, begin: datetime, zone: ZoneInfo, now: datetime
) -> JobsData:
    """The charts' rows from ``since``, or from the first list of jobs; the labelers' from ``begin``."""
    return JobsData(
        places=list(history.image_places(engine, scope, since=since, tz=zone.key, summed=True, now=now)),
        work=list(history.work(engine, scope, since=since, tz=zone.key, summed=True, now=now)),
        labelers=charts.top_labelers(history.labelers(engine, scope, since=begin)),
        open=history.open_jobs(engine, scope, limit=_LIMIT, now=now),
        stuck=history.open_jobs(engine, scope, unchanged_for=timedelta(days=charts.STUCK_DAYS), limit=_LIMIT, now=now),
    )


def _sum(projects: Sequence[ProjectStatus]) -> Totals:
    counts = [(row.batches or 0, row.images or 0, row.num_jobs or 0) for row in projects]
    return Totals(*map(sum, zip(*counts, strict=True))) if counts else Totals(0, 0, 0)
