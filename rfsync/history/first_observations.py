"""What a project had when it was first observed: the ledger has it as gained then, though it was there before."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rfsync.history.query import Query

_THEN: Final = "c.project_id = p.id AND c.observed_at = p.at"
_NEW: Final = f"{_THEN} AND c.observed_after IS NULL AND c.change = 'added'"
# Until its first list each look at a project is a first one: single batches may have been asked for before. All of one
# instant are of one look.
_IS_LOOK: Final = f"(SELECT c.observed_after IS NULL FROM batch_changes c WHERE {_THEN} LIMIT 1)"


def _first_change(condition: str) -> str:
    return f"(SELECT min(c.observed_at) FROM batch_changes c WHERE c.project_id = p.id AND c.observed_at {condition})"


def looks_by_period(query: Query, key: str, since: datetime, until: datetime) -> list[str]:
    """CTEs up to ``looks (id, n, images_gained, jobs_gained)``: what first looks brought, by ``period``.

    Args:
        query: with the CTEs ``scope`` and ``period``; one of these CTEs is recursive.
        key: of a project ``p``, as ``id``.
        since: the start of the periods.
        until: their end.
    """
    query.values.update(looks_since=since, looks_until=until)
    # From one instant to the next as long as they are such looks, since no index tells which is the last.
    return [
        f"""instants (id, at) AS (SELECT p.id, {_first_change(">= :looks_since")} FROM scope p
    UNION ALL SELECT p.id, {_first_change("> p.at")} FROM instants p WHERE p.at < :looks_until AND {_IS_LOOK})""",
        # Few: whoever asks for single batches only, and never for the list, looks for the first time again and again.
        f"""looked AS {query.kept}(SELECT p.id, p.at FROM instants p
    WHERE p.at < :looks_until AND 1 = (SELECT 1 FROM batch_changes c WHERE {_NEW} LIMIT 1))""",
        f"""placed AS {query.kept}(SELECT {key} AS key, p.id, p.at, w.n FROM looked p CROSS JOIN period w
    WHERE p.at >= w.since AND p.at < w.until)""",
        f"""looks AS {query.kept}(SELECT p.key AS id, p.n, sum(c.images) AS images_gained,
        sum(c.num_jobs) AS jobs_gained FROM placed p {query.seek("batch_changes", "c", _NEW)} GROUP BY 1, 2)""",
    ]
