"""All that the report asks the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from rfsync import history
from rfsync.history.rows import (
    BacklogRow,
    FirstJobRow,
    MoverRow,
    ProjectStatus,
    ThroughputRow,
    TotalRow,
    WaitingRow,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Days that the charts reach back, at most.
LONGEST: Final = 365
#: Days of the headline's changes.
CHANGES: Final = (7, 30)
#: Days of the throughput's window.
WINDOW: Final = 7
#: Days in which movers are looked for.
MOVERS: Final = 30
_LIMIT: Final = 10


class Change(NamedTuple):
    """How the totals changed in some days, in the projects that were known before."""

    days: int
    batches: int
    images: int
    jobs: int
    #: Projects that were known then.
    known: int
    #: Projects that were not; their totals are left out.
    newer: int


class Totals(NamedTuple):
    """Of all projects together."""

    batches: int
    images: int
    jobs: int


@dataclass(frozen=True)
class Numbers:
    """What the page shows, and of when."""

    made_at: datetime
    zone: ZoneInfo
    #: What was asked for; empty: all projects.
    targets: Sequence[str]
    #: Every project asked for, with its health.
    projects: Sequence[ProjectStatus]
    #: Start of the charts; None: nothing was ever observed, and all below is empty.
    since: datetime | None = None
    #: By day and project; what a project had when it was first observed counts as gained in none.
    totals: Sequence[TotalRow] = ()
    now: Totals = field(default_factory=lambda: Totals(0, 0, 0))
    changes: Sequence[Change] = ()
    backlog: Sequence[BacklogRow] = ()
    waiting: Sequence[WaitingRow] = ()
    #: Where the movers begin.
    moved_since: datetime | None = None
    moving_projects: Sequence[MoverRow] = ()
    moving_batches: Sequence[MoverRow] = ()
    first_jobs: Sequence[FirstJobRow] = ()
    throughput: Sequence[ThroughputRow] = ()


def read(engine: Engine, targets: Sequence[str], zone: ZoneInfo, now: datetime) -> Numbers:
    """Asks for everything that the page shows.

    Args:
        targets: ``workspace`` or ``workspace/project``; none: all.
        zone: whose days are meant.

    Raises:
        ConfigError: a target is none.
        DatabaseError: the database can't be read.
    """
    scope = list(targets) or None
    projects = history.status(engine, scope)
    first = history.first_observed(engine, scope)
    if first is None:
        return Numbers(now, zone, targets, projects)

    def midnight(day: datetime, days: int) -> datetime:
        local = day.astimezone(zone).date() + timedelta(days=days)
        return datetime.combine(local, time.min, zone).astimezone(UTC)

    earliest = midnight(now, 1 - LONGEST)
    day_after = midnight(first, 1)  # else most of what moved would be what was there when rfsync began
    moved_since = max(midnight(now, -MOVERS), day_after)
    since = earliest if first < earliest else None
    totals = list(history.totals(engine, scope, since=since, tz=zone.key, first_looks=False, now=now))
    return Numbers(
        now,
        zone,
        targets,
        projects,
        since=max(first, earliest),
        totals=totals,
        now=_sum(_last(totals, None)),
        changes=[_change(totals, midnight(now, -days), days) for days in CHANGES],
        backlog=history.backlog(engine, scope, now=now),
        waiting=history.waiting(engine, scope, limit=_LIMIT),
        moved_since=moved_since,
        moving_projects=history.movers(engine, scope, since=moved_since, limit=_LIMIT),
        moving_batches=history.movers(engine, scope, of="batches", since=moved_since, limit=_LIMIT),
        first_jobs=list(history.first_jobs(engine, scope, since=earliest)),
        throughput=_throughput(engine, scope, max(midnight(first, WINDOW), earliest), zone, now),
    )


def _throughput(
    engine: Engine, scope: list[str] | None, since: datetime, zone: ZoneInfo, now: datetime
) -> list[ThroughputRow]:
    """From the first whole window on."""
    if since >= now:
        return []
    rows = history.throughput(engine, scope, window=WINDOW, since=since, tz=zone.key, summed=True, now=now)
    return list(rows)


_Key = tuple[str | None, str | None]


def _last(totals: Sequence[TotalRow], before: datetime | None) -> dict[_Key, TotalRow]:
    """Each project's last period that began before then; only of projects of which something was known."""
    found: dict[_Key, TotalRow] = {}
    known: set[_Key] = set()
    for row in totals:
        key = (row.workspace, row.project)
        if before is not None and row.period >= before:
            continue
        if row.observed or row.batches or row.images_delta:
            known.add(key)
        found[key] = row
    return {key: row for key, row in found.items() if key in known}


def _sum(rows: dict[_Key, TotalRow]) -> Totals:
    return Totals(
        sum(row.batches for row in rows.values()),
        sum(row.images for row in rows.values()),
        sum(row.num_jobs for row in rows.values()),
    )


def _change(totals: Sequence[TotalRow], since: datetime, days: int) -> Change:
    """What the days from ``since`` on changed."""
    now, then = _last(totals, None), _last(totals, since)
    after, before = _sum({key: now[key] for key in then}), _sum(then)
    return Change(
        days,
        after.batches - before.batches,
        after.images - before.images,
        after.jobs - before.jobs,
        len(then),
        len(now) - len(then),
    )
