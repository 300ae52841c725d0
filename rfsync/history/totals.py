"""Totals over time: what each period gained and lost, and what there was at its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine

from rfsync.history.periods import By, Period, periods, pieces, rest, zone
from rfsync.history.query import Question, Targets, targets_of
from rfsync.history.rows import ThroughputRow, TotalRow

_TICK: Final = timedelta(microseconds=1)
#: Of the flows before the first period, which its totals begin with.
_BEFORE: Final = -1

_RANGES: Final = {"n": "integer", "since": "timestamptz", "until": "timestamptz"}

#: The flows of a ledger row, as the roll-ups have them.
_FLOWS: Final = """CASE c.change WHEN 'removed' THEN -1 WHEN 'changed' THEN 0 ELSE 1 END AS batches,
    CASE WHEN c.images_delta > 0 THEN c.images_delta ELSE 0 END AS images_gained,
    CASE WHEN c.images_delta < 0 THEN -c.images_delta ELSE 0 END AS images_lost,
    CASE WHEN c.num_jobs_delta > 0 THEN c.num_jobs_delta ELSE 0 END AS jobs_gained,
    CASE WHEN c.num_jobs_delta < 0 THEN -c.num_jobs_delta ELSE 0 END AS jobs_lost"""
_ROLLED_UP: Final = (
    "d.batches_added - d.batches_removed AS batches, d.images_gained, d.images_lost, d.jobs_gained, d.jobs_lost"
)


def totals(
    engine: Engine,
    targets: Targets = None,
    *,
    by: By = "day",
    since: datetime | None = None,
    until: datetime | None = None,
    tz: str = "UTC",
    summed: bool = False,
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
        now: None: the clock's time.

    Raises:
        ConfigError: a target or time zone is none, or the periods are too many.
        DatabaseError: the database can't be read.
    """
    span = _span(engine, targets, since, until, now)
    if span is None:
        return
    asked = periods(by, *span, zone(tz))
    question = Question(engine, targets)
    sql = _totals(question, targets, asked, summed=summed, from_first=since is None)
    make = _maker(asked)
    yield from question.rows("reading the totals", sql, make)


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
    question = Question(engine, targets)
    inner = _totals(question, targets, [*lead, *asked], summed=summed, from_first=False)
    question.values.update(window=window - 1, lead=len(lead))
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

    yield from question.rows("reading the throughput", sql, make)


def first_observed(engine: Engine, targets: Targets = None) -> datetime | None:
    """The first observation of any of the projects; None: there was none. To the day, where its run was pruned.

    Raises:
        ConfigError: a target is none.
        DatabaseError: the database can't be read.
    """
    return _known(engine, targets)[0]


def _known(engine: Engine, targets: Targets) -> tuple[datetime | None, datetime | None]:
    """The first instant that anything is known of, and the last."""
    question = Question(engine, targets)
    midnight = "day || ' 00:00:00.000000'" if question.sqlite else "CAST(day AS timestamp) AT TIME ZONE 'UTC'"
    sql = f"""WITH {question.scope}, known AS (
    SELECT (SELECT min(r.started_at) FROM sync_runs r WHERE r.project_id = p.id AND r.outcome = 'unchanged') AS at
    FROM scope p
    UNION ALL
    SELECT (SELECT min(c.observed_at) FROM batch_changes c WHERE c.project_id = p.id) FROM scope p
    UNION ALL
    SELECT (SELECT min({midnight}) FROM project_observed o WHERE o.project_id = p.id) FROM scope p
)
SELECT (SELECT min(at) FROM known), (SELECT max(w.written_at) FROM scope p JOIN projects w ON w.id = p.id)"""
    ((first, last),) = question.rows("reading the totals", sql, tuple, times=(0, 1))
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


def _totals(question: Question, targets: Targets, asked: list[Period], *, summed: bool, from_first: bool) -> str:
    """The statement; ``n`` is the period's place in ``asked``."""
    named = targets_of(targets)
    whole_workspaces = summed and all(target.project is None for target in named)
    tables = [
        question.scope,
        question.table(
            "bucket",
            _RANGES,
            [(_BEFORE, None, None), *((n, period.since, period.until) for n, period in enumerate(asked))],
        ),
        question.table(
            "piece",
            {"n": "integer", "day": "date", "whole": "integer", "am": "bigint", "pm": "bigint"},
            [(n, x.day, int(x.whole), x.am, x.pm) for n, period in enumerate(asked) for x in pieces(period)],
        ),
        *_sources(question, asked, "0" if summed else "p.id", whole_workspaces=whole_workspaces),
    ]
    if summed:
        question.values["workspace"] = named[0].workspace if len({t.workspace for t in named}) == 1 else None
        names = "CAST(:workspace AS text) AS workspace, CAST(NULL AS text) AS project"
        grid = f"SELECT 0 AS id, {names}, n, since, until FROM bucket"
        covered, run_of = "0", "r.project_id IN (SELECT id FROM scope)"
    else:
        grid = "SELECT p.id, p.workspace, p.project, b.n, b.since, b.until FROM bucket b CROSS JOIN scope p"
        covered, run_of = "o.project_id", "r.project_id = g.id"
    begun = "WHERE begun = 1" if from_first else ""
    return f"""WITH {", ".join(tables)},
flow AS (SELECT id, n, sum(batches) AS batches, sum(images_gained) AS images_gained, sum(images_lost) AS images_lost,
    sum(jobs_gained) AS jobs_gained, sum(jobs_lost) AS jobs_lost FROM moved GROUP BY id, n),
covered AS (SELECT DISTINCT {covered} AS id, w.n FROM piece w CROSS JOIN scope p
    JOIN project_observed o ON o.project_id = p.id AND o.day = w.day
    WHERE w.whole = 1 OR (o.am & w.am) <> 0 OR (o.pm & w.pm) <> 0),
grid AS ({grid}),
running AS (SELECT g.workspace, g.project, g.id, g.n,
    sum(coalesce(f.batches, 0)) OVER w AS batches,
    sum(coalesce(f.images_gained - f.images_lost, 0)) OVER w AS images,
    sum(coalesce(f.jobs_gained - f.jobs_lost, 0)) OVER w AS num_jobs,
    coalesce(f.images_gained, 0) AS images_gained, coalesce(f.images_lost, 0) AS images_lost,
    coalesce(f.jobs_gained, 0) AS jobs_gained, coalesce(f.jobs_lost, 0) AS jobs_lost,
    CASE WHEN f.n IS NOT NULL OR v.n IS NOT NULL OR EXISTS (SELECT 1 FROM sync_runs r
        WHERE {run_of} AND r.outcome = 'unchanged' AND r.started_at >= g.since AND r.started_at < g.until)
        THEN 1 ELSE 0 END AS observed
    FROM grid g LEFT JOIN flow f ON f.id = g.id AND f.n = g.n LEFT JOIN covered v ON v.id = g.id AND v.n = g.n
    WINDOW w AS (PARTITION BY g.id ORDER BY g.n)),
known AS (SELECT running.*, max(observed) OVER w AS begun FROM running
    WHERE n >= 0 WINDOW w AS (PARTITION BY id ORDER BY n))
SELECT workspace, project, n, CAST(batches AS bigint) AS batches, CAST(images AS bigint) AS images,
    CAST(num_jobs AS bigint) AS num_jobs, CAST(images_gained AS bigint) AS images_gained,
    CAST(images_lost AS bigint) AS images_lost, CAST(jobs_gained AS bigint) AS jobs_gained,
    CAST(jobs_lost AS bigint) AS jobs_lost, observed
FROM known {begun} ORDER BY workspace, project, n"""


def _sources(question: Question, asked: list[Period], key: str, *, whole_workspaces: bool) -> list[str]:
    """Whole days from the roll-ups, the rest from the ledger: CTEs, the last of which has the flows."""
    spans: list[tuple[int, datetime, datetime]] = []
    for n, period in enumerate(asked):
        spans += [(n, *edge) for edge in rest(period.since, period.until, timedelta(days=1))[1]]
    since = asked[0].since if asked else datetime.now(UTC)
    midnight = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    question.values["first_day"] = midnight.date()
    if midnight < since:
        spans.append((_BEFORE, midnight, since))
    if whole_workspaces:
        days = f"""SELECT 0 AS id, w.n, {_ROLLED_UP}
    FROM piece w CROSS JOIN spaces p JOIN workspace_daily d ON d.workspace = p.workspace AND d.day = w.day
    WHERE w.whole = 1
    UNION ALL
    SELECT 0, {_BEFORE}, {_ROLLED_UP}
    FROM spaces p JOIN workspace_daily d ON d.workspace = p.workspace AND d.day < :first_day"""
    else:
        # What a project had before is in the last of its days until then.
        days = f"""SELECT {key} AS id, w.n, {_ROLLED_UP}
    FROM piece w CROSS JOIN scope p JOIN project_daily d ON d.project_id = p.id AND d.day = w.day
    WHERE w.whole = 1
    UNION ALL
    SELECT {key}, {_BEFORE}, d.batches, d.images, 0, d.num_jobs, 0
    FROM scope p JOIN project_daily d ON d.project_id = p.id AND d.day = (
        SELECT max(x.day) FROM project_daily x WHERE x.project_id = p.id AND x.day < :first_day)"""
    return [
        question.table("span", _RANGES, spans),
        "spaces AS (SELECT DISTINCT workspace FROM scope)",
        f"""moved AS (
    {days}
    UNION ALL
    SELECT {key}, s.n, {_FLOWS}
    FROM span s CROSS JOIN scope p
    JOIN batch_changes c ON c.project_id = p.id AND c.observed_at >= s.since AND c.observed_at < s.until
)""",
    ]


def _maker(asked: list[Period]) -> Any:
    starts = [period.start for period in asked]

    def make(row: tuple[Any, ...]) -> TotalRow:
        (
            workspace,
            project,
            n,
            batches,
            images,
            num_jobs,
            images_gained,
            images_lost,
            jobs_gained,
            jobs_lost,
            observed,
        ) = row
        return TotalRow(
            workspace, project, starts[n], batches, images, num_jobs,
            images_gained - images_lost, jobs_gained - jobs_lost,
            images_gained, images_lost, jobs_gained, jobs_lost, bool(observed),
        )  # fmt: skip

    return make
