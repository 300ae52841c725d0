"""Totals over time: what each period gained and lost, and what there was at its end.

One statement, in steps that are CTEs of their own:

``series``   the results: one for each project, or one for all; ``member`` says which project counts in which
``period``   the periods
``flow``     what changed in each period
``opening``  what there was before the first period
``initial``  what was there already when a project was first observed, if that is not to count as gained
``observed`` whether each period was observed, as far as ``flow`` does not show it
``cell``     all of these added up by series and period
``total``    the totals, which are running sums over the periods
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine

from rfsync.history.arguments import Time
from rfsync.history.first_observations import define_initial
from rfsync.history.flow import define_flows
from rfsync.history.periods import By, Period
from rfsync.history.query import Query, Targets, targets_of
from rfsync.history.rows import TotalRow
from rfsync.history.span import Observations, observed_periods
from rfsync.history.utc_days import SplitPeriods, split_periods
from rfsync.ledger.flows import BATCH_FLOWS
from rfsync.ledger.quarter_hours import start_of

#: The first observation of what was never observed.
NEVER: Final = datetime.max.replace(tzinfo=UTC)
#: The columns of ``total`` that are about a period, and not about its end.
SUMMED: Final = ("images_gained", "images_lost", "jobs_gained", "jobs_lost", "observed")


def totals(
    engine: Engine,
    targets: Targets = None,
    *,
    by: By = "day",
    since: Time | None = None,
    until: Time | None = None,
    tz: str = "UTC",
    summed: bool = False,
    first_looks: bool = True,
    now: Time | None = None,
) -> Iterator[TotalRow]:
    """Each period of each project, without gaps; by workspace, project and period.

    Gains and losses are counted from ``since``, inclusive, until ``until``, exclusive: the first and the last period
    are cut there. The totals are those at the period's end, and include everything observed before; they are None until
    the project was first observed (summed: any of the projects).

    Args:
        by: ISO weeks begin on Monday.
        since: None: each project's first observation.
        until: None: now; it is never later than that.
        tz: the calendar's time zone; a day of it may have 23 or 25 hours.
        summed: all projects as one.
        first_looks: count what a project had when it was first observed as gained then, as the ledger does; False:
            only the totals include it.
        now: None: the clock's time.

    Raises:
        ConfigError: a target is malformed or unknown, so are ``by`` or ``tz``, a time is none, ``since`` is not before
            ``until``, or there are too many periods.
        DatabaseError: the database can't be read.
    """
    wanted, seen = observed_periods(engine, targets, by, since, until, tz, now)
    if not wanted:
        return iter(())
    query = Query(engine, targets)
    define_totals(query, targets, wanted, seen, summed=summed, first_looks=first_looks)
    first = first_of_series(seen, summed=summed)

    def make(row: Iterable[Any]) -> TotalRow:
        workspace, project, series, n, batches, images, jobs, gained, lost, jobs_gained, jobs_lost, observed = row
        period, begun = wanted[n], first.get(series, NEVER)
        if period.until <= begun:
            batches = images = jobs = None
        complete = period.whole and (since is not None or begun <= period.start)
        return TotalRow(
            workspace, project, period.start, batches, images, jobs, gained - lost, jobs_gained - jobs_lost,
            gained, lost, jobs_gained, jobs_lost, observed == 1, complete,
        )  # fmt: skip

    sql = f"""
SELECT workspace, project, series, n, batches, images, num_jobs, {", ".join(SUMMED)}
FROM total t JOIN series s ON s.id = t.series ORDER BY workspace, project, n"""
    rows = query.rows("reading the totals", sql, make)
    return rows if since is not None else (row for row in rows if row.batches is not None)


def first_of_series(seen: Observations, *, summed: bool) -> Mapping[int, datetime]:
    """The first observation of each series that has one."""
    if not summed:
        return seen.first
    return {} if seen.earliest is None else {0: seen.earliest}


def define_totals(
    query: Query, targets: Targets, wanted: list[Period], seen: Observations, *, summed: bool, first_looks: bool
) -> None:
    """Add the CTEs up to ``total``, which has a row for each series and period.

    Args:
        targets: those of the query.
        wanted: one or more periods; ``n`` is a period's index.
        seen: of the targets.
    """
    by_workspace = define_series(query, targets, seen, summed=summed)
    split = split_periods(wanted)
    define_flows(query, split, by_workspace=by_workspace)
    _define_opening(query, wanted[0].since, by_workspace=by_workspace)
    changed = "SELECT series, n FROM flow GROUP BY series, n HAVING sum(changes) > 0"
    define_observed(query, split, changed, summed=summed)
    parts = [
        "SELECT series, n, 0, 0, 0, 0, 0, 0, 0, 0, seen FROM observed",
        "SELECT series, n, 0, 0, 0, 0, 0, 0, 0, 0, seen FROM observed_in_part",
        """SELECT series, n, batches_added - batches_removed, images_gained - images_lost, jobs_gained - jobs_lost,
        changes, images_gained, images_lost, jobs_gained, jobs_lost, 0 FROM flow""",
        "SELECT series, 0, batches, images, num_jobs, 0, 0, 0, 0, 0, 0 FROM opening",
    ]
    if not first_looks:
        define_initial(query, wanted[0].since, wanted[-1].until)
        parts.append("SELECT series, n, 0, 0, 0, 0, -images, 0, -num_jobs, 0, 0 FROM initial")
    # Added up rather than joined: neither database knows how many rows the CTEs have, and could join them badly.
    counts = "batches, images, num_jobs, changes, images_gained, images_lost, jobs_gained, jobs_lost, seen"
    query.define(f"part (series, n, {counts})", "\n    UNION ALL ".join(parts))
    sums = ", ".join(f"sum({name}) AS {name}" for name in counts.split(", "))
    query.define("cell", f"SELECT series, n, {sums} FROM part GROUP BY series, n")
    query.define(
        "total",
        """SELECT series, n, CAST(sum(batches) OVER until_then AS bigint) AS batches,
        CAST(sum(images) OVER until_then AS bigint) AS images,
        CAST(sum(num_jobs) OVER until_then AS bigint) AS num_jobs,
        CAST(images_gained AS bigint) AS images_gained, CAST(images_lost AS bigint) AS images_lost,
        CAST(jobs_gained AS bigint) AS jobs_gained, CAST(jobs_lost AS bigint) AS jobs_lost,
        CASE WHEN changes > 0 OR seen > 0 THEN 1 ELSE 0 END AS observed
    FROM cell WINDOW until_then AS (PARTITION BY series ORDER BY n)""",
    )


def define_series(query: Query, targets: Targets, seen: Observations, *, summed: bool) -> bool:
    """Add the CTEs ``series (id, workspace, project)`` and ``member (id, workspace, series)``.

    Args:
        targets: those of the query.
        seen: of the targets.

    Returns:
        True if all projects are one series, and are all that their workspaces have.
    """
    named = targets_of(targets)
    workspaces = {target.workspace for target in named}
    if summed:
        is_one = len(workspaces) == len(seen.workspaces) == 1
        query.values["workspace"] = next(iter(seen.workspaces)) if is_one else None
        query.define("series", "SELECT 0 AS id, CAST(:workspace AS text) AS workspace, CAST(NULL AS text) AS project")
        query.define("member", "SELECT id, workspace, 0 AS series FROM scope")
    else:
        query.define("series", "SELECT id, workspace, project FROM scope")
        query.define("member", "SELECT id, workspace, id AS series FROM scope")
    # The former id of a workspace means some of the projects of the one that they are in now.
    is_whole = all(target.project is None for target in named) and (not named or seen.workspaces <= workspaces)
    return summed and is_whole


def _define_opening(query: Query, since: datetime, *, by_workspace: bool) -> None:
    """Add the CTE ``opening (series, batches, images, num_jobs)``: what there was before the first period.

    Args:
        query: with the CTE ``owner`` of ``define_flows``, if ``by_workspace``.
        by_workspace: from the sums of workspaces.
    """
    since = since.astimezone(UTC)
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    opening_since = start_of(since) if by_workspace else midnight
    query.values.update(opening_day=midnight.date(), opening_since=opening_since, opening_until=since)
    if by_workspace:
        query.values["opening_midnight"] = midnight
        sums = _sums_of_workspaces(query)
    else:
        sums = """SELECT p.series, d.batches, d.images, d.num_jobs FROM member p CROSS JOIN project_daily d
    WHERE d.project_id = p.id AND d.day = (
        SELECT max(x.day) FROM project_daily x WHERE x.project_id = p.id AND x.day < :opening_day)"""
    within = "c.project_id = p.id AND c.observed_at >= :opening_since AND c.observed_at < :opening_until"
    query.define(
        "opening (series, batches, images, num_jobs)",
        f"""{sums}
    UNION ALL
    SELECT p.series, {BATCH_FLOWS["batches_added"]} - {BATCH_FLOWS["batches_removed"]}, c.images_delta, c.num_jobs_delta
    FROM member p {query.dialect.seek("batch_changes", "c", within)}""",
    )


def _sums_of_workspaces(query: Query) -> str:
    """SELECT what the days before ``:opening_day`` add up to, and the quarters of an hour until ``:opening_since``."""
    days = "d.workspace = p.workspace AND d.day < :opening_day"
    quarters = "d.workspace = p.workspace AND d.start >= :opening_midnight AND d.start < :opening_since"
    return "\n    UNION ALL ".join(
        f"""SELECT p.series, sum(d.batches_added - d.batches_removed), sum(d.images_gained - d.images_lost),
        sum(d.jobs_gained - d.jobs_lost)
    FROM owner p {query.dialect.seek(table, "d", within)} GROUP BY p.series"""
        for table, within in (("workspace_daily", days), ("workspace_quarter_hours", quarters))
    )


#: A saved job list alone, imported, observed no batches.
_NOT_JOBS_ALONE: Final = "AND (r.batches IS NOT NULL OR r.jobs IS NULL)"


def define_observed(query: Query, periods: SplitPeriods, changed: str, *, summed: bool, jobs: bool = False) -> None:
    """Add the CTEs ``observed`` and ``observed_in_part (series, n, seen)``: observations that changed no batch.

    The first one has a row for each series and period. Of deleted runs only the quarters of an hour are known, and of
    those that changed something else.

    Args:
        changed: SELECT ``series, n`` of periods in which something changed: these were observed, and to look for more
            would take long in many projects; empty: not known.
        jobs: all that had the job list; the names then begin with ``jobs_``.
    """
    prefix = "jobs_" if jobs else ""
    # For all projects as one, the first that was observed is enough: the others are not read.
    projects, project = ("scope p CROSS JOIN ", "p.id") if summed else ("", "s.id")
    am, pm, had, read_then = f"{prefix}am", f"{prefix}pm", _NOT_JOBS_ALONE, ""
    if jobs:
        had = "AND r.jobs IS NOT NULL"
        read = "SELECT id FROM projects WHERE jobs_observed_at IS NOT NULL"
        query.define("read_projects", f"SELECT id FROM scope WHERE id IN ({read})")
        projects = "read_projects p CROSS JOIN " if summed else ""
        read_then = f"""WHEN EXISTS (SELECT 1 FROM {projects}job_changes c WHERE c.project_id = {project}
            AND c.observed_at >= w.since AND c.observed_at < w.until) THEN 1"""
    query.define(f"{prefix}changed (series, n)", changed or "SELECT id, -1 FROM series", materialized=True)
    # In CASE, which the databases evaluate in its order: the rest is only looked for where nothing changed.
    is_changed = f"(s.id, w.n) IN (SELECT series, n FROM {prefix}changed)"
    quarters = {"n": "integer", "day": "date", "am": "bigint", "pm": "bigint"}
    query.define_table(f"{prefix}quarters", quarters, periods.quarters)
    query.define(
        f"{prefix}observed_in_part",
        f"""SELECT s.id AS series, w.n, 1 AS seen FROM series s CROSS JOIN {prefix}quarters w
    WHERE 1 = CASE WHEN {is_changed} THEN 0 ELSE (SELECT 1 FROM {projects}project_observed o
        WHERE o.project_id = {project} AND o.day = w.day AND ((o.{am} & w.am) <> 0 OR (o.{pm} & w.pm) <> 0) LIMIT 1)
        END""",
        materialized=True,
    )
    query.define(
        f"{prefix}observed",
        f"""SELECT s.id AS series, w.n, CASE WHEN {is_changed} THEN 1
        WHEN (s.id, w.n) IN (SELECT series, n FROM {prefix}observed_in_part) THEN 1
        WHEN EXISTS (SELECT 1 FROM {projects}project_observed o WHERE o.project_id = {project}
            AND w.first_whole_day < w.end_whole_day AND o.day >= w.first_whole_day AND o.day < w.end_whole_day
            AND (o.{am} <> 0 OR o.{pm} <> 0)) THEN 1
        {read_then} WHEN EXISTS (SELECT 1 FROM {projects}sync_runs r WHERE r.project_id = {project}
            AND r.outcome = 'unchanged' AND r.started_at >= w.since AND r.started_at < w.until {had}) THEN 1
        ELSE 0 END AS seen
    FROM series s CROSS JOIN period w""",
    )
