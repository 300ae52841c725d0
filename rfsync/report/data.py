"""All history queries of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from rfsync import history
from rfsync.history.periods import midnight
from rfsync.history.rows import BacklogRow, FirstJobRow, MoverRow, ProjectStatus, ThroughputRow, TotalRow, WaitingRow
from rfsync.text import local_time

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Longest time that the charts cover, in days.
MAX_DAYS: Final = 365
#: Periods for which the headline shows how totals changed, in days.
CHANGE_DAYS: Final = (7, 30)
#: Throughput window, in days.
WINDOW_DAYS: Final = 7
#: Period of the top movers, in days.
MOVERS_DAYS: Final = 30
#: Rows of a table or chart of the top movers or longest waiting batches.
_LIMIT: Final = 10


class Change(NamedTuple):
    """Change of the totals in a period, over the projects that had been observed before it."""

    days: int
    batches: int
    images: int
    jobs: int
    #: Projects included.
    known: int
    #: Projects first observed within the period; not included.
    newer: int


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
    changes: Sequence[Change] = ()
    backlog: Sequence[BacklogRow] = ()
    waiting: Sequence[WaitingRow] = ()
    #: Start of the top movers' period.
    moved_since: datetime | None = None
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

    def shifted(instant: datetime, days: int) -> datetime:
        return midnight(instant.astimezone(zone).date() + timedelta(days=days), zone)

    earliest = shifted(now, 1 - MAX_DAYS)
    day_after = shifted(first, 1)  # otherwise everything that was there when rfsync started would top the list
    moved_since = max(shifted(now, -MOVERS_DAYS), day_after)
    since = earliest if first < earliest else None
    totals = list(history.totals(engine, scope, since=since, tz=zone.key, first_looks=False, now=now))
    return ReportData(
        now,
        zone,
        targets,
        projects,
        since=max(first, earliest),
        totals=totals,
        now=_sum(_latest(totals, None)),
        changes=[_change(totals, shifted(now, -days), days) for days in CHANGE_DAYS],
        backlog=history.backlog(engine, scope, now=now),
        waiting=history.waiting(engine, scope, limit=_LIMIT),
        moved_since=moved_since,
        moving_projects=history.movers(engine, scope, since=moved_since, limit=_LIMIT),
        moving_batches=history.movers(engine, scope, of="batches", since=moved_since, limit=_LIMIT),
        first_jobs=list(history.first_jobs(engine, scope, since=earliest)),
        throughput=_throughput(engine, scope, max(shifted(first, WINDOW_DAYS), earliest), zone, now),
    )


def _throughput(
    engine: Engine, scope: list[str] | None, since: datetime, zone: ZoneInfo, now: datetime
) -> list[ThroughputRow]:
    """Throughput from the first complete window on."""
    if since >= now:
        return []
    rows = history.throughput(engine, scope, window=WINDOW_DAYS, since=since, tz=zone.key, summed=True, now=now)
    return list(rows)


_Key = tuple[str | None, str | None]


def _latest(totals: Sequence[TotalRow], before: datetime | None) -> dict[_Key, TotalRow]:
    """Each project's last period that began before then; projects not yet observed by then are left out."""
    latest: dict[_Key, TotalRow] = {}
    known: set[_Key] = set()
    for row in totals:
        key = (row.workspace, row.project)
        if before is not None and row.period >= before:
            continue
        if row.observed or row.batches or row.images_delta:
            known.add(key)
        latest[key] = row
    return {key: row for key, row in latest.items() if key in known}


def _sum(rows: dict[_Key, TotalRow]) -> Totals:
    return Totals(
        sum(row.batches or 0 for row in rows.values()),
        sum(row.images or 0 for row in rows.values()),
        sum(row.num_jobs or 0 for row in rows.values()),
    )


def _change(totals: Sequence[TotalRow], since: datetime, days: int) -> Change:
    """Change of the totals from ``since`` until now."""
    now, then = _latest(totals, None), _latest(totals, since)
    after, before = _sum({key: now[key] for key in then}), _sum(then)
    batches, images, jobs = (end - start for end, start in zip(after, before, strict=True))
    return Change(days, batches, images, jobs, known=len(then), newer=len(now) - len(then))
