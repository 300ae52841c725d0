"""The sums of what moved, as SQL on the ledgers: what every roll-up has to be."""

from typing import Final

from rfsync.schema.models import FLOWS, LABELER_FLOWS

#: SQL for the UTC day, and for the start of the quarter of an hour, of a row ``c`` of a ledger.
DAY: Final = {
    "sqlite": "substr(c.observed_at, 1, 10)",
    "postgresql": "CAST(c.observed_at AT TIME ZONE 'UTC' AS date)",
}
QUARTER_HOUR: Final = {
    "sqlite": "substr(c.observed_at, 1, 14) || substr('00153045', substr(c.observed_at, 15, 2) / 15 * 2 + 1, 2) "
    r"|| '\:00.000000'",
    "postgresql": "date_trunc('hour', c.observed_at, 'UTC') "
    "+ CAST(extract(minute FROM c.observed_at AT TIME ZONE 'UTC') AS integer) / 15 * interval '15 minutes'",
}


def _positive(sql: str) -> str:
    return f"CASE WHEN {sql} > 0 THEN {sql} ELSE 0 END"


#: Column of a roll-up of batches -> SQL for the same of a row ``c`` of their ledger.
BATCH_FLOWS: Final = {
    "changes": "1",
    "batches_added": "CASE WHEN c.change IN ('added', 'restored') THEN 1 ELSE 0 END",
    "batches_removed": "CASE WHEN c.change = 'removed' THEN 1 ELSE 0 END",
    "images_gained": _positive("c.images_delta"),
    "images_lost": _positive("-c.images_delta"),
    "jobs_gained": _positive("c.num_jobs_delta"),
    "jobs_lost": _positive("-c.num_jobs_delta"),
}

#: The counts of a job whose changes are work done.
WORK_COUNTS: Final = ("annotated", "approved", "rejected")

#: The columns of ``workspace_quarter_hours`` that are sums.
QUARTER_HOUR_FLOWS: Final = (*FLOWS, *LABELER_FLOWS)


def work_flows() -> dict[str, str]:
    """Column of a roll-up of work -> SQL for the same of a row ``c`` of ``work_rows``."""
    flows = {
        "jobs_opened": "CASE WHEN is_after = 1 AND opened = 1 THEN 1 ELSE 0 END",
        "images_assigned": """CASE WHEN is_after = 1 AND opened = 1 THEN size
            WHEN is_after = 1 AND num_images > 0 THEN num_images ELSE 0 END""",
    }
    for count in WORK_COUNTS:
        flows[f"{count}_gained"] = f"CASE WHEN is_after = 1 AND {count} > 0 THEN {count} ELSE 0 END"
        flows[f"{count}_lost"] = f"CASE WHEN is_after = 0 AND {count} < 0 THEN -{count} ELSE 0 END"
    return flows


def work_rows(where: str = "") -> str:
    """FROM and WHERE of what the changes of jobs moved, rows ``c`` with the columns that ``work_flows`` reads.

    Each change is taken twice, for the labeler after it and, where something was lost, for the one before it. A removal
    moves nothing; a job that is restored only what differs from what it had before its removal. What the first list of
    jobs shows is in no row.

    Args:
        where: begins with WHERE; a condition on the project's rows in the ledger.
    """
    moved = ", ".join(
        f"CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN {name} + lag({name}_delta) OVER w "
        f"ELSE {name}_delta END AS {name}"
        for name in ("num_images", *WORK_COUNTS)
    )
    lost = " OR ".join(f"{name} < 0" for name in WORK_COUNTS)
    return f"""FROM (
            SELECT c.*, CASE WHEN change = 'added' OR (change <> 'removed' AND labeler_after <> labeler_before)
                THEN 1 ELSE 0 END AS opened
            FROM (
                SELECT project_id, observed_after, observed_at, change, coalesce(labeler_id, 0) AS labeler_after,
                    coalesce(lag(labeler_id) OVER w, 0) AS labeler_before, num_images AS size, {moved}
                FROM job_changes {where} WINDOW w AS (PARTITION BY project_id, job_id ORDER BY observed_at)
            ) c
        ) c CROSS JOIN (SELECT 1 AS is_after UNION ALL SELECT 0) sides
        WHERE observed_after IS NOT NULL AND (is_after = 1 OR {lost})"""


def quarter_hours(where: str = "") -> str:
    """SELECT the sums of each project and quarter of an hour: ``project_id``, ``start``, ``*QUARTER_HOUR_FLOWS``.

    ``{quarter_hour}`` in it is to be replaced by the database's own of ``QUARTER_HOUR``. A quarter of an hour may have
    two rows, one of batches and one of jobs.

    Args:
        where: as for ``work_rows``.
    """
    of_batches = ", ".join(f"sum({sql}) AS {name}" for name, sql in BATCH_FLOWS.items())
    of_work = ", ".join(f"sum({sql}) AS {name}" for name, sql in work_flows().items())
    no_batches, no_work = (", ".join(f"0 AS {name}" for name in names) for names in (FLOWS, LABELER_FLOWS))
    return f"""SELECT c.project_id, {{quarter_hour}} AS start, {of_batches}, {no_work} FROM batch_changes c {where}
        GROUP BY c.project_id, {{quarter_hour}}
        UNION ALL
        SELECT c.project_id, {{quarter_hour}} AS start, {no_batches}, {of_work} {work_rows(where)}
        GROUP BY c.project_id, {{quarter_hour}}"""
