"""What a project had when it was first observed: a gain in the ledger, although it was there before."""

from datetime import datetime
from typing import Final

from rfsync.history.query import Query

_AT_ONCE: Final = "c.project_id = p.id AND c.observed_at = p.at"
#: A row ``c`` of the ledger that has what was there when its project was first observed.
IS_INITIAL: Final = "c.observed_after IS NULL AND c.change = 'added'"
_INITIAL: Final = f"{_AT_ONCE} AND {IS_INITIAL}"


def define_initial(query: Query, since: datetime, until: datetime) -> None:
    """Add the CTE ``initial (series, n, images, num_jobs)``: what first observations added, by period.

    Args:
        query: with the CTEs ``member`` and ``period`` of ``flow.define_flows``.
        since: start of the first period.
        until: end of the last one.
    """
    query.values.update(initial_since=since, initial_until=until)
    # A project has several first observations if single batches were requested before the whole list. No index finds
    # the last one, so this walks from each instant in the ledger to the next, as long as they are first observations.
    # Rows with the same observed_at belong to one observation, so one of them is enough to tell.
    is_first = f"(SELECT c.observed_after IS NULL FROM batch_changes c WHERE {_AT_ONCE} LIMIT 1)"
    query.define(
        "instant (id, at)",
        f"""SELECT p.id, {_next_instant(">= :initial_since")} FROM scope p
    UNION ALL
    SELECT p.id, {_next_instant("> p.at")} FROM instant p WHERE p.at < :initial_until AND {is_first}""",
    )
    query.define(
        "first_observation",
        f"""SELECT p.id, p.at FROM instant p
    WHERE p.at < :initial_until AND 1 = (SELECT 1 FROM batch_changes c WHERE {_INITIAL} LIMIT 1)""",
        materialized=True,
    )
    query.define(
        "placed",
        """SELECT m.series, p.id, p.at, w.n FROM first_observation p JOIN member m ON m.id = p.id
    CROSS JOIN period w WHERE p.at >= w.since AND p.at < w.until""",
        materialized=True,
    )
    query.define(
        "initial",
        f"""SELECT p.series, p.n, c.images, c.num_jobs
    FROM placed p {query.dialect.seek("batch_changes", "c", _INITIAL)}""",
    )


def _next_instant(condition: str) -> str:
    return f"(SELECT min(c.observed_at) FROM batch_changes c WHERE c.project_id = p.id AND c.observed_at {condition})"
