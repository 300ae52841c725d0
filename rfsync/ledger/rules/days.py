"""The rules of the sums over time: of projects, of workspaces, and of labelers."""

from collections.abc import Sequence
from typing import Final

from rfsync.ledger.flows import BATCH_FLOWS, QUARTER_HOUR_FLOWS, quarter_hours, work_flows, work_rows
from rfsync.ledger.rules.rule import Rule, any_of, barred, columns
from rfsync.schema.models import FLOWS, LABELER_FLOWS

_DAYS: Final = "a workspace's day is the sum of its projects' days"
_LABELERS: Final = "a labeler's day in a workspace is the sum of its projects' days"
_QUARTER_HOURS: Final = "a workspace's quarter of an hour is the sum of its changes"
#: The rules that are about a workspace, and not about the project that their findings name.
OF_WORKSPACE: Final = frozenset({_DAYS, _LABELERS, _QUARTER_HOURS})

_TOTALS: Final = "{} batches, {} images and {} jobs"
_DAY: Final = "{} changes: {} batches added, {} removed, {} images gained, {} lost, {} jobs gained, {} lost"
_LABELER_DAY: Final = (
    "{} jobs opened, {} images assigned, {} annotated and {} less, {} approved and {} less, {} rejected and {} less"
)


def _labeler_days() -> str:
    """The query for days of labelers that are not what the ledger of jobs says."""
    flows = work_flows()
    nothing = " AND ".join(f"{flow} = 0" for flow in LABELER_FLOWS)
    return f"""
SELECT project_id, 'day ' || day || {_of_labeler("labeler")} AS what,
    CASE WHEN {nothing} THEN 'nothing' ELSE {barred("{}", LABELER_FLOWS)} END AS expected,
    CASE rows_there WHEN 0 THEN 'nothing: it is not there' ELSE {barred("d_{}", LABELER_FLOWS)} END AS found
FROM (
    SELECT project_id, day, labeler, sum(is_row) AS rows_there, {columns("sum({0}) AS {0}", LABELER_FLOWS)},
        {columns("sum(d_{0}) AS d_{0}", LABELER_FLOWS)}
    FROM (
        SELECT c.project_id, {{day}} AS day, CASE is_after WHEN 1 THEN labeler_after ELSE labeler_before END AS labeler,
            0 AS is_row, {", ".join(f"{flows[flow]} AS {flow}" for flow in LABELER_FLOWS)},
            {columns("0 AS d_{}", LABELER_FLOWS)}
        {work_rows()}
        UNION ALL
        SELECT project_id, day, labeler_id, 1, {columns("0", LABELER_FLOWS)}, {columns("{}", LABELER_FLOWS)}
        FROM labeler_daily
    ) both_sides
    GROUP BY project_id, day, labeler
) s
WHERE {any_of("{0} <> d_{0}", LABELER_FLOWS)} OR (rows_there = 1 AND {nothing})"""


def _of_labeler(column: str) -> str:
    return f"' of ' || CASE {column} WHEN 0 THEN 'nobody' ELSE 'person-' || {column} END"


def _of_workspaces(what: str, projects: str, table: str, key: Sequence[str], flows: Sequence[str]) -> str:
    """The query for rows of workspaces that are not the sums over their projects.

    Args:
        what: SQL for what a row is about.
        projects: what there is of each project, a table or SELECT.
        table: with what there is of each workspace.
        key: columns of both that tell which rows belong together.
    """
    keys = ", ".join(key)
    return f"""
SELECT (SELECT min(p.id) FROM projects p WHERE p.workspace = s.workspace) AS project_id,
    {what} || ' of all of ' || workspace AS what, {barred("{}", flows)} AS expected, {barred("w_{}", flows)} AS found
FROM (SELECT workspace, {keys}, {columns("sum({0}) AS {0}", flows)}, {columns("sum(w_{0}) AS w_{0}", flows)}
    FROM (SELECT p.workspace, {columns("d.{}", key)}, {columns("d.{}", flows)}, {columns("0 AS w_{}", flows)}
        FROM {projects} d JOIN projects p ON p.id = d.project_id
        UNION ALL
        SELECT workspace, {keys}, {columns("0", flows)}, {columns("{}", flows)} FROM {table}) both_sides
    GROUP BY workspace, {keys}) s
WHERE {any_of("{0} <> w_{0}", flows)}"""


DAY_RULES: Final[dict[str, Rule]] = {
    "a day's sums are those of its changes": Rule(
        "the ledger has {expected}; the day's row in project_daily has {found}",
        _DAY,
        f"""
SELECT l.project_id, 'day ' || l.day AS what, {barred("l.{}", FLOWS)} AS expected,
    CASE WHEN d.day IS NULL THEN 'nothing: it is not there' ELSE {barred("d.{}", FLOWS)} END AS found
FROM (SELECT c.project_id, {{day}} AS day, {", ".join(f"sum({sql}) AS {flow}" for flow, sql in BATCH_FLOWS.items())}
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
    _DAYS: Rule(
        "its projects' days add up to {expected}; the day's row in workspace_daily has {found}",
        _DAY,
        _of_workspaces("'day ' || day", "project_daily", "workspace_daily", ("day",), FLOWS),
    ),
    "a labeler's day is the sum of what its changes moved": Rule(
        "the ledger of jobs has {expected}; the day's row in labeler_daily has {found}",
        _LABELER_DAY,
        _labeler_days(),
    ),
    _LABELERS: Rule(
        "the days of its projects add up to {expected}; the day's row in workspace_labeler_daily has {found}",
        _LABELER_DAY,
        _of_workspaces(
            f"'day ' || day || {_of_labeler('labeler_id')}",
            *("labeler_daily", "workspace_labeler_daily", ("day", "labeler_id"), LABELER_FLOWS),
        ),
    ),
    _QUARTER_HOURS: Rule(
        "the ledgers have {expected}; the quarter's row in workspace_quarter_hours has {found}",
        f"{_DAY}, {_LABELER_DAY}",
        _of_workspaces(
            "'quarter of an hour from ' || start",
            *(f"({quarter_hours()})", "workspace_quarter_hours", ("start",), QUARTER_HOUR_FLOWS),
        ),
    ),
}
