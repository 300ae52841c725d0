"""Totals over time: what each period gained and lost, and what there was at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Engine

from rfsync.history.first_observations import looks_by_period
from rfsync.history.periods import By, Period, nearest, periods, quarters, split_whole_units, zone
from rfsync.history.query import Query, Targets, targets_of
from rfsync.history.rows import ThroughputRow, TotalRow

_TICK: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
#: Of the flows before the first period, which its totals begin with.
_BEFORE: Final = -1

#: The flows of a ledger row, as the roll-ups have them; what is too much of a day is taken away.
_FLOWS: Final = """w.sign AS changes, CASE c.change WHEN 'removed' THEN -w.sign WHEN 'changed' THEN 0 ELSE w.sign END
        AS batches,
    CASE WHEN c.images_delta > 0 THEN w.sign * c.images_delta ELSE 0 END AS images_gained,
    CASE WHEN c.images_delta < 0 THEN -w.sign * c.images_delta ELSE 0 END AS images_lost,
    CASE WHEN c.num_jobs_delta > 0 THEN w.sign * c.num_jobs_delta ELSE 0 END AS jobs_gained,
    CASE WHEN c.num_jobs_delta < 0 THEN -w.sign * c.num_jobs_delta ELSE 0 END AS jobs_lost"""
_ROLLED_UP: Final = """d.changes, d.batches_added - d.batches_removed AS batches, d.images_gained, d.images_lost,
    d.jobs_gained, d.jobs_lost"""
_MOVED: Final = ("changes", "batches", "images_gained", "images_lost", "jobs_gained", "jobs_lost")
_COUNTS: Final = ("batches", "images", "num_jobs", "images_gained", "images_lost", "jobs_gained", "jobs_lost")

_WORKSPACE_DAYS: Final = f"""SELECT 0 AS id, w.n, {_ROLLED_UP} FROM sums w CROSS JOIN spaces p
    CROSS JOIN workspace_daily d WHERE d.workspace = p.workspace AND d.day = w.day
    UNION ALL
    SELECT 0, {_BEFORE}, {_ROLLED_UP} FROM spaces p
    CROSS JOIN workspace_daily d WHERE d.workspace = p.workspace AND d.day < :first_day"""
# What a project had before is in the last of its days until then.
_PROJECT_DAYS: Final = f"""SELECT {{key}} AS id, w.n, {_ROLLED_UP} FROM sums w CROSS JOIN scope p
    CROSS JOIN project_daily d WHERE d.project_id = p.id AND d.day = w.day
    UNION ALL
    SELECT {{key}}, {_BEFORE}, 0, d.batches, d.images, 0, d.num_jobs, 0 FROM scope p
    CROSS JOIN project_daily d WHERE d.project_id = p.id AND d.day = (
        SELECT max(x.day) FROM project_daily x WHERE x.project_id = p.id AND x.day < :first_day)"""
_LEDGER: Final = "c.project_id = p.id AND c.observed_at >= w.since AND c.observed_at < w.until"
_LOOKED: Final = "r.outcome = 'unchanged' AND r.started_at >= k.since AND r.started_at < k.until"
#: The periods of which pruned runs had seen something.
_COVERED: Final = """SELECT p.id, w.n FROM whole w CROSS JOIN scope p
    CROSS JOIN project_observed o WHERE o.project_id = p.id AND o.day = w.day
    UNION
    SELECT p.id, w.n FROM part w CROSS JOIN scope p CROSS JOIN project_observed o
    WHERE o.project_id = p.id AND o.day = w.day AND ((o.am & w.am) <> 0 OR (o.pm & w.pm) <> 0)"""
# One project is enough: the others are not looked at.
_COVERED_BY_ANY: Final = """SELECT 0 AS id, w.n FROM whole w WHERE 1 = (SELECT 1 FROM scope p
        CROSS JOIN project_observed o WHERE o.project_id = p.id AND o.day = w.day LIMIT 1)
    UNION
    SELECT 0, w.n FROM part w WHERE 1 = (SELECT 1 FROM scope p CROSS JOIN project_observed o
        WHERE o.project_id = p.id AND o.day = w.day AND ((o.am & w.am) <> 0 OR (o.pm & w.pm) <> 0) LIMIT 1)"""
#: Each project from the first period on in which it was seen.
_BEGUN: Final = """,
known AS (SELECT running.*, max(observed) OVER w AS begun FROM running WHERE n >= 0
    WINDOW w AS (PARTITION BY id ORDER BY n))"""


def totals(
    engine: Engine,
    targets: Targets = None,
    *,
    by: By = "day",
    since: datetime | None = None,
    until: datetime | None = None,
    tz: str = "UTC",
    summed: bool = False,
    first_looks: bool = True,
    now: datetime | None = None,
) -> Iterator[TotalRow]:
    """Each period of each project, without gaps; by workspace, project and period.

    What moved is counted from ``since``, inclusive, until ``until``, exclusive: the first and the last period are cut
    there. The totals are those at the period's end, and rest on all that was ever observed.

    Args:
        by: ISO weeks begin on Monday.
        since: None: each project's first observation.
        until: None: now; it is never later than that.
        tz: the calendar's time zone; a day of it may have 23 or 25 hours.
        summed: all as one.
        first_looks: what a project had when it was first observed counts as gained then, as in the ledger; False: it
            does not, though the totals have it.
        now: None: the clock's time.

    Raises:
        ConfigError: a target or time zone is none, or the periods are too many.
        DatabaseError: the database can't be read.
    """
    span = _span(engine, targets, since, until, now)
    if span is None:
        return
    asked = periods(by, *span, zone(tz))
    query = Query(engine, targets)
    sql = _totals(query, targets, asked, summed=summed, from_first=since is None, first_looks=first_looks)
    make = _maker(asked)
    yield from query.rows("reading the totals", sql, make)


def throughput(
    engine: Engine,
    targets: Targets = None,
    *,
    by: By = "day",
    window: int = 7,
    since: datetime | None = None,
    until: datetime | None = None,
    tz: str = "UTC",
    summed: bool = False,
    now: datetime | None = None,
) -> Iterator[ThroughputRow]:
    """What moved in the period and the ``window - 1`` before it, for each period; arguments as for ``totals``.

    What a project had when it was first observed has not moved: it is left out, as by ``first_looks=False`` there.

    Raises:
        ConfigError: a target or time zone is none, or the periods are too many.
        DatabaseError: the database can't be read.
    """
    if window < 1:
        raise ValueError("a window has at least one period")
    span = _span(engine, targets, since, until, now)
    if span is None:
        return
    calendar = zone(tz)
    asked = periods(by, *span, calendar)
    lead: list[Period] = []
    if window > 1 and asked:
        # Whole periods before the first one, so that the first window is as long as all others.
        stretch = {
            "hour": timedelta(hours=2),
            "day": timedelta(days=2),
            "week": timedelta(days=8),
            "month": timedelta(days=32),
        }[by]
        whole = periods(by, asked[0].start - stretch * window, asked[0].start, calendar)
        lead = whole[-(window - 1) :]
        asked[0] = Period(asked[0].start, asked[0].start, asked[0].until)
    query = Query(engine, targets)
    inner = _totals(query, targets, [*lead, *asked], summed=summed, from_first=False, first_looks=False)
    query.values.update(window=window - 1, lead=len(lead))
    trailing = "OVER (PARTITION BY workspace, project ORDER BY n ROWS BETWEEN :window PRECEDING AND CURRENT ROW)"
    sums = ", ".join(
        f"CAST(sum({c}) {trailing} AS bigint) AS {c}"
        for c in ("images_gained", "images_lost", "jobs_gained", "jobs_lost", "observed")
    )
    sql = f"""SELECT * FROM (SELECT workspace, project, n, {sums} FROM ({inner}) per_period) windows
WHERE n >= :lead ORDER BY workspace, project, n"""
    starts = [period.start for period in (*lead, *asked)]

    def make(row: Iterable[Any]) -> ThroughputRow:
        workspace, project, n, *counts = row
        return ThroughputRow(workspace, project, starts[n], *counts)

    yield from query.rows("reading the throughput", sql, make)


def first_observed(engine: Engine, targets: Targets = None) -> datetime | None:
    """The first observation of any of the projects; None: there was none. To the day, where its run was pruned.

    Raises:
        ConfigError: a target is none.
        DatabaseError: the database can't be read.
    """
    return _known(engine, targets)[0]


def _known(engine: Engine, targets: Targets) -> tuple[datetime | None, datetime | None]:
    """The first instant that anything is known of, and the last."""
    query = Query(engine, targets)
    midnight = "day || ' 00:00:00.000000'" if query.sqlite else "CAST(day AS timestamp) AT TIME ZONE 'UTC'"
    sql = f"""WITH {query.scope}, known AS (
    SELECT (SELECT min(r.started_at) FROM sync_runs r WHERE r.project_id = p.id AND r.outcome = 'unchanged') AS at
    FROM scope p
    UNION ALL
    SELECT (SELECT min(c.observed_at) FROM batch_changes c WHERE c.project_id = p.id) FROM scope p
    UNION ALL
    SELECT (SELECT min({midnight}) FROM project_observed o WHERE o.project_id = p.id) FROM scope p
)
SELECT (SELECT min(at) FROM known), (SELECT max(w.written_at) FROM scope p JOIN projects w ON w.id = p.id)"""
    ((first, last),) = query.rows("reading the totals", sql, tuple, times=(0, 1))
    return first, last


def _span(
    engine: Engine, targets: Targets, since: datetime | None, until: datetime | None, now: datetime | None
) -> tuple[datetime, datetime] | None:
    """From when until when, but not beyond what can be known; None: there is nothing to tell."""
    now = now or datetime.now(UTC)
    if since is None or until is None or until > now:
        first, last = _known(engine, targets)
        since = since or first
        end = now if last is None else max(now, last + _TICK)  # a clock may have been ahead
        until = end if until is None else min(until, end)
    return None if since is None else (since, until)


def _totals(
    query: Query, targets: Targets, asked: list[Period], *, summed: bool, from_first: bool, first_looks: bool
) -> str:
    """The statement; ``n`` is the period's place in ``asked``."""
    named = targets_of(targets)
    tables = [query.scope, *_calendar(query, asked)]
    if summed:
        query.values["workspace"] = named[0].workspace if len({t.workspace for t in named}) == 1 else None
        key, cells, covered = "0", "period w", _COVERED_BY_ANY
        looked = f"(SELECT 1 FROM scope p CROSS JOIN sync_runs r WHERE r.project_id = p.id AND {_LOOKED} LIMIT 1)"
        names, among = "CAST(:workspace AS text) AS workspace, CAST(NULL AS text) AS project", ""
    else:
        key, cells, covered = "p.id", "period w CROSS JOIN scope p", _COVERED
        looked = f"(SELECT 1 FROM sync_runs r WHERE r.project_id = k.id AND {_LOOKED} LIMIT 1)"
        names, among = "p.workspace, p.project", " JOIN scope p ON p.id = t.id"
    days = _PROJECT_DAYS
    if summed and all(target.project is None for target in named):
        tables.append("spaces AS (SELECT DISTINCT workspace FROM scope)")
        days = _WORKSPACE_DAYS
    ledger = f"SELECT {key}, w.n, {_FLOWS} FROM edge w CROSS JOIN scope p {query.seek('batch_changes', 'c', _LEDGER)}"
    moved = f"{days.format(key=key)} UNION ALL {ledger}"
    counts, looks = {name: f"t.{name}" for name in _COUNTS}, ""
    if not first_looks and asked:
        tables += looks_by_period(query, key, asked[0].since, asked[-1].until)
        looks = " LEFT JOIN looks l ON l.id = t.id AND l.n = t.n"
        counts |= {name: f"t.{name} - coalesce(l.{name}, 0)" for name in ("images_gained", "jobs_gained")}
    sums, zeros = (", ".join(form.format(name) for name in _MOVED) for form in ("sum({0}) AS {0}", "0 AS {0}"))
    return f"""WITH RECURSIVE {", ".join(tables)},
cells AS (SELECT id, n, max(since) AS since, max(until) AS until, max(seen) AS seen, {sums}
    FROM (SELECT {key} AS id, w.n, w.since, w.until, 0 AS seen, {zeros} FROM {cells}
        UNION ALL SELECT id, n, NULL, NULL, 0, {", ".join(_MOVED)} FROM ({moved}) m
        UNION ALL SELECT id, n, NULL, NULL, 1, {zeros} FROM ({covered}) o) parts
    GROUP BY id, n),
running AS (SELECT k.id, k.n, sum(batches) OVER w AS batches, sum(images_gained - images_lost) OVER w AS images,
        sum(jobs_gained - jobs_lost) OVER w AS num_jobs, images_gained, images_lost, jobs_gained, jobs_lost,
        CASE WHEN seen = 1 OR changes > 0 OR {looked} = 1 THEN 1 ELSE 0 END AS observed
    FROM cells k WINDOW w AS (PARTITION BY k.id ORDER BY k.n)){_BEGUN if from_first else ""}
SELECT {names}, t.n, {", ".join(f"CAST({sql} AS bigint) AS {name}" for name, sql in counts.items())}, observed
FROM {"known" if from_first else "running"} t{among}{looks} WHERE {"begun = 1" if from_first else "t.n >= 0"}
ORDER BY workspace, project, t.n"""


def _calendar(query: Query, asked: list[Period]) -> list[str]:
    """What of each period the roll-ups have, and what only the ledger has.

    ``period`` has them all. ``sums`` has the UTC days that make up each, and ``edge`` what these lack of it, or (sign
    -1) have too much: never more than half a day at either end. ``whole`` has the days that lie in a period from end
    to end, and ``part`` the rest of it in quarters of an hour. Number -1 is the time before the first period.
    """
    sums: dict[date, int] = {}
    whole: dict[date, int] = {}
    edges: list[tuple[int, datetime, datetime, int]] = []
    parts: list[tuple[int, date, int, int]] = []
    midnights = [nearest(period.since) for period in asked] + [nearest(period.until) for period in asked[-1:]]
    for n, (period, near) in enumerate(zip(asked, pairwise(midnights), strict=True)):
        days = dict.fromkeys(_days(*near), n)
        sums.update(days)
        if near == (period.since, period.until):
            whole.update(days)  # and nothing else, as most periods of UTC
            continue
        inside, others = split_whole_units(period.since, period.until, _DAY)
        whole.update(dict.fromkeys(_days(*inside) if inside else (), n))
        parts += [(n, *quarter) for edge in others for quarter in quarters(*edge)]
        edges += [(n, *edge) for edge in _signed(period.since, period.until)]
    start = asked[0].since if asked else datetime.now(UTC)
    query.values["first_day"] = nearest(start).date()
    edges += [(_BEFORE, *edge) for edge in _signed(None, start)]
    signed = {"n": "integer", "since": "timestamptz", "until": "timestamptz", "sign": "integer"}
    return [
        query.ranges("period", [period.since for period in asked] + [period.until for period in asked[-1:]]),
        query.numbered("sums", sums),
        "whole AS (SELECT day, n FROM sums)" if whole == sums else query.numbered("whole", whole),
        query.table("edge", signed, edges),
        query.table("part", {"n": "integer", "day": "date", "am": "bigint", "pm": "bigint"}, parts),
    ]


def _days(first: datetime, last: datetime) -> list[date]:
    """The days from a midnight of UTC until another."""
    day = first.date()
    return [day + number * _DAY for number in range((last - first).days)]


def _signed(since: datetime | None, until: datetime) -> Iterator[tuple[datetime, datetime, int]]:
    """What the days between the midnights that are nearest lack of the time, or (-1) have too much."""
    if since is not None and nearest(since) == nearest(until):
        yield since, until, 1
        return
    for at, sign in ((since, -1), (until, 1)):
        if at is not None and (midnight := nearest(at)) != at:
            yield min(at, midnight), max(at, midnight), sign if midnight < at else -sign


def _maker(asked: list[Period]) -> Callable[[Iterable[Any]], TotalRow]:
    starts = [period.start for period in asked]

    def make(row: Iterable[Any]) -> TotalRow:
        workspace, project, n, batches, images, jobs, gained, lost, jobs_gained, jobs_lost, observed = row
        return TotalRow(
            workspace, project, starts[n], batches, images, jobs, gained - lost, jobs_gained - jobs_lost,
            gained, lost, jobs_gained, jobs_lost, observed == 1,
        )  # fmt: skip

    return make
