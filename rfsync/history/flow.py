"""Gains and losses between two moments, of projects and of batches; and how they are summed up for any periods."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from sqlalchemy import Engine

from rfsync.history.arguments import Time, read_required_span, require_choice, require_count, utc_now
from rfsync.history.first_observations import IS_INITIAL, define_initial
from rfsync.history.known import known_query
from rfsync.history.periods import Period
from rfsync.history.query import Query, Targets
from rfsync.history.rows import FlowRow, MoverRow
from rfsync.history.utc_days import Correction, SplitPeriods, split_periods, split_quarter_hours
from rfsync.ledger.flows import BATCH_FLOWS

MoversOf = Literal["projects", "batches"]

#: For ``until``, if there is none.
END_OF_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC)


_SUMS: Final = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in BATCH_FLOWS)
#: The last columns of ``FlowRow`` and ``MoverRow``.
_IMAGES_AND_JOBS: Final = (
    "images_gained - images_lost, jobs_gained - jobs_lost, images_gained, images_lost, jobs_gained, jobs_lost"
)
_BIGGEST_FIRST: Final = "images_gained + images_lost DESC, jobs_gained + jobs_lost DESC, workspace, project"


def define_periods(query: Query, periods: SplitPeriods) -> None:
    """Add the CTEs ``period`` and ``correction``: days whose sums make up each period, and what to add from a ledger.

    Args:
        periods: ``n`` is a period's number.
    """
    instants = {"since": "timestamptz", "until": "timestamptz"}
    days = dict.fromkeys(("first_day", "end_day", "first_whole_day", "end_whole_day"), "date")
    query.define_table("period", {"n": "integer", **instants, **days}, periods.days)
    define_corrections(query, "correction", periods.corrections)


def define_corrections(query: Query, name: str, corrections: Sequence[Correction]) -> None:
    """Add a CTE ``(n, since, until, sign)``: ranges of time to add to the periods' sums, or to subtract from them."""
    columns = {"n": "integer", "since": "timestamptz", "until": "timestamptz", "sign": "integer"}
    query.define_table(name, columns, corrections)


def define_flows(query: Query, periods: SplitPeriods, *, by_workspace: bool = False) -> None:
    """Add the CTE ``flow (series, n, *BATCH_FLOWS)``: rows that add up to what changed in each period.

    Days are read from the daily sums, and only corrections to them from the ledger.

    Args:
        query: has the CTE ``member (id, workspace, series)``: its projects, and the series in which each counts.
        periods: ``n`` is a period's number.
        by_workspace: use the sums of workspaces, the quarters of an hour among them; all their projects have to be in
            one series.
    """
    owners, daily, owner = "member", "project_daily", "d.project_id = p.id"
    parts = []
    if by_workspace:
        owners, daily, owner = define_workspaces(query), "workspace_daily", "d.workspace = p.workspace"
        periods = define_quarter_hours(query, periods)
        parts.append(quarter_hours(query, BATCH_FLOWS))
    define_periods(query, periods)
    within = "c.project_id = p.id AND c.observed_at >= w.since AND c.observed_at < w.until"
    parts += [
        f"""SELECT p.series, w.n, {", ".join(f"d.{name}" for name in BATCH_FLOWS)}
    FROM period w CROSS JOIN {owners} p
    {query.dialect.seek(daily, "d", f"{owner} AND d.day >= w.first_day AND d.day < w.end_day")}""",
        f"""SELECT p.series, w.n, {", ".join(f"CAST(w.sign * sum({sql}) AS bigint)" for sql in BATCH_FLOWS.values())}
    FROM correction w CROSS JOIN member p {query.dialect.seek("batch_changes", "c", within)}
    GROUP BY p.series, w.n, w.sign""",
    ]
    query.define(f"flow (series, n, {', '.join(BATCH_FLOWS)})", "\n    UNION ALL ".join(parts))


def define_workspaces(query: Query) -> str:
    """Add the CTE ``owner (workspace, series)``, from ``member``, and return its name."""
    query.define("owner", "SELECT DISTINCT workspace, series FROM member", materialized=True)
    return "owner"


def define_quarter_hours(query: Query, periods: SplitPeriods) -> SplitPeriods:
    """Add the CTE ``quarter_correction``: what can be corrected by the quarters of an hour of workspaces.

    Returns:
        The periods with the corrections that are left to the ledger.
    """
    by_quarter_hours, left = split_quarter_hours(periods.corrections)
    define_corrections(query, "quarter_correction", by_quarter_hours)
    return periods._replace(corrections=left)


def quarter_hours(query: Query, flows: Iterable[str], *columns: str) -> str:
    """SELECT ``series, *columns, n, *flows`` of ``owner`` and ``quarter_correction``."""
    within = "q.workspace = p.workspace AND q.start >= w.since AND q.start < w.until"
    sums = ", ".join(f"CAST(w.sign * sum(q.{name}) AS bigint)" for name in flows)
    return f"""SELECT {", ".join(("p.series", *columns, "w.n"))}, {sums}
    FROM quarter_correction w CROSS JOIN owner p {query.dialect.seek("workspace_quarter_hours", "q", within)}
    GROUP BY p.series, w.n, w.sign"""


def flow(
    engine: Engine, targets: Targets = None, *, since: Time, until: Time | None = None, first_looks: bool = True
) -> list[FlowRow]:
    """What each project gained and lost, by workspace and project; also those in which nothing changed.

    Args:
        since: inclusive.
        until: exclusive; None: to the last change.
        first_looks: as for ``totals``.

    Raises:
        ConfigError: a target is malformed or unknown, a time is none, or ``since`` is not before ``until``.
        DatabaseError: the database can't be read.
    """
    first, end = read_required_span(since, until, utc_now())
    query = known_query(engine, targets)
    _define_sums(query, first, end, first_looks=first_looks)
    zeros = ", ".join(f"coalesce({name}, 0) AS {name}" for name in BATCH_FLOWS)
    query.define("filled", f"SELECT workspace, project, {zeros} FROM scope p LEFT JOIN sums s ON s.id = p.id")
    sql = f"""
SELECT workspace, project, changes, batches_added, batches_removed, {_IMAGES_AND_JOBS}
FROM filled ORDER BY workspace, project"""
    return list(query.rows("reading the flow", sql, FlowRow._make))


def count_first_observed(engine: Engine, targets: Targets = None, *, since: Time, until: Time | None = None) -> int:
    """The number of projects first observed in that time, with batches that ``first_looks=False`` leaves out.

    Raises:
        ConfigError: as for ``flow``.
        DatabaseError: the database can't be read.
    """
    first, end = read_required_span(since, until, utc_now())
    query = known_query(engine, targets)
    _define_sums(query, first, end, first_looks=False)
    sql = "SELECT count(DISTINCT id) FROM first_observation"
    ((number,),) = query.rows("counting the first observations", sql, tuple)
    return int(number)


def movers(
    engine: Engine,
    targets: Targets = None,
    *,
    of: MoversOf = "projects",
    since: Time,
    until: Time | None = None,
    limit: int = 10,
    first_looks: bool = True,
) -> list[MoverRow]:
    """The projects, or the batches, with the most images gained and lost, added up; the biggest first.

    Args:
        since: inclusive.
        until: exclusive; None: to the last change.
        first_looks: as for ``totals``.

    Raises:
        ConfigError: a target is malformed or unknown, a time is none, ``since`` is not before ``until``, ``of`` is
            something else, or ``limit`` is negative.
        DatabaseError: the database can't be read.
    """
    first, end = read_required_span(since, until, utc_now())
    require_choice(of, "of", get_args(MoversOf))
    require_count(limit, "limit")
    query = known_query(engine, targets)
    query.values["limit"] = limit
    if of == "projects":
        _define_sums(query, first, end, first_looks=first_looks)
        sql = f"""
SELECT workspace, project, NULL, name, changes, {_IMAGES_AND_JOBS}
FROM scope p JOIN sums s ON s.id = p.id ORDER BY {_BIGGEST_FIRST} LIMIT :limit"""
    else:
        of_ledger = ", ".join(f"{sql} AS {name}" for name, sql in BATCH_FLOWS.items())
        changes = query.ledger(first, end, *([] if first_looks else [f"NOT ({IS_INITIAL})"]))
        query.define("flow", f"SELECT c.project_id, c.batch_id, {of_ledger} FROM scope p {changes}")
        query.define("sums", f"SELECT project_id, batch_id, {_SUMS} FROM flow GROUP BY project_id, batch_id")
        query.define(
            "biggest",
            f"""SELECT workspace, project, s.* FROM sums s JOIN scope p ON p.id = s.project_id
    ORDER BY {_BIGGEST_FIRST}, batch_id LIMIT :limit""",
        )
        sql = f"""
SELECT workspace, project, m.batch_id, b.name, changes, {_IMAGES_AND_JOBS}
FROM biggest m CROSS JOIN batches b WHERE b.project_id = m.project_id AND b.batch_id = m.batch_id
ORDER BY {_BIGGEST_FIRST}, m.batch_id"""
    return list(query.rows("reading the movers", sql, MoverRow._make))


def _define_sums(query: Query, since: datetime, until: datetime | None, *, first_looks: bool) -> None:
    """Add the CTE ``sums (id, *BATCH_FLOWS)`` of the projects in which something changed."""
    query.define("member", "SELECT id, workspace, id AS series FROM scope")
    end = max(since, min(until or END_OF_TIME, END_OF_TIME))
    define_flows(query, split_periods([Period(since, since, end, end)]))
    source = "flow"
    if not first_looks:
        source = "part"
        define_initial(query, since, end)
        query.define(
            f"part (series, {', '.join(BATCH_FLOWS)})",
            f"""SELECT series, {", ".join(BATCH_FLOWS)} FROM flow
    UNION ALL
    SELECT series, -1, -1, 0, -images, 0, -num_jobs, 0 FROM initial""",
        )
    query.define("sums", f"SELECT series AS id, {_SUMS} FROM {source} GROUP BY series HAVING sum(changes) > 0")
