"""Throughput: what changed in a trailing window of periods."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Engine

from rfsync.history.arguments import Time, require_count
from rfsync.history.periods import By, Period, periods, zone
from rfsync.history.query import Query, Targets
from rfsync.history.rows import ThroughputRow
from rfsync.history.span import observed_periods
from rfsync.history.totals import NEVER, SUMMED, define_totals, first_of_series

#: No period is longer, even by a time zone's changes; in days.
_LONGEST_DAYS: Final = {"hour": 2 / 24, "day": 2, "week": 8, "month": 32}


def throughput(
    engine: Engine,
    targets: Targets = None,
    *,
    by: By = "day",
    window: int = 7,
    since: Time | None = None,
    until: Time | None = None,
    tz: str = "UTC",
    summed: bool = False,
    now: Time | None = None,
) -> Iterator[ThroughputRow]:
    """What changed in each period and the ``window - 1`` before it; arguments as for ``totals``.

    What a project had when it was first observed is left out, as by ``first_looks=False`` there. A window that begins
    before that (summed: before any project was observed) has no row, since it would seem to have less than the others.

    Raises:
        ConfigError: a target is malformed or unknown, so are ``by`` or ``tz``, a time is none, ``since`` is not before
            ``until``, there are too many periods, or ``window`` is less than 1.
        DatabaseError: the database can't be read.
    """
    require_count(window, "window", least=1)
    wanted, seen = observed_periods(engine, targets, by, since, until, tz, now)
    if not wanted or seen.earliest is None:
        return iter(())
    lead: list[Period] = []
    if window > 1:
        # Whole periods before the first one, so that the first window is as long as all others; but nothing is known
        # from before the first observation.
        start = wanted[0].start
        known_days = (start - seen.earliest) / timedelta(days=1)
        begin = start - timedelta(days=min(_LONGEST_DAYS[by] * window, known_days))
        lead = periods(by, begin, start, zone(tz))[1 - window :]
        wanted[0] = wanted[0]._replace(since=start)
    query = Query(engine, targets)
    define_totals(query, targets, [*lead, *wanted], seen, summed=summed, first_looks=False)
    query.values.update(preceding=window - 1, lead=len(lead))
    window_sums = ", ".join(f"CAST(sum({name}) OVER w AS bigint) AS {name}" for name in SUMMED)
    query.define(
        "moving",
        f"""SELECT series, n, {window_sums} FROM total
    WINDOW w AS (PARTITION BY series ORDER BY n ROWS BETWEEN :preceding PRECEDING AND CURRENT ROW)""",
    )
    all_periods, first = [*lead, *wanted], first_of_series(seen, summed=summed)

    def make(row: Iterable[Any]) -> ThroughputRow | None:
        workspace, project, series, n, *sums = row
        if n + 1 < window or all_periods[n + 1 - window].start < first.get(series, NEVER):
            return None
        return ThroughputRow._make((workspace, project, all_periods[n].start, *sums, all_periods[n].whole))

    sql = f"""
SELECT workspace, project, series, n, {", ".join(SUMMED)}
FROM moving t JOIN series s ON s.id = t.series WHERE n >= :lead ORDER BY workspace, project, n"""
    return filter(None, query.rows("reading the throughput", sql, make))
