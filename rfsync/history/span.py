"""When observations begin and end."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Engine

from rfsync.history.arguments import Time, read_span, read_time, require_choice, utc_now
from rfsync.history.known import read_known
from rfsync.history.periods import BY, By, Period, periods, zone
from rfsync.history.query import Query, Targets
from rfsync.ledger.observed import NOON, QUARTER
from rfsync.records import Kind

_TICK: Final = timedelta(microseconds=1)


class Observations(NamedTuple):
    """When projects were observed."""

    #: First observation of each project, by the project's number; those that were never observed are not in it.
    first: dict[int, datetime]
    #: The last instant about which anything is known; None: there is none.
    last: datetime | None
    #: In which they are now.
    workspaces: frozenset[str]

    @property
    def earliest(self) -> datetime | None:
        """The first observation of any of them; None: there is none."""
        return min(self.first.values(), default=None)


def first_observed(engine: Engine, targets: Targets = None) -> datetime | None:
    """The first observation of any of the projects; None: there was none.

    To a quarter of an hour, where its run was pruned.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    return observations(engine, targets).earliest


def observations(engine: Engine, targets: Targets) -> Observations:
    """Read when the projects were observed first, and the last time that any was.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    first = "(SELECT min(c.observed_at) FROM batch_changes c WHERE c.project_id = p.id)"
    alone = "AND (r.batches IS NOT NULL OR r.jobs IS NULL)"  # not a saved job list alone
    return _read(engine, targets, "written_at", first, "am", "pm", alone)


def job_observations(engine: Engine, targets: Targets) -> Observations:
    """The same of observations that had the job list.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    first = "(SELECT min(c.observed_at) FROM job_changes c WHERE c.project_id = p.id)"
    return _read(engine, targets, "jobs_observed_at", first, "jobs_am", "jobs_pm", "AND r.jobs IS NOT NULL")


def observed_later(engine: Engine, targets: Targets, moment: datetime, kind: Kind) -> list[tuple[str, datetime | None]]:
    """The projects whose first list of batches or of jobs was observed after a moment, and when; None: never.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    first = (observations if kind is Kind.BATCH else job_observations)(engine, targets).first
    sql = "SELECT id, workspace || '/' || project FROM scope ORDER BY workspace, project"
    projects = Query(engine, targets).rows("looking for the projects", sql, tuple)
    seen = [(name, first.get(number)) for number, name in projects]
    return [(name, at) for name, at in seen if at is None or at > moment]


def _read(
    engine: Engine, targets: Targets, last_at: str, first_change: str, am: str, pm: str, had: str
) -> Observations:
    """Read when the projects were observed.

    Args:
        last_at: column of ``projects``, here ``w``, with the last time.
        first_change: SQL for that of a project ``p`` in the ledger.
        am: column of ``project_observed`` for quarters of an hour before noon.
        pm: that for those after it.
        had: condition on a run ``r``.
    """
    # Each by itself: PostgreSQL would join all rows of project_observed to find one for each project.
    columns = ", ".join(
        f"(SELECT o.{name} FROM project_observed o WHERE o.project_id = p.id AND (o.{am} <> 0 OR o.{pm} <> 0) "
        "ORDER BY o.day LIMIT 1)"
        for name in ("day", am, pm)
    )
    sql = f"""
SELECT p.id, p.workspace, p.project, w.{last_at}, {first_change},
    (SELECT r.started_at FROM sync_runs r WHERE r.project_id = p.id AND r.outcome = 'unchanged' {had}
        ORDER BY r.started_at LIMIT 1),
    {columns}
FROM scope p JOIN projects w ON w.id = p.id"""
    first: dict[int, datetime] = {}
    last: datetime | None = None
    workspaces = set()
    rows = read_known(engine, targets, "reading the first observations", sql, times=(3, 4, 5))
    for project_id, workspace, _, written, *seen, day, before_noon, after_noon in rows:
        workspaces.add(workspace)
        if day is not None:
            seen.append(_first_quarter(date.fromisoformat(str(day)), before_noon | after_noon << NOON))
        if known := [at for at in seen if at is not None]:
            first[project_id] = min(known)
        last = max(filter(None, (last, written)), default=None)
    return Observations(first, last, frozenset(workspaces))


def _first_quarter(day: date, quarters: int) -> datetime:
    """An instant in the first quarter of an hour of a set of them; not its start, as if all of it had been observed."""
    number = (quarters & -quarters).bit_length() - 1
    return datetime.combine(day, time(), UTC) + number * QUARTER + _TICK


def observed_periods(
    engine: Engine,
    targets: Targets,
    by: By,
    since: Time | None,
    until: Time | None,
    tz: str,
    now: Time | None,
    *,
    read: Callable[[Engine, Targets], Observations] = observations,
) -> tuple[list[Period], Observations]:
    """The periods for which there are totals, which can't go beyond what is known; none if nothing is known.

    Args:
        tz: of the periods, and of times without an offset.
        now: None: the clock's time.
        read: which observations count.

    Raises:
        ConfigError: an argument is wrong, or there are too many periods.
        DatabaseError: the database can't be read.
    """
    require_choice(by, "by", BY)
    calendar, clock = zone(tz), utc_now()
    at = clock if now is None else read_time(now, "now", clock, calendar)
    first, end = read_span(since, until, at, calendar)
    seen = read(engine, targets)
    first = first or seen.earliest
    latest = at if seen.last is None else max(at, seen.last + _TICK)  # a clock may have been ahead
    found = [] if first is None else periods(by, first, latest if end is None else min(end, latest), calendar)
    return found, seen
