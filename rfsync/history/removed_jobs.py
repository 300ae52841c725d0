"""The jobs that were removed, and how far they were."""

from sqlalchemy import Engine

from rfsync.history.arguments import Time, read_required_span, utc_now
from rfsync.history.flow import END_OF_TIME
from rfsync.history.known import known_query
from rfsync.history.place_rows import RemovedJobsRow
from rfsync.history.places import PLACES, places_of
from rfsync.history.query import Targets
from rfsync.schema.job_models import JOB_COUNTS


def removed_jobs(
    engine: Engine, targets: Targets = None, *, since: Time, until: Time | None = None
) -> list[RemovedJobsRow]:
    """The jobs of each project that were removed between two moments and were still gone at the second; by project.

    The images of a removed job are in none of the places of ``image_places``, so work that was done would seem to
    vanish from a chart of it. Projects without such jobs have no row.

    Args:
        since: inclusive.
        until: exclusive; None: to the last change.

    Raises:
        ConfigError: a target is malformed or unknown, a time is none, or ``since`` is not before ``until``.
        DatabaseError: the database can't be read.
    """
    first, end = read_required_span(since, until, utc_now())
    query = known_query(engine, targets)
    query.values.update(since=first, until=min(end or END_OF_TIME, END_OF_TIME))
    # A removal's deltas take away what there was last.
    before = "c.project_id = j.project_id AND c.job_id = j.job_id AND c.observed_at < :until"
    query.define(
        "removed",
        f"""SELECT p.workspace, p.project, {", ".join(f"j.{name}" for name in JOB_COUNTS)}
    FROM scope p CROSS JOIN jobs j
    WHERE j.project_id = p.id AND j.removed_at >= :since AND j.changed_at < :until
    UNION ALL
    SELECT p.workspace, p.project, {", ".join(f"-c.{name}_delta" for name in JOB_COUNTS)}
    FROM scope p CROSS JOIN jobs j {query.dialect.seek("job_changes", "c", before, latest_by="observed_at")}
    WHERE j.project_id = p.id AND j.first_seen_at < :until AND j.changed_at >= :until
        AND c.change = 'removed' AND c.observed_at >= :since""",
    )
    places = places_of("r")
    sums = ", ".join(f"CAST(sum({places[name]}) AS bigint)" for name in PLACES)
    sql = f"SELECT workspace, project, count(*), {sums} FROM removed r GROUP BY workspace, project ORDER BY 1, 2"
    return list(query.rows("reading the removed jobs", sql, RemovedJobsRow._make))
