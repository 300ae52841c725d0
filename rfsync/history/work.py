"""Work over time: what was handed out, annotated, approved and rejected, by everybody or by each labeler.

One statement, in steps that are CTEs of their own, those of ``totals`` among them:

``moved``  what the ledger of jobs adds to the daily sums, by the labelers after and before each change
``part``   the daily sums, or those of quarters of an hour, and that
``cell``   both added up by series, labeler and period

Only what is not 0 comes from the database; the gaps are filled here.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine

from rfsync.history.arguments import Time, read_required_span, utc_now
from rfsync.history.flow import (
    END_OF_TIME,
    define_periods,
    define_quarter_hours,
    define_workspaces,
    quarter_hours,
)
from rfsync.history.job_rows import LabelerRow, WorkRow
from rfsync.history.known import are_whole_workspaces, known_query
from rfsync.history.people import read_person
from rfsync.history.periods import By, Period
from rfsync.history.query import Query, Targets
from rfsync.history.span import job_observations, observed_periods
from rfsync.history.totals import define_observed, define_series, first_of_series
from rfsync.history.utc_days import SplitPeriods, split_periods
from rfsync.schema.models import LABELER_FLOWS
from rfsync.schema.views import PERSON

#: In place of a labeler's number: the row tells whether the jobs were read in the period. It comes first.
_OBSERVED: Final = -1
_NOTHING: Final = (0,) * len(LABELER_FLOWS)
_GIVEN: Final = "(b.id IS NULL OR coalesce(b.labeler_id, 0) <> coalesce(c.labeler_id, 0))"


def _gain(name: str) -> str:
    return f"CASE WHEN c.{name} > coalesce(b.{name}, 0) THEN c.{name} - coalesce(b.{name}, 0) ELSE 0 END"


def _loss(name: str) -> str:
    return f"CASE WHEN c.{name} < b.{name} THEN b.{name} - c.{name} ELSE 0 END"


class _Told(NamedTuple):
    """A period of which a series has rows."""

    n: int
    start: datetime
    complete: bool


#: Column of the daily sums -> SQL for the same of a row ``c`` of the ledger of jobs, which is not a removal, and the
#: row ``b`` before it, which is the one before the removal if the job was restored.
_FLOWS: Final = {
    "jobs_opened": f"CASE WHEN {_GIVEN} THEN 1 ELSE 0 END",
    "images_assigned": f"CASE WHEN {_GIVEN} THEN c.num_images ELSE {_gain('num_images')} END",
    **{
        f"{name}_{way}": flow(name)
        for name in ("annotated", "approved", "rejected")
        for way, flow in (("gained", _gain), ("lost", _loss))
    },
}


def work(
    engine: Engine,
    targets: Targets = None,
    *,
    by: By = "day",
    since: Time | None = None,
    until: Time | None = None,
    tz: str = "UTC",
    labelers: bool = False,
    labeler: str | None = None,
    summed: bool = False,
    now: Time | None = None,
) -> Iterator[WorkRow]:
    """What was done in each period of each project, without gaps; by workspace, project, labeler and period.

    Labelers are in the order of their addresses, then come those without one in that of their numbers, then nobody.

    What a project's first list of jobs shows was done before, and counts in no period. Projects whose jobs were never
    read have no rows.

    Args:
        by: ISO weeks begin on Monday.
        since: inclusive; None: each project's first observation of its jobs.
        until: exclusive; None: now; it is never later than that.
        tz: the calendar's time zone; a day of it may have 23 or 25 hours.
        labelers: each labeler by itself, if there is anything to tell of them.
        labeler: this one alone: a mail address, ``person-7``, or ``nobody``; None: all.
        summed: all projects as one.
        now: None: the clock's time.

    Raises:
        ConfigError: a target or the labeler is malformed or unknown, so are ``by`` or ``tz``, a time is none, ``since``
            is not before ``until``, or there are too many periods.
        DatabaseError: the database can't be read.
    """
    wanted, seen = observed_periods(engine, targets, by, since, until, tz, now, read=job_observations)
    person = read_person(engine, labeler, "labeler")
    labelers = labelers or person is not None
    if not wanted or seen.earliest is None:
        return iter(())
    query = Query(engine, targets)
    split = split_periods(wanted)
    by_workspace = define_series(query, targets, seen, summed=summed)
    _define_cells(query, split, labelers=labelers, by_workspace=by_workspace)
    define_observed(query, split, "SELECT DISTINCT series, n FROM cell", summed=summed, jobs=True)
    _define_told(query, person)
    sql = f"""
SELECT s.workspace, s.project, t.series, t.labeler, {PERSON.format("l")}, t.n, t.seen,
    {", ".join(f"t.{name}" for name in LABELER_FLOWS)}
FROM told t JOIN series s ON s.id = t.series LEFT JOIN people l ON l.id = t.labeler
ORDER BY s.workspace, s.project, t.series, CASE t.labeler WHEN {_OBSERVED} THEN 0 WHEN 0 THEN 2 ELSE 1 END,
    CASE WHEN l.address IS NULL THEN 1 ELSE 0 END, l.address {query.dialect.binary}, t.labeler, t.n"""
    rows = query.rows("reading the work", sql, tuple)
    told: dict[int, list[_Told]] = {}
    for series, begun in first_of_series(seen, summed=summed).items():
        told[series] = [
            _Told(n, period.start, period.whole and (since is not None or begun <= period.start))
            for n, period in enumerate(wanted)
            if since is not None or begun < period.until
        ]
    return _filled(rows, told, labelers=labelers)


def _define_told(query: Query, person: int | None) -> None:
    """Add the CTE ``told (series, labeler, n, *LABELER_FLOWS, seen)``: what was observed, and the cells.

    Args:
        query: with the CTE ``cell``, and those of ``define_observed``.
        person: whose cells; None: everybody's.
    """
    whose = ""
    if person is not None:
        query.values["person"] = person
        whose = " WHERE labeler = :person"
    query.define(
        f"told (series, labeler, n, {', '.join(LABELER_FLOWS)}, seen)",
        f"""SELECT series, {_OBSERVED}, n, {", ".join("0" for _ in LABELER_FLOWS)}, max(seen) FROM (
        SELECT series, n, seen FROM jobs_observed UNION ALL SELECT series, n, seen FROM jobs_observed_in_part) o
    GROUP BY series, n
    UNION ALL
    SELECT series, labeler, n, {", ".join(LABELER_FLOWS)}, 0 FROM cell{whose}""",
    )


def _filled(
    rows: Iterator[tuple[Any, ...]], told: Mapping[int, Sequence[_Told]], *, labelers: bool
) -> Iterator[WorkRow]:
    """The rows of each series and labeler: those of the database and, between them, those in which nothing was done."""
    for (workspace, project, series), own in groupby(rows, itemgetter(0, 1, 2)):
        parts = groupby(own, itemgetter(3, 4))
        observed = {row[5] for row in next(parts)[1] if row[6] == 1}
        cells = ((name, {row[5]: row[7:] for row in part}) for (_, name), part in parts)
        for labeler, done in cells if labelers else [next(cells, (None, {}))]:
            for n, start, complete in told.get(series, ()):
                sums = done.get(n, _NOTHING)
                yield WorkRow._make((workspace, project, labeler, start, *sums, n in observed, complete))


def labelers(engine: Engine, targets: Targets = None, *, since: Time, until: Time | None = None) -> list[LabelerRow]:
    """What each labeler did in all of the projects, who annotated most first; without those who did nothing.

    Args:
        since: inclusive.
        until: exclusive; None: to the last change.

    Raises:
        ConfigError: a target is malformed or unknown, a time is none, or ``since`` is not before ``until``.
        DatabaseError: the database can't be read.
    """
    first, end = read_required_span(since, until, utc_now())
    end = max(first, min(end or END_OF_TIME, END_OF_TIME))
    query = known_query(engine, targets)
    query.define("member", "SELECT id, workspace, 0 AS series FROM scope")
    split = split_periods([Period(first, first, end, end)])
    _define_cells(query, split, labelers=True, by_workspace=are_whole_workspaces(engine, targets))
    sql = f"""
SELECT {PERSON.format("l")}, {", ".join(f"t.{name}" for name in LABELER_FLOWS)}
FROM cell t LEFT JOIN people l ON l.id = t.labeler
ORDER BY t.annotated_gained DESC, t.approved_gained DESC, t.images_assigned DESC, t.labeler"""
    return list(query.rows("reading the labelers", sql, LabelerRow._make))


def _define_cells(query: Query, periods: SplitPeriods, *, labelers: bool, by_workspace: bool) -> None:
    """Add the CTE ``cell (series, labeler, n, *LABELER_FLOWS)``: what was done, if anything was; and those it needs.

    Args:
        query: with the CTE ``member`` of ``define_series``.
        periods: ``n`` is a period's number.
        labelers: False: ``labeler`` is 0, and stands for everybody.
        by_workspace: use the sums of workspaces; all their projects have to be in one series.
    """
    after, former, owner = "coalesce(c.labeler_id, 0)", "coalesce(b.labeler_id, 0)", "d.labeler_id"
    if not labelers:
        after = former = owner = "CAST(0 AS bigint)"
    if by_workspace:
        define_workspaces(query)
    if by_workspace and not labelers:
        # No days, since no table has those of all labelers of a workspace together.
        whole = [(n, since, until, 1) for n, since, until, *_ in periods.days]
        periods = define_quarter_hours(query, periods._replace(corrections=whole))
        summed_up = quarter_hours(query, LABELER_FLOWS, owner)
    else:
        summed_up = _define_days(query, periods, owner, by_workspace=by_workspace)
    define_periods(query, periods)
    _define_moved(query, after, former)
    gained, lost = (
        ", ".join(name if name.endswith("_lost") is is_lost else "0" for name in LABELER_FLOWS)
        for is_lost in (False, True)
    )
    flows = ", ".join(LABELER_FLOWS)
    query.define(
        f"part (series, labeler, n, {flows})",
        f"""{summed_up}
    UNION ALL SELECT series, labeler, n, {gained} FROM moved
    UNION ALL SELECT series, former, n, {lost} FROM moved""",
    )
    sums = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in LABELER_FLOWS)
    query.define(
        "cell",
        f"""SELECT series, labeler, n, {sums} FROM part
    GROUP BY series, labeler, n HAVING sum({" + ".join(LABELER_FLOWS)}) <> 0""",
    )


def _define_moved(query: Query, after: str, former: str) -> None:
    """Add the CTE ``moved (series, labeler, former, n, *LABELER_FLOWS)``: corrections to the daily sums.

    Args:
        after: SQL for the labeler after a change ``c``.
        former: that for the labeler before it, of the row ``b``.
    """
    within = "c.project_id = p.id AND c.observed_at >= w.since AND c.observed_at < w.until"
    counted = "c.change <> 'removed' AND c.observed_after IS NOT NULL"
    before = "b.project_id = c.project_id AND b.job_id = c.job_id AND b.observed_at < c.observed_at"
    changes = query.dialect.seek("job_changes", "c", f"{within} AND {counted}")
    previous = query.dialect.seek(
        "job_changes", "b", f"{before} AND b.change <> 'removed'", latest_by="observed_at", optional=True
    )
    query.define(
        f"moved (series, labeler, former, n, {', '.join(LABELER_FLOWS)})",
        f"""SELECT p.series, {after}, {former}, w.n,
        {", ".join(f"w.sign * sum({_FLOWS[name]})" for name in LABELER_FLOWS)}
    FROM correction w CROSS JOIN member p {changes} {previous}
    GROUP BY p.series, {after}, {former}, w.n, w.sign""",
    )


def _define_days(query: Query, periods: SplitPeriods, owner: str, *, by_workspace: bool) -> str:
    """SELECT ``series, labeler, n, *LABELER_FLOWS`` of the daily sums of each period, with the CTEs that it needs.

    They are read once for each project or workspace, and summed up, before they are placed in periods: one by one, that
    would take longer than the rest.

    Args:
        owner: SQL for the labeler of a row ``d``.
        by_workspace: read those of the CTE ``owner`` of ``define_workspaces``.
    """
    spans = [(n, first, end) for n, _, _, first, end, *_ in periods.days if first < end]
    query.values["sums_from"] = min((first for _, first, _ in spans), default=date.max)
    query.values["sums_until"] = max((end for *_, end in spans), default=date.max)
    owners, daily, same = "member", "labeler_daily", "d.project_id = p.id"
    if by_workspace:
        owners, daily, same = "owner", "workspace_labeler_daily", "d.workspace = p.workspace"
    within = f"{same} AND d.day >= :sums_from AND d.day < :sums_until"
    days = f"{owners} p {query.dialect.seek(daily, 'd', within)}"
    sums = ", ".join(f"sum(d.{name}) AS {name}" for name in LABELER_FLOWS)
    if len(periods.days) == 1:
        return f"SELECT p.series, {owner}, 0, {sums} FROM {days} GROUP BY p.series, {owner}"
    # The day is an expression: what SQLite compares as a number can't be looked up in a CTE.
    query.define(
        "day_sum",
        f"""SELECT p.series, {owner} AS labeler, coalesce(d.day, d.day) AS day, {sums}
    FROM {days} GROUP BY p.series, {owner}, d.day""",
        materialized=True,
    )
    placed = [(n, first + timedelta(days=k)) for n, first, end in spans for k in range((end - first).days)]
    query.define_table("day_row", {"n": "integer", "day": "date"}, placed)
    query.define("day_of", "SELECT DISTINCT n, day FROM day_row")  # which SQLite looks up instead of reading it anew
    flows = ", ".join(f"s.{name}" for name in LABELER_FLOWS)
    return f"SELECT s.series, s.labeler, w.n, {flows} FROM day_sum s JOIN day_of w ON w.day = s.day"
