"""The state of each project's syncs, and the age of its data."""

from datetime import datetime

from sqlalchemy import Engine

from rfsync.history.arguments import Time, read_time, utc_now
from rfsync.history.known import known_query
from rfsync.history.query import Targets
from rfsync.history.rows import DepartureRow, FreshnessRow, ProjectStatus


def status(engine: Engine, targets: Targets = None) -> list[ProjectStatus]:
    """Every project in the database, by workspace and project.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    query = known_query(engine, targets)
    batches = _known("observed_at", "batches", "images", "num_jobs")
    jobs = _known("jobs_observed_at", "jobs", "images_in_jobs", "annotated")
    sql = f"""
SELECT p.workspace, p.project, {batches}, t.observed_at, h.last_run_at, h.last_outcome,
    h.last_success_at, h.consecutive_failures, h.last_error_kind, h.last_error,
    {jobs}, t.jobs_observed_at, t.jobs_error_kind
FROM scope p JOIN projects t ON t.id = p.id
JOIN sync_health h ON h.workspace = p.workspace AND h.project = p.project
ORDER BY p.workspace, p.project"""
    return list(query.rows("reading the status", sql, ProjectStatus._make, times=(5, 6, 8, 15)))


def departures(engine: Engine, targets: Targets, *, since: datetime) -> list[DepartureRow]:
    """The projects that have departed since then and are still gone, in that order.

    Raises:
        ConfigError: a target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    query = known_query(engine, targets)
    query.values["since"] = since
    sql = """
SELECT p.workspace, p.project, t.departed_at FROM scope p JOIN projects t ON t.id = p.id
WHERE t.departed_at >= :since ORDER BY t.departed_at, p.workspace, p.project"""
    return list(query.rows("reading the departures", sql, DepartureRow._make, times=(2,)))


def _known(observed_at: str, *columns: str) -> str:
    """SQL for columns of a project ``t`` that are unknown until its first observation."""
    return ", ".join(f"CASE WHEN t.{observed_at} IS NOT NULL THEN t.{column} END" for column in columns)


def freshness(engine: Engine, targets: Targets = None, *, now: Time | None = None) -> list[FreshnessRow]:
    """The age of each project's last observation: projects without one first, then the oldest.

    Args:
        now: the time at which it has this age; None: the clock's.

    Raises:
        ConfigError: a target is malformed or unknown, or ``now`` is no time.
        DatabaseError: the database can't be read.
    """
    at = utc_now() if now is None else read_time(now, "now", utc_now())
    query = known_query(engine, targets)
    query.define_table("clock", {"now": "timestamptz"}, [(at,)])
    sql = f"""
SELECT p.workspace, p.project, t.observed_at, {query.dialect.seconds("clock.now", "t.observed_at")}, h.last_success_at,
    h.consecutive_failures
FROM scope p CROSS JOIN clock JOIN projects t ON t.id = p.id
JOIN sync_health h ON h.workspace = p.workspace AND h.project = p.project
ORDER BY t.observed_at IS NOT NULL, t.observed_at, p.workspace, p.project"""
    return list(query.rows("reading the freshness", sql, FreshnessRow._make, times=(2, 4)))
