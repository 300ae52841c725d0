"""The facts of a digest: what came, what was done, what waits and what is wrong, over some days until now."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Engine

from rfsync.errors import ConfigError
from rfsync.history.arguments import Time, read_past, read_time, utc_now
from rfsync.history.backlog import backlog, waiting
from rfsync.history.flow import movers
from rfsync.history.health import departures, status
from rfsync.history.job_rows import LabelerRow
from rfsync.history.net_change import NetChange, net_change
from rfsync.history.no_jobs import JobListRow, job_lists, missing_jobs
from rfsync.history.open_jobs import count_open_jobs, open_jobs
from rfsync.history.place_rows import OpenJobRow, RemovedJobsRow
from rfsync.history.problems import ProblemRow, StaleFrom, problems
from rfsync.history.query import Targets
from rfsync.history.removed_jobs import removed_jobs
from rfsync.history.rows import DepartureRow, MoverRow, ProjectStatus, WaitingRow
from rfsync.history.span import first_observed
from rfsync.history.work import labelers

#: Time after which an open job on which nothing has changed is called stuck.
STUCK: Final = timedelta(days=7)
#: Rows of those that moved most, and of those waiting or stuck longest.
_LIMIT: Final = 3


class Digest(NamedTuple):
    """What happened from one moment until now, and what there is now; as the other queries tell it.

    Attributes:
        since: inclusive; the first observation, if that is later than what was asked for.
        until: now.
        projects: number of projects.
        problems: projects whose numbers may be out of date, and why.
        observed_at: last observation of any project; None: there was none, and everything below is empty.
        observed: number of projects that were observed in that time. If none was, what happened is unknown.
        jobs_known: True if the annotation jobs of a project are known.
        jobs_observed: True if the jobs of a project were read in that time. If not, what was done is unknown.
        jobs_failed: True if the last list of the jobs of a project that are known could not be read.
        jobs_note: whose annotation jobs are not known or out of date, and why, in sentences; empty if all are.
        departed: projects that have departed in that time; they are none of ``projects``.
        change: images, jobs and batches that came and left, without what there was at a first observation.
        movers: the projects with the most images in and left, at most three.
        labelers: what each labeler did, who annotated most first.
        removed_jobs: jobs that were removed.
        images: images in no job, now.
        batches: batches that have such images.
        waiting: the batches that have waited longest for a job, at most three.
        open_jobs: number of jobs that are not done.
        stuck_jobs: those of them on which nothing has changed for 7 days.
        stuck: those of these that have stood still longest, at most three.
    """

    since: datetime
    until: datetime
    projects: int
    problems: Sequence[ProblemRow]
    observed_at: datetime | None = None
    observed: int = 0
    jobs_known: bool = False
    jobs_observed: bool = False
    jobs_failed: bool = False
    jobs_note: str = ""
    departed: Sequence[DepartureRow] = ()
    change: NetChange | None = None
    movers: Sequence[MoverRow] = ()
    labelers: Sequence[LabelerRow] = ()
    removed_jobs: Sequence[RemovedJobsRow] = ()
    images: int = 0
    batches: int = 0
    waiting: Sequence[WaitingRow] = ()
    open_jobs: int = 0
    stuck_jobs: int = 0
    stuck: Sequence[OpenJobRow] = ()


def digest(
    engine: Engine,
    targets: Targets = None,
    *,
    since: Time = "7d",
    now: Time | None = None,
    stale_from: StaleFrom | None = None,
    jobs_off: bool = False,
) -> Digest:
    """What came, what was handed out and labelled, what waits longest, and what is wrong with the sync.

    Args:
        since: inclusive.
        now: the time at which it ends; None: the clock's. What was observed later is not left out.
        stale_from: tells from when on an observation is too old to be relied on; None: no age is a problem.
        jobs_off: jobs are not asked for any more, as ``[jobs] sync`` says.

    Raises:
        ConfigError: a target is malformed or unknown, a time is none, or ``since`` is not before ``now``.
        DatabaseError: the database can't be read.
    """
    clock = utc_now()
    at = clock if now is None else read_time(now, "now", clock)
    begin = read_past(since, "since", at)
    if begin is None or begin >= at:
        raise ConfigError(f"since: {since!r} is not before now")
    rows = status(engine, targets)
    first = first_observed(engine, targets)
    if first is None:
        return Digest(begin, at, len(rows), problems(rows, at, stale_from))

    begin = max(begin, first)
    lists = job_lists(engine, targets)
    ages = [row for row in backlog(engine, targets, now=at) if row.images]
    opened, stuck = count_open_jobs(engine, targets, unchanged_for=STUCK, now=at)
    return Digest(
        begin,
        at,
        len(rows),
        _problems(rows, begin, at, stale_from),
        observed_at=max((row.observed_at for row in rows if row.observed_at is not None), default=None),
        observed=sum(row.observed_at is not None and row.observed_at >= begin for row in rows),
        jobs_known=any(row.jobs_observed_at is not None for row in lists),
        jobs_observed=any(row.jobs_observed_at is not None and row.jobs_observed_at >= begin for row in lists),
        jobs_failed=not jobs_off and any(map(_failed, lists)),
        jobs_note=missing_jobs(lists, is_off=jobs_off),
        departed=departures(engine, targets, since=begin),
        change=net_change(engine, targets, since=begin),
        movers=[
            row
            for row in movers(engine, targets, since=begin, limit=_LIMIT, first_looks=False)
            if row.images_gained or row.images_lost
        ],
        labelers=labelers(engine, targets, since=begin),
        removed_jobs=removed_jobs(engine, targets, since=begin),
        images=sum(row.images for row in ages),
        batches=sum(row.batches for row in ages),
        waiting=waiting(engine, targets, limit=_LIMIT),
        open_jobs=opened,
        stuck_jobs=stuck,
        stuck=open_jobs(engine, targets, unchanged_for=STUCK, limit=_LIMIT, now=at),
    )


def _problems(
    rows: Sequence[ProjectStatus], since: datetime, now: datetime, stale_from: StaleFrom | None
) -> list[ProblemRow]:
    """The projects with a problem, and those that were not observed in that time, in their order."""
    found = {row[:2]: row for row in problems(rows, now, stale_from)}
    for row in rows:
        if row.observed_at is not None and row.observed_at < since:
            reason = f"it was last observed on {row.observed_at:%Y-%m-%d}"
            found.setdefault(row[:2], ProblemRow(row.workspace, row.project, reason))
    return [found[row[:2]] for row in rows if row[:2] in found]


def _failed(row: JobListRow) -> bool:
    return row.jobs_observed_at is not None and row.jobs_error_kind is not None
