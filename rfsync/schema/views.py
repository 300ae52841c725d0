"""The views: the stable face of the database for SQL reports and dashboards. The same SQL serves both databases."""

from typing import Final

#: How a row of people, joined under the name {0}, is shown.
PERSON: Final = "CASE WHEN {0}.id IS NOT NULL THEN coalesce({0}.address, 'person-' || {0}.id) END"


def _with_people(select: str) -> str:
    """The SELECT with the columns ``{labeler}`` and ``{reviewer}``, from rows of people joined as ``l`` and ``r``."""
    return select.format(labeler=f"{PERSON.format('l')} AS labeler", reviewer=f"{PERSON.format('r')} AS reviewer")


#: Name -> (what a row is, SELECT).
VIEWS: Final[dict[str, tuple[str, str]]] = {
    "current_batches": (
        "A batch that exists now.",
        """SELECT p.workspace, p.project, b.batch_id, b.name, b.uploaded_at, b.images, b.num_jobs,
       b.first_seen_at, b.changed_at
FROM batches b JOIN projects p ON p.id = b.project_id
WHERE b.removed_at IS NULL""",
    ),
    "batch_history": (
        "One version of one batch, valid from valid_from until before valid_to (NULL: still).",
        """SELECT p.workspace, p.project, c.batch_id, c.observed_at AS valid_from,
       (SELECT min(n.observed_at) FROM batch_changes n
        WHERE n.project_id = c.project_id AND n.batch_id = c.batch_id AND n.observed_at > c.observed_at) AS valid_to,
       c.name, c.images, c.num_jobs, c.change
FROM batch_changes c JOIN projects p ON p.id = c.project_id
WHERE c.change <> 'removed'""",
    ),
    "change_log": (
        "A ledger row.",
        """SELECT p.workspace, p.project, c.id, c.run_id, c.project_id, c.batch_id, c.observed_after, c.observed_at,
       c.change, c.images, c.num_jobs, c.images_delta, c.num_jobs_delta, c.name
FROM batch_changes c JOIN projects p ON p.id = c.project_id""",
    ),
    "project_totals_daily": (
        "A day of a project on which something changed.",
        """SELECT p.workspace, p.project, d.project_id, d.day, d.changes, d.batches_added, d.batches_removed,
       d.images_gained, d.images_lost, d.jobs_gained, d.jobs_lost, d.batches, d.images, d.num_jobs
FROM project_daily d JOIN projects p ON p.id = d.project_id""",
    ),
    "current_jobs": (
        "A job that exists now.",
        _with_people(
            """SELECT p.workspace, p.project, j.job_id, j.batch_id, j.name, j.status,
       {labeler}, {reviewer},
       j.num_images, j.annotated, j.unannotated, j.approved, j.rejected, j.created_at, j.first_seen_at, j.changed_at
FROM jobs j JOIN projects p ON p.id = j.project_id
LEFT JOIN people l ON l.id = j.labeler_id LEFT JOIN people r ON r.id = j.reviewer_id
WHERE j.removed_at IS NULL"""
        ),
    ),
    "job_history": (
        "One version of one job, valid from valid_from until before valid_to (NULL: still).",
        _with_people(
            """SELECT p.workspace, p.project, c.job_id, c.batch_id, c.observed_at AS valid_from,
       (SELECT min(n.observed_at) FROM job_changes n
        WHERE n.project_id = c.project_id AND n.job_id = c.job_id AND n.observed_at > c.observed_at) AS valid_to,
       c.name, c.status, {labeler}, {reviewer},
       c.num_images, c.annotated, c.unannotated, c.approved, c.rejected, c.change
FROM job_changes c JOIN projects p ON p.id = c.project_id
LEFT JOIN people l ON l.id = c.labeler_id LEFT JOIN people r ON r.id = c.reviewer_id
WHERE c.change <> 'removed'"""
        ),
    ),
    "job_log": (
        "A row of the ledger of jobs.",
        _with_people(
            """SELECT p.workspace, p.project, c.id, c.run_id, c.project_id, c.job_id, c.batch_id, c.observed_after,
       c.observed_at, c.change, c.status, c.labeler_id, c.reviewer_id, c.name,
       c.num_images, c.annotated, c.unannotated, c.approved, c.rejected,
       c.num_images_delta, c.annotated_delta, c.unannotated_delta, c.approved_delta, c.rejected_delta,
       {labeler}, {reviewer}
FROM job_changes c JOIN projects p ON p.id = c.project_id
LEFT JOIN people l ON l.id = c.labeler_id LEFT JOIN people r ON r.id = c.reviewer_id"""
        ),
    ),
    "batch_progress": (
        "A batch that exists now, or that a job names that does (NULL: jobs that name none): where its images are.",
        """SELECT p.workspace, p.project, s.batch_id, b.name, s.images, s.in_jobs, s.annotated, s.approved, s.rejected,
       s.images + s.in_jobs AS total
FROM (
    SELECT project_id, batch_id, sum(images) AS images, sum(in_jobs) AS in_jobs, sum(annotated) AS annotated,
           sum(approved) AS approved, sum(rejected) AS rejected
    FROM (
        SELECT project_id, batch_id, images, 0 AS in_jobs, 0 AS annotated, 0 AS approved, 0 AS rejected
        FROM batches WHERE removed_at IS NULL
        UNION ALL
        SELECT project_id, batch_id, 0, num_images, annotated, approved, rejected FROM jobs WHERE removed_at IS NULL
    ) u GROUP BY project_id, batch_id
) s JOIN projects p ON p.id = s.project_id
LEFT JOIN batches b ON b.project_id = s.project_id AND b.batch_id = s.batch_id""",
    ),
    "labeler_totals_daily": (
        "A day on which something moved in the jobs of a labeler.",
        _with_people(
            """SELECT p.workspace, p.project, d.project_id, d.day, d.labeler_id,
       {labeler},
       d.jobs_opened, d.images_assigned, d.annotated_gained, d.annotated_lost, d.approved_gained, d.approved_lost,
       d.rejected_gained, d.rejected_lost
FROM labeler_daily d JOIN projects p ON p.id = d.project_id LEFT JOIN people l ON l.id = d.labeler_id"""
        ),
    ),
    # All ids are above 0: it is said for SQLite, which would else look through all runs for one that went wrong.
    "sync_health": (
        "A project that has not departed, and how its runs have gone; runs still going on are left out.",
        """SELECT p.workspace, p.project, last.started_at AS last_run_at, last.outcome AS last_outcome,
       success.started_at AS last_success_at,
       (SELECT count(*) FROM sync_runs r WHERE r.project_id = p.id AND r.id > coalesce(success.id, 0)
        AND r.outcome IN ('failed', 'refused', 'abandoned')) AS consecutive_failures,
       bad.error_kind AS last_error_kind, bad.error AS last_error
FROM projects p
LEFT JOIN sync_runs last ON last.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.outcome <> 'running')
LEFT JOIN sync_runs success ON success.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.outcome IN ('changed', 'unchanged', 'superseded'))
LEFT JOIN sync_runs bad ON bad.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.id > 0 AND r.outcome IN ('failed', 'refused', 'abandoned'))
WHERE p.departed_at IS NULL""",
    ),
}


def create_view_statements() -> list[str]:
    """``CREATE VIEW`` for each view."""
    return [f"CREATE VIEW {name} AS\n{select}" for name, (_, select) in VIEWS.items()]


def comment_view_statements() -> list[str]:
    """``COMMENT ON VIEW`` for each view; PostgreSQL only."""
    return [f"COMMENT ON VIEW {name} IS '{comment}'" for name, (comment, _) in VIEWS.items()]
