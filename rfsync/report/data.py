"""All history queries of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from rfsync import history
from rfsync.history.net_change import NetChange, net_change
from rfsync.history.periods import midnight
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
#: Rows of a table or chart of the top movers or longest waiting batches.
_LIMIT: Final = 10


class Totals(NamedTuple):
    """Totals of all projects together."""

    batches: int
    images: int
    jobs: int


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

    def moment(self, instant: datetime) -> str:
        """A local time to the minute: ``2026-01-31 18:00``."""
        return f"{local_time(instant, self.zone):%Y-%m-%d %H:%M}"

    def day(self, instant: datetime) -> str:
        """A local date: ``2026-01-31``."""
        return f"{local_time(instant, self.zone):%Y-%m-%d}"


def read(engine: Engine, targets: Sequence[str], zone: ZoneInfo, now: datetime) -> ReportData:
    """Reads everything that the page shows.

    Args:
        targets: ``workspace`` or ``workspace/project``; empty for all.
        zone: time zone of the days.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    scope = list(targets) or None
    projects = history.status(engine, scope)
    first = history.first_observed(engine, scope)
    if first is None:
        return ReportData(now, zone, targets, projects)

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
    )


def _throughput(
    engine: Engine, scope: list[str] | None, since: datetime, zone: ZoneInfo, now: datetime
) -> list[ThroughputRow]:
    """Throughput of whole windows."""
    rows = history.throughput(engine, scope, window=WINDOW_DAYS, since=since, tz=zone.key, summed=True, now=now)
    return [row for row in rows if row.complete]


def _sum(projects: Sequence[ProjectStatus]) -> Totals:
    return Totals(
        sum(row.batches for row in projects), sum(row.images for row in projects), sum(row.num_jobs for row in projects)
    )
