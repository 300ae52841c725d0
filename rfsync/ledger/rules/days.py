"""The rules of the sums of days: of projects, of workspaces, and of labelers."""

from typing import Final

from rfsync.ledger.rules.rule import Rule, any_of, barred, columns
from rfsync.schema.job_models import LABELER_FLOWS
from rfsync.schema.models import FLOWS

#: The rule that is about a workspace, and not about the project that its findings name.
OF_WORKSPACE: Final = "a workspace's day is the sum of its projects' days"

_TOTALS: Final = "{} batches, {} images and {} jobs"
_DAY: Final = "{} changes: {} batches added, {} removed, {} images gained, {} lost, {} jobs gained, {} lost"
_LABELER_DAY: Final = (
    "{} jobs opened, {} images assigned, {} annotated and {} less, {} approved and {} less, {} rejected and {} less"
)
_MOVING: Final = ("annotated", "approved", "rejected")


def _flow_columns() -> dict[str, str]:
    """The columns of a labeler's day, from what a change moved, for the labeler after it or the one before it."""
    flows = {
        "jobs_opened": "CASE WHEN is_after = 1 AND opened = 1 THEN 1 ELSE 0 END",
        "images_assigned": """CASE WHEN is_after = 1 AND opened = 1 THEN size
            WHEN is_after = 1 AND num_images > 0 THEN num_images ELSE 0 END""",
    }
    for count in _MOVING:
        flows[f"{count}_gained"] = f"CASE WHEN is_after = 1 AND {count} > 0 THEN {count} ELSE 0 END"
        flows[f"{count}_lost"] = f"CASE WHEN is_after = 0 AND {count} < 0 THEN -{count} ELSE 0 END"
    return flows


def _labeler_days() -> str:
    """The query for days of labelers that are not what the ledger of jobs says.

    Each change is taken twice, for the labeler after it and, where something was lost, for the one before it. A removal
    moves nothing; a job that is restored only what differs from what it had before its removal.
    """
    moved = columns(
        "CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN {0} + lag({0}_delta) OVER w ELSE {0}_delta END AS {0}",
        ("num_images", *_MOVING),
    )
    flows = _flow_columns()
    nothing = " AND ".join(f"{flow} = 0" for flow in LABELER_FLOWS)
    return f"""
SELECT project_id, 'day ' || day || ' of ' || CASE labeler WHEN 0 THEN 'nobody' ELSE 'person-' || labeler END AS what,
    CASE WHEN {nothing} THEN 'nothing' ELSE {barred("{}", LABELER_FLOWS)} END AS expected,
    CASE rows_there WHEN 0 THEN 'nothing: it is not there' ELSE {barred("d_{}", LABELER_FLOWS)} END AS found
FROM (
    SELECT project_id, day, labeler, sum(is_row) AS rows_there, {columns("sum({0}) AS {0}", LABELER_FLOWS)},
        {columns("sum(d_{0}) AS d_{0}", LABELER_FLOWS)}
    FROM (
        SELECT c.project_id, {{day}} AS day, CASE is_after WHEN 1 THEN labeler_after ELSE labeler_before END AS labeler,
            0 AS is_row, {", ".join(f"{flows[flow]} AS {flow}" for flow in LABELER_FLOWS)},
            {columns("0 AS d_{}", LABELER_FLOWS)}
        FROM (
            SELECT c.*, CASE WHEN change = 'added' OR (change <> 'removed' AND labeler_after <> labeler_before)
                THEN 1 ELSE 0 END AS opened
            FROM (
                SELECT project_id, observed_after, observed_at, change, coalesce(labeler_id, 0) AS labeler_after,
                    coalesce(lag(labeler_id) OVER w, 0) AS labeler_before, num_images AS size, {moved}
                FROM job_changes WINDOW w AS (PARTITION BY project_id, job_id ORDER BY observed_at)
            ) c
        ) c CROSS JOIN (SELECT 1 AS is_after UNION ALL SELECT 0) sides
        WHERE observed_after IS NOT NULL AND (is_after = 1 OR {any_of("{} < 0", _MOVING)})
        UNION ALL
        SELECT project_id, day, labeler_id, 1, {columns("0", LABELER_FLOWS)}, {columns("{}", LABELER_FLOWS)}
        FROM labeler_daily
    ) both_sides
    GROUP BY project_id, day, labeler
) s
WHERE {any_of("{0} <> d_{0}", LABELER_FLOWS)} OR (rows_there = 1 AND {nothing})"""


DAY_RULES: Final[dict[str, Rule]] = {
    "a day's sums are those of its changes": Rule(
        "the ledger has {expected}; the day's row in project_daily has {found}",
        _DAY,
        f"""
SELECT l.project_id, 'day ' || l.day AS what, {barred("l.{}", FLOWS)} AS expected,
    CASE WHEN d.day IS NULL THEN 'nothing: it is not there' ELSE {barred("d.{}", FLOWS)} END AS found
FROM (SELECT c.project_id, {{day}} AS day, count(*) AS changes,
        sum(CASE WHEN c.change IN ('added', 'restored') THEN 1 ELSE 0 END) AS batches_added,
        sum(CASE WHEN c.change = 'removed' THEN 1 ELSE 0 END) AS batches_removed,
        sum(CASE WHEN c.images_delta > 0 THEN c.images_delta ELSE 0 END) AS images_gained,
        -sum(CASE WHEN c.images_delta < 0 THEN c.images_delta ELSE 0 END) AS images_lost,
        sum(CASE WHEN c.num_jobs_delta > 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_gained,
        -sum(CASE WHEN c.num_jobs_delta < 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_lost
    FROM batch_changes c GROUP BY c.project_id, {{day}}) l
LEFT JOIN project_daily d ON d.project_id = l.project_id AND d.day = l.day
WHERE d.day IS NULL OR {any_of("d.{0} <> l.{0}", FLOWS)}""",
    ),
    "a day's totals are the sum of all days before": Rule(
        "the days until then add up to {expected}, the day's row in project_daily says {found}",
        _TOTALS,
        """
SELECT project_id, 'day ' || day AS what, sum_batches || '|' || sum_images || '|' || sum_jobs AS expected,
    batches || '|' || images || '|' || num_jobs AS found
FROM (SELECT d.*, sum(d.batches_added - d.batches_removed) OVER w AS sum_batches,
        sum(d.images_gained - d.images_lost) OVER w AS sum_images, sum(d.jobs_gained - d.jobs_lost) OVER w AS sum_jobs
    FROM project_daily d WINDOW w AS (PARTITION BY d.project_id ORDER BY d.day)) d
WHERE batches <> sum_batches OR images <> sum_images OR num_jobs <> sum_jobs""",
    ),
    "a day has changes": Rule(
        "the ledger has {expected} on it, the table project_daily has {found}",
        "{}",
        """
SELECT d.project_id, 'day ' || d.day AS what, 'no change' AS expected, 'a row of it' AS found
FROM project_daily d LEFT JOIN (SELECT DISTINCT c.project_id, {day} AS day FROM batch_changes c) l
    ON l.project_id = d.project_id AND l.day = d.day
WHERE l.day IS NULL""",
    ),
    OF_WORKSPACE: Rule(
        "its projects' days add up to {expected}; the day's row in workspace_daily has {found}",
        _DAY,
        f"""
SELECT (SELECT min(p.id) FROM projects p WHERE p.workspace = s.workspace) AS project_id,
    'day ' || day || ' of all of ' || workspace AS what, {barred("{}", FLOWS)} AS expected,
    {barred("w_{}", FLOWS)} AS found
FROM (SELECT workspace, day, {columns("sum({0}) AS {0}", FLOWS)}, {columns("sum(w_{0}) AS w_{0}", FLOWS)}
    FROM (SELECT p.workspace, d.day, {columns("d.{}", FLOWS)}, {columns("0 AS w_{}", FLOWS)}
        FROM project_daily d JOIN projects p ON p.id = d.project_id
        UNION ALL
        SELECT workspace, day, {columns("0", FLOWS)}, {columns("{}", FLOWS)} FROM workspace_daily) both_sides
    GROUP BY workspace, day) s
WHERE {any_of("{0} <> w_{0}", FLOWS)}""",
    ),
    "a labeler's day is the sum of what its changes moved": Rule(
        "the ledger of jobs has {expected}; the day's row in labeler_daily has {found}",
        _LABELER_DAY,
        _labeler_days(),
    ),
}
