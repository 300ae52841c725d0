"""When observations begin and end."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from rfsync.history.periods import By, Period, periods, zone
from rfsync.history.query import Query, Targets

_TICK: Final = timedelta(microseconds=1)


def first_observed(engine: Engine, targets: Targets = None) -> datetime | None:
    """The first observation of any of the projects; None: there was none. To the day, where its run was pruned.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    return _first_and_last(engine, targets)[0]


def _first_and_last(engine: Engine, targets: Targets) -> tuple[datetime | None, datetime | None]:
    """The first instant about which anything is known, and the last."""
    sql = """
SELECT
    (SELECT min((SELECT min(c.observed_at) FROM batch_changes c WHERE c.project_id = p.id)) FROM scope p),
    (SELECT min((SELECT min(r.started_at) FROM sync_runs r WHERE r.project_id = p.id AND r.outcome = 'unchanged'))
        FROM scope p),
    (SELECT max(w.written_at) FROM scope p JOIN projects w ON w.id = p.id),
    (SELECT min((SELECT min(o.day) FROM project_observed o WHERE o.project_id = p.id)) FROM scope p)"""
    ((changed, unchanged, last, day),) = Query(engine, targets).rows("reading the totals", sql, tuple, times=(0, 1, 2))
    pruned = None if day is None else datetime.fromisoformat(f"{day}T00:00:00+00:00")
    return min(filter(None, (changed, unchanged, pruned)), default=None), last


def observed_periods(
    engine: Engine,
    targets: Targets,
    by: By,
    since: datetime | None,
    until: datetime | None,
    tz: str,
    now: datetime | None,
) -> list[Period]:
    """The periods for which there are totals, which can't go beyond what is known; none if nothing is known."""
    now = now or datetime.now(UTC)
    if since is None or until is None or until > now:
        first, last = _first_and_last(engine, targets)
        since = since or first
        end = now if last is None else max(now, last + _TICK)  # a clock may have been ahead
        until = end if until is None else min(until, end)
    calendar = zone(tz)
    return [] if since is None else periods(by, since, until, calendar)
