"""Annotation jobs, the people who work on them, and their ledger.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rfsync.schema.types import UTCDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: Table, column, type, whether it has a value (then 0 at first), comment.
COLUMNS = [
    ("projects", "jobs", sa.BigInteger, True, "Kept by the sync: jobs now, without removed ones."),
    (
        "projects",
        "images_in_jobs",
        sa.BigInteger,
        True,
        "Kept by the sync: sum of num_images over the jobs that exist.",
    ),
    ("projects", "annotated", sa.BigInteger, True, "Kept by the sync: the sum over these jobs."),
    ("projects", "unannotated", sa.BigInteger, True, "Kept by the sync: the sum over these jobs."),
    ("projects", "approved", sa.BigInteger, True, "Kept by the sync: the sum over these jobs."),
    ("projects", "rejected", sa.BigInteger, True, "Kept by the sync: the sum over these jobs."),
    (
        "projects",
        "jobs_observed_at",
        UTCDateTime,
        False,
        "Kept by the sync: last observation that had the job list; NULL: none yet.",
    ),
    (
        "projects",
        "jobs_sent_us",
        sa.BigInteger,
        False,
        "Kept by the sync: as sent_us, of the request for the job list that was applied last.",
    ),
    ("projects", "jobs_etag", sa.Text, False, "Kept by the sync: as etag, of the job list."),
    ("projects", "jobs_fingerprint", sa.Text, False, "Kept by the sync: as fingerprint, of the job list."),
    ("projects", "jobs_listed", sa.BigInteger, False, "Kept by the sync: jobs in that answer."),
    (
        "projects",
        "jobs_missing_streak",
        sa.Integer,
        True,
        "Kept by the sync: how many job lists in a row were refused until now.",
    ),
    ("projects", "jobs_missing", sa.BigInteger, True, "Kept by the sync: its rows in missing_jobs."),
    (
        "projects",
        "jobs_recheck_from",
        UTCDateTime,
        False,
        "Kept by the sync: when the unlisted job that answered longest ago did; NULL: there is none.",
    ),
    (
        "projects",
        "jobs_error_kind",
        sa.Text,
        False,
        "Kept by the sync: why the job list was not applied when it was last asked for; NULL: it was.",
    ),
    (
        "projects",
        "jobs_asked_at",
        UTCDateTime,
        False,
        "Kept by the sync: when the key was told last that it may see no jobs; NULL: it was not.",
    ),
    ("projects", "jobs_key", sa.Text, False, "Kept by the sync: a digest of that key; NULL: there is none."),
    (
        "sync_runs",
        "jobs",
        sa.BigInteger,
        False,
        "Valid jobs in the answer, each counted once; NULL: no job list was applied.",
    ),
    ("sync_runs", "jobs_changed", sa.BigInteger, True, "Its rows in job_changes."),
    (
        "sync_runs",
        "jobs_error_kind",
        sa.Text,
        False,
        "Why the job list was not applied, as one word; NULL: it was, or was not asked for.",
    ),
    (
        "sync_runs",
        "jobs_error",
        sa.Text,
        False,
        "Why the job list was not applied or left something in doubt, for people; NULL: none of these.",
    ),
    ("project_observed", "jobs_am", sa.BigInteger, True, "As am, of the runs that had the job list."),
    ("project_observed", "jobs_pm", sa.BigInteger, True, "As pm, of the runs that had the job list."),
]

TABLES = {
    "sqlite": [
        """CREATE TABLE people (
    id INTEGER NOT NULL,
    address TEXT,
    digest TEXT NOT NULL,
    forgotten_at DATETIME,
    CONSTRAINT pk_people PRIMARY KEY (id),
    CONSTRAINT uq_people_digest UNIQUE (digest),
    CONSTRAINT ck_people_id CHECK (id > 0),
    CONSTRAINT ck_people_forgotten CHECK (address IS NULL OR forgotten_at IS NULL)
)""",
        """CREATE TABLE people_key (
    id INTEGER NOT NULL,
    secret TEXT NOT NULL,
    mode TEXT NOT NULL,
    CONSTRAINT pk_people_key PRIMARY KEY (id),
    CONSTRAINT ck_people_key_id CHECK (id = 1),
    CONSTRAINT ck_people_key_mode CHECK ("mode" IN ('address', 'pseudonym'))
)""",
        """CREATE TABLE jobs (
    project_id BIGINT NOT NULL,
    job_id TEXT NOT NULL,
    batch_id TEXT,
    name TEXT,
    status TEXT,
    labeler_id BIGINT,
    reviewer_id BIGINT,
    created_by TEXT,
    created_at DATETIME,
    num_images BIGINT NOT NULL,
    annotated BIGINT NOT NULL,
    unannotated BIGINT NOT NULL,
    approved BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    first_seen_at DATETIME NOT NULL,
    changed_at DATETIME NOT NULL,
    removed_at DATETIME,
    unlisted_at DATETIME,
    CONSTRAINT pk_jobs PRIMARY KEY (project_id, job_id),
    CONSTRAINT fk_jobs_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id),
    CONSTRAINT fk_jobs_labeler_id_people FOREIGN KEY(labeler_id) REFERENCES people (id),
    CONSTRAINT fk_jobs_reviewer_id_people FOREIGN KEY(reviewer_id) REFERENCES people (id),
    CONSTRAINT ck_jobs_num_images CHECK (num_images >= 0 AND num_images <= 9007199254740991),
    CONSTRAINT ck_jobs_num_images_whole CHECK (typeof(num_images) = 'integer'),
    CONSTRAINT ck_jobs_annotated CHECK (annotated >= 0 AND annotated <= 9007199254740991),
    CONSTRAINT ck_jobs_annotated_whole CHECK (typeof(annotated) = 'integer'),
    CONSTRAINT ck_jobs_unannotated CHECK (unannotated >= 0 AND unannotated <= 9007199254740991),
    CONSTRAINT ck_jobs_unannotated_whole CHECK (typeof(unannotated) = 'integer'),
    CONSTRAINT ck_jobs_approved CHECK (approved >= 0 AND approved <= 9007199254740991),
    CONSTRAINT ck_jobs_approved_whole CHECK (typeof(approved) = 'integer'),
    CONSTRAINT ck_jobs_rejected CHECK (rejected >= 0 AND rejected <= 9007199254740991),
    CONSTRAINT ck_jobs_rejected_whole CHECK (typeof(rejected) = 'integer'),
    CONSTRAINT ck_jobs_job_id CHECK (job_id <> ''),
    CONSTRAINT ck_jobs_changed_at CHECK (changed_at >= first_seen_at),
    CONSTRAINT ck_jobs_removed_at CHECK (removed_at IS NULL OR removed_at = changed_at)
)
 WITHOUT ROWID""",
        """CREATE INDEX ix_jobs_job_id ON jobs (job_id)""",
        """CREATE INDEX ix_jobs_removed ON jobs (project_id, job_id) WHERE removed_at IS NOT NULL""",
        """CREATE TABLE job_changes (
    id INTEGER NOT NULL,
    run_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    job_id TEXT NOT NULL,
    batch_id TEXT,
    observed_after DATETIME,
    observed_at DATETIME NOT NULL,
    change TEXT NOT NULL,
    status TEXT,
    labeler_id BIGINT,
    reviewer_id BIGINT,
    name TEXT,
    num_images BIGINT NOT NULL,
    annotated BIGINT NOT NULL,
    unannotated BIGINT NOT NULL,
    approved BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    num_images_delta BIGINT NOT NULL,
    annotated_delta BIGINT NOT NULL,
    unannotated_delta BIGINT NOT NULL,
    approved_delta BIGINT NOT NULL,
    rejected_delta BIGINT NOT NULL,
    CONSTRAINT pk_job_changes PRIMARY KEY (id),
    CONSTRAINT uq_job_changes_project_id_job_id_observed_at UNIQUE (project_id, job_id, observed_at),
    CONSTRAINT fk_job_changes_run_id_sync_runs FOREIGN KEY(run_id) REFERENCES sync_runs (id),
    CONSTRAINT fk_job_changes_project_id_job_id_jobs FOREIGN KEY(project_id, job_id) REFERENCES jobs (project_id, job_id),
    CONSTRAINT fk_job_changes_labeler_id_people FOREIGN KEY(labeler_id) REFERENCES people (id),
    CONSTRAINT fk_job_changes_reviewer_id_people FOREIGN KEY(reviewer_id) REFERENCES people (id),
    CONSTRAINT ck_job_changes_change CHECK ("change" IN ('added', 'changed', 'removed', 'restored')),
    CONSTRAINT ck_job_changes_num_images CHECK (num_images >= 0 AND num_images <= 9007199254740991),
    CONSTRAINT ck_job_changes_num_images_whole CHECK (typeof(num_images) = 'integer'),
    CONSTRAINT ck_job_changes_annotated CHECK (annotated >= 0 AND annotated <= 9007199254740991),
    CONSTRAINT ck_job_changes_annotated_whole CHECK (typeof(annotated) = 'integer'),
    CONSTRAINT ck_job_changes_unannotated CHECK (unannotated >= 0 AND unannotated <= 9007199254740991),
    CONSTRAINT ck_job_changes_unannotated_whole CHECK (typeof(unannotated) = 'integer'),
    CONSTRAINT ck_job_changes_approved CHECK (approved >= 0 AND approved <= 9007199254740991),
    CONSTRAINT ck_job_changes_approved_whole CHECK (typeof(approved) = 'integer'),
    CONSTRAINT ck_job_changes_rejected CHECK (rejected >= 0 AND rejected <= 9007199254740991),
    CONSTRAINT ck_job_changes_rejected_whole CHECK (typeof(rejected) = 'integer'),
    CONSTRAINT ck_job_changes_before CHECK (num_images >= num_images_delta AND annotated >= annotated_delta AND unannotated >= unannotated_delta AND approved >= approved_delta AND rejected >= rejected_delta),
    CONSTRAINT ck_job_changes_removed CHECK (change <> 'removed' OR (num_images = 0 AND annotated = 0 AND unannotated = 0 AND approved = 0 AND rejected = 0)),
    CONSTRAINT ck_job_changes_appeared CHECK (change NOT IN ('added', 'restored') OR (num_images = num_images_delta AND annotated = annotated_delta AND unannotated = unannotated_delta AND approved = approved_delta AND rejected = rejected_delta)),
    CONSTRAINT ck_job_changes_observed_after CHECK (observed_after < observed_at)
)""",
        """CREATE INDEX ix_job_changes_project_id_observed_at ON job_changes (project_id, observed_at)""",
        """CREATE INDEX ix_job_changes_run_id ON job_changes (run_id)""",
        """CREATE TABLE missing_jobs (
    project_id BIGINT NOT NULL,
    job_id TEXT NOT NULL,
    missing_at DATETIME NOT NULL,
    refusal INTEGER DEFAULT '0' NOT NULL,
    asked_at DATETIME,
    CONSTRAINT pk_missing_jobs PRIMARY KEY (project_id, job_id),
    CONSTRAINT ck_missing_jobs_refusal CHECK (refusal >= 0),
    CONSTRAINT fk_missing_jobs_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id)
)
 WITHOUT ROWID""",
        """CREATE TABLE labeler_daily (
    project_id BIGINT NOT NULL,
    day DATE NOT NULL,
    labeler_id BIGINT NOT NULL,
    jobs_opened BIGINT NOT NULL,
    images_assigned BIGINT NOT NULL,
    annotated_gained BIGINT NOT NULL,
    annotated_lost BIGINT NOT NULL,
    approved_gained BIGINT NOT NULL,
    approved_lost BIGINT NOT NULL,
    rejected_gained BIGINT NOT NULL,
    rejected_lost BIGINT NOT NULL,
    CONSTRAINT pk_labeler_daily PRIMARY KEY (project_id, day, labeler_id),
    CONSTRAINT ck_labeler_daily_jobs_opened CHECK (jobs_opened >= 0),
    CONSTRAINT ck_labeler_daily_jobs_opened_whole CHECK (typeof(jobs_opened) = 'integer'),
    CONSTRAINT ck_labeler_daily_images_assigned CHECK (images_assigned >= 0),
    CONSTRAINT ck_labeler_daily_images_assigned_whole CHECK (typeof(images_assigned) = 'integer'),
    CONSTRAINT ck_labeler_daily_annotated_gained CHECK (annotated_gained >= 0),
    CONSTRAINT ck_labeler_daily_annotated_gained_whole CHECK (typeof(annotated_gained) = 'integer'),
    CONSTRAINT ck_labeler_daily_annotated_lost CHECK (annotated_lost >= 0),
    CONSTRAINT ck_labeler_daily_annotated_lost_whole CHECK (typeof(annotated_lost) = 'integer'),
    CONSTRAINT ck_labeler_daily_approved_gained CHECK (approved_gained >= 0),
    CONSTRAINT ck_labeler_daily_approved_gained_whole CHECK (typeof(approved_gained) = 'integer'),
    CONSTRAINT ck_labeler_daily_approved_lost CHECK (approved_lost >= 0),
    CONSTRAINT ck_labeler_daily_approved_lost_whole CHECK (typeof(approved_lost) = 'integer'),
    CONSTRAINT ck_labeler_daily_rejected_gained CHECK (rejected_gained >= 0),
    CONSTRAINT ck_labeler_daily_rejected_gained_whole CHECK (typeof(rejected_gained) = 'integer'),
    CONSTRAINT ck_labeler_daily_rejected_lost CHECK (rejected_lost >= 0),
    CONSTRAINT ck_labeler_daily_rejected_lost_whole CHECK (typeof(rejected_lost) = 'integer'),
    CONSTRAINT fk_labeler_daily_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id)
)
 WITHOUT ROWID""",
    ],
    "postgresql": [
        """CREATE TABLE people (
    id BIGSERIAL NOT NULL,
    address TEXT,
    digest TEXT NOT NULL,
    forgotten_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_people PRIMARY KEY (id),
    CONSTRAINT uq_people_digest UNIQUE (digest),
    CONSTRAINT ck_people_id CHECK (id > 0),
    CONSTRAINT ck_people_forgotten CHECK (address IS NULL OR forgotten_at IS NULL)
)""",
        """CREATE TABLE people_key (
    id INTEGER NOT NULL,
    secret TEXT NOT NULL,
    mode TEXT NOT NULL,
    CONSTRAINT pk_people_key PRIMARY KEY (id),
    CONSTRAINT ck_people_key_id CHECK (id = 1),
    CONSTRAINT ck_people_key_mode CHECK ("mode" IN ('address', 'pseudonym'))
)""",
        """CREATE TABLE jobs (
    project_id BIGINT NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    batch_id TEXT COLLATE "C",
    name TEXT,
    status TEXT,
    labeler_id BIGINT,
    reviewer_id BIGINT,
    created_by TEXT,
    created_at TIMESTAMP WITH TIME ZONE,
    num_images BIGINT NOT NULL,
    annotated BIGINT NOT NULL,
    unannotated BIGINT NOT NULL,
    approved BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    removed_at TIMESTAMP WITH TIME ZONE,
    unlisted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_jobs PRIMARY KEY (project_id, job_id),
    CONSTRAINT fk_jobs_labeler_id_people FOREIGN KEY(labeler_id) REFERENCES people (id),
    CONSTRAINT fk_jobs_reviewer_id_people FOREIGN KEY(reviewer_id) REFERENCES people (id),
    CONSTRAINT ck_jobs_num_images CHECK (num_images >= 0 AND num_images <= 9007199254740991),
    CONSTRAINT ck_jobs_annotated CHECK (annotated >= 0 AND annotated <= 9007199254740991),
    CONSTRAINT ck_jobs_unannotated CHECK (unannotated >= 0 AND unannotated <= 9007199254740991),
    CONSTRAINT ck_jobs_approved CHECK (approved >= 0 AND approved <= 9007199254740991),
    CONSTRAINT ck_jobs_rejected CHECK (rejected >= 0 AND rejected <= 9007199254740991),
    CONSTRAINT ck_jobs_job_id CHECK (job_id <> ''),
    CONSTRAINT ck_jobs_changed_at CHECK (changed_at >= first_seen_at),
    CONSTRAINT ck_jobs_removed_at CHECK (removed_at IS NULL OR removed_at = changed_at)
)""",
        """CREATE INDEX ix_jobs_job_id ON jobs (job_id)""",
        """CREATE INDEX ix_jobs_removed ON jobs (project_id, job_id) WHERE removed_at IS NOT NULL""",
        """CREATE TABLE job_changes (
    id BIGSERIAL NOT NULL,
    run_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    batch_id TEXT COLLATE "C",
    observed_after TIMESTAMP WITH TIME ZONE,
    observed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    change TEXT NOT NULL,
    status TEXT,
    labeler_id BIGINT,
    reviewer_id BIGINT,
    name TEXT,
    num_images BIGINT NOT NULL,
    annotated BIGINT NOT NULL,
    unannotated BIGINT NOT NULL,
    approved BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    num_images_delta BIGINT NOT NULL,
    annotated_delta BIGINT NOT NULL,
    unannotated_delta BIGINT NOT NULL,
    approved_delta BIGINT NOT NULL,
    rejected_delta BIGINT NOT NULL,
    CONSTRAINT pk_job_changes PRIMARY KEY (id),
    CONSTRAINT uq_job_changes_project_id_job_id_observed_at UNIQUE (project_id, job_id, observed_at),
    CONSTRAINT fk_job_changes_labeler_id_people FOREIGN KEY(labeler_id) REFERENCES people (id),
    CONSTRAINT fk_job_changes_reviewer_id_people FOREIGN KEY(reviewer_id) REFERENCES people (id),
    CONSTRAINT ck_job_changes_change CHECK ("change" IN ('added', 'changed', 'removed', 'restored')),
    CONSTRAINT ck_job_changes_num_images CHECK (num_images >= 0 AND num_images <= 9007199254740991),
    CONSTRAINT ck_job_changes_annotated CHECK (annotated >= 0 AND annotated <= 9007199254740991),
    CONSTRAINT ck_job_changes_unannotated CHECK (unannotated >= 0 AND unannotated <= 9007199254740991),
    CONSTRAINT ck_job_changes_approved CHECK (approved >= 0 AND approved <= 9007199254740991),
    CONSTRAINT ck_job_changes_rejected CHECK (rejected >= 0 AND rejected <= 9007199254740991),
    CONSTRAINT ck_job_changes_before CHECK (num_images >= num_images_delta AND annotated >= annotated_delta AND unannotated >= unannotated_delta AND approved >= approved_delta AND rejected >= rejected_delta),
    CONSTRAINT ck_job_changes_removed CHECK (change <> 'removed' OR (num_images = 0 AND annotated = 0 AND unannotated = 0 AND approved = 0 AND rejected = 0)),
    CONSTRAINT ck_job_changes_appeared CHECK (change NOT IN ('added', 'restored') OR (num_images = num_images_delta AND annotated = annotated_delta AND unannotated = unannotated_delta AND approved = approved_delta AND rejected = rejected_delta)),
    CONSTRAINT ck_job_changes_observed_after CHECK (observed_after < observed_at)
)""",
        """CREATE INDEX ix_job_changes_project_id_observed_at ON job_changes (project_id, observed_at)""",
        """CREATE TABLE missing_jobs (
    project_id BIGINT NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    missing_at TIMESTAMP WITH TIME ZONE NOT NULL,
    refusal INTEGER DEFAULT '0' NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_missing_jobs PRIMARY KEY (project_id, job_id),
    CONSTRAINT ck_missing_jobs_refusal CHECK (refusal >= 0),
    CONSTRAINT fk_missing_jobs_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id)
)""",
        """CREATE TABLE labeler_daily (
    project_id BIGINT NOT NULL,
    day DATE NOT NULL,
    labeler_id BIGINT NOT NULL,
    jobs_opened BIGINT NOT NULL,
    images_assigned BIGINT NOT NULL,
    annotated_gained BIGINT NOT NULL,
    annotated_lost BIGINT NOT NULL,
    approved_gained BIGINT NOT NULL,
    approved_lost BIGINT NOT NULL,
    rejected_gained BIGINT NOT NULL,
    rejected_lost BIGINT NOT NULL,
    CONSTRAINT pk_labeler_daily PRIMARY KEY (project_id, day, labeler_id),
    CONSTRAINT ck_labeler_daily_jobs_opened CHECK (jobs_opened >= 0),
    CONSTRAINT ck_labeler_daily_images_assigned CHECK (images_assigned >= 0),
    CONSTRAINT ck_labeler_daily_annotated_gained CHECK (annotated_gained >= 0),
    CONSTRAINT ck_labeler_daily_annotated_lost CHECK (annotated_lost >= 0),
    CONSTRAINT ck_labeler_daily_approved_gained CHECK (approved_gained >= 0),
    CONSTRAINT ck_labeler_daily_approved_lost CHECK (approved_lost >= 0),
    CONSTRAINT ck_labeler_daily_rejected_gained CHECK (rejected_gained >= 0),
    CONSTRAINT ck_labeler_daily_rejected_lost CHECK (rejected_lost >= 0),
    CONSTRAINT fk_labeler_daily_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id)
)""",
    ],
}

VIEWS = {
    "current_jobs": (
        "A job that exists now.",
        """SELECT p.workspace, p.project, j.job_id, j.batch_id, j.name, j.status,
       CASE WHEN l.id IS NOT NULL THEN coalesce(l.address, 'person-' || l.id) END AS labeler, CASE WHEN r.id IS NOT NULL THEN coalesce(r.address, 'person-' || r.id) END AS reviewer,
       j.num_images, j.annotated, j.unannotated, j.approved, j.rejected, j.created_at, j.first_seen_at, j.changed_at
FROM jobs j JOIN projects p ON p.id = j.project_id
LEFT JOIN people l ON l.id = j.labeler_id LEFT JOIN people r ON r.id = j.reviewer_id
WHERE j.removed_at IS NULL""",
    ),
    "job_history": (
        "One version of one job, valid from valid_from until before valid_to (NULL: still).",
        """SELECT p.workspace, p.project, c.job_id, c.batch_id, c.observed_at AS valid_from,
       (SELECT min(n.observed_at) FROM job_changes n
        WHERE n.project_id = c.project_id AND n.job_id = c.job_id AND n.observed_at > c.observed_at) AS valid_to,
       c.name, c.status, CASE WHEN l.id IS NOT NULL THEN coalesce(l.address, 'person-' || l.id) END AS labeler, CASE WHEN r.id IS NOT NULL THEN coalesce(r.address, 'person-' || r.id) END AS reviewer,
       c.num_images, c.annotated, c.unannotated, c.approved, c.rejected, c.change
FROM job_changes c JOIN projects p ON p.id = c.project_id
LEFT JOIN people l ON l.id = c.labeler_id LEFT JOIN people r ON r.id = c.reviewer_id
WHERE c.change <> 'removed'""",
    ),
    "job_log": (
        "A row of the ledger of jobs.",
        """SELECT p.workspace, p.project, c.id, c.run_id, c.project_id, c.job_id, c.batch_id, c.observed_after,
       c.observed_at, c.change, c.status, c.labeler_id, c.reviewer_id, c.name,
       c.num_images, c.annotated, c.unannotated, c.approved, c.rejected,
       c.num_images_delta, c.annotated_delta, c.unannotated_delta, c.approved_delta, c.rejected_delta,
       CASE WHEN l.id IS NOT NULL THEN coalesce(l.address, 'person-' || l.id) END AS labeler, CASE WHEN r.id IS NOT NULL THEN coalesce(r.address, 'person-' || r.id) END AS reviewer
FROM job_changes c JOIN projects p ON p.id = c.project_id
LEFT JOIN people l ON l.id = c.labeler_id LEFT JOIN people r ON r.id = c.reviewer_id""",
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
        """SELECT p.workspace, p.project, d.project_id, d.day, d.labeler_id,
       CASE WHEN l.id IS NOT NULL THEN coalesce(l.address, 'person-' || l.id) END AS labeler,
       d.jobs_opened, d.images_assigned, d.annotated_gained, d.annotated_lost, d.approved_gained, d.approved_lost,
       d.rejected_gained, d.rejected_lost
FROM labeler_daily d JOIN projects p ON p.id = d.project_id LEFT JOIN people l ON l.id = d.labeler_id""",
    ),
}

#: PostgreSQL's references.
TRIGGERS = [
    """CREATE FUNCTION jobs_require_projects() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT count(*) > 0 FROM (SELECT DISTINCT project_id FROM new_rows) n WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE (p.id) = (n.project_id) FOR KEY SHARE)' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = 'jobs', CONSTRAINT = 'jobs_require_projects',
            MESSAGE = 'a row of jobs has no row of projects: constraint jobs_require_projects';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER jobs_require_projects_insert AFTER insert ON jobs REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION jobs_require_projects()""",
    """CREATE TRIGGER jobs_require_projects_update AFTER update ON jobs REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION jobs_require_projects()""",
    """CREATE FUNCTION job_changes_require_sync_runs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT count(*) > 0 FROM (SELECT DISTINCT run_id FROM new_rows) n WHERE NOT EXISTS (SELECT 1 FROM sync_runs p WHERE (p.id) = (n.run_id) FOR KEY SHARE)' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = 'job_changes', CONSTRAINT = 'job_changes_require_sync_runs',
            MESSAGE = 'a row of job_changes has no row of sync_runs: constraint job_changes_require_sync_runs';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER job_changes_require_sync_runs_insert AFTER insert ON job_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION job_changes_require_sync_runs()""",
    """CREATE TRIGGER job_changes_require_sync_runs_update AFTER update ON job_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION job_changes_require_sync_runs()""",
    """CREATE FUNCTION job_changes_require_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT count(*) > 0 FROM new_rows n WHERE NOT EXISTS (SELECT 1 FROM jobs p WHERE (p.project_id, p.job_id) = (n.project_id, n.job_id))' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = 'job_changes', CONSTRAINT = 'job_changes_require_jobs',
            MESSAGE = 'a row of job_changes has no row of jobs: constraint job_changes_require_jobs';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER job_changes_require_jobs_insert AFTER insert ON job_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION job_changes_require_jobs()""",
    """CREATE TRIGGER job_changes_require_jobs_update AFTER update ON job_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION job_changes_require_jobs()""",
    """CREATE FUNCTION projects_keep_for_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM jobs n WHERE n.project_id = OLD.id) THEN
        RAISE foreign_key_violation USING TABLE = 'projects', CONSTRAINT = 'projects_keep_for_jobs',
            MESSAGE = 'a row of projects is needed by rows of jobs: constraint projects_keep_for_jobs';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER projects_keep_for_jobs_delete AFTER DELETE ON projects FOR EACH ROW
WHEN (true) EXECUTE FUNCTION projects_keep_for_jobs()""",
    """CREATE TRIGGER projects_keep_for_jobs_update AFTER UPDATE OF id ON projects FOR EACH ROW
WHEN ((OLD.id <> NEW.id) AND true)
EXECUTE FUNCTION projects_keep_for_jobs()""",
    """CREATE FUNCTION sync_runs_keep_for_job_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM job_changes n WHERE n.run_id = OLD.id) THEN
        RAISE foreign_key_violation USING TABLE = 'sync_runs', CONSTRAINT = 'sync_runs_keep_for_job_changes',
            MESSAGE = 'a row of sync_runs is needed by rows of job_changes: constraint sync_runs_keep_for_job_changes';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER sync_runs_keep_for_job_changes_delete AFTER DELETE ON sync_runs FOR EACH ROW
WHEN (OLD.outcome = 'changed') EXECUTE FUNCTION sync_runs_keep_for_job_changes()""",
    """CREATE TRIGGER sync_runs_keep_for_job_changes_update AFTER UPDATE OF id ON sync_runs FOR EACH ROW
WHEN ((OLD.id <> NEW.id) AND OLD.outcome = 'changed')
EXECUTE FUNCTION sync_runs_keep_for_job_changes()""",
    """CREATE FUNCTION jobs_keep_for_job_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM job_changes n WHERE n.project_id = OLD.project_id AND n.job_id = OLD.job_id) THEN
        RAISE foreign_key_violation USING TABLE = 'jobs', CONSTRAINT = 'jobs_keep_for_job_changes',
            MESSAGE = 'a row of jobs is needed by rows of job_changes: constraint jobs_keep_for_job_changes';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER jobs_keep_for_job_changes_delete AFTER DELETE ON jobs FOR EACH ROW
WHEN (true) EXECUTE FUNCTION jobs_keep_for_job_changes()""",
    """CREATE TRIGGER jobs_keep_for_job_changes_update AFTER UPDATE OF project_id, job_id ON jobs FOR EACH ROW
WHEN ((OLD.project_id <> NEW.project_id OR OLD.job_id <> NEW.job_id) AND true)
EXECUTE FUNCTION jobs_keep_for_job_changes()""",
]

#: Table -> (comment, column -> comment).
COMMENTS = {
    "people": (
        "A labeler or a reviewer, once for the whole database; all else refers to the number.",
        {
            "id": "Number of the person in this database, shown as person-N without address.",
            "address": "Mail address as first seen; NULL: a pseudonym, or forgotten.",
            "digest": "Kept by the sync: the address in lower case, by HMAC-SHA256 with the key in people_key; tells that a person is the same.",
            "forgotten_at": "Kept by the sync: since when the address is never stored again; NULL: it may be.",
        },
    ),
    "people_key": (
        "Kept by the sync: the key of the digests of people, one row.",
        {
            "id": "Always 1.",
            "secret": "Kept by the sync: 32 random bytes in hexadecimal.",
            "mode": "Kept by the sync: [jobs] people as the last sync had it.",
        },
    ),
    "jobs": (
        "The last known state of every job ever seen.",
        {
            "project_id": "The project.",
            "job_id": "Roboflow's id of the job, opaque.",
            "batch_id": "Batch that its images are from, which need not be known; NULL: not said.",
            "name": "Name for people; NULL: never reported.",
            "status": "The API's word for it; NULL: never reported.",
            "labeler_id": "Who labels; NULL: nobody.",
            "reviewer_id": "Who reviews; NULL: nobody.",
            "created_by": "API, a user's id, or person-N; NULL: never reported.",
            "created_at": "When it was made, by the API's word; NULL: never reported.",
            "num_images": "Images in the job.",
            "annotated": "Images annotated.",
            "unannotated": "Images not annotated.",
            "approved": "Images approved.",
            "rejected": "Images rejected.",
            "first_seen_at": "Observation that showed it first.",
            "changed_at": "Observation of its last change, removal included.",
            "removed_at": "Observation that lacked it; NULL: it exists.",
            "unlisted_at": "Since when it is not listed, though it answers by its id; NULL: it is listed, or removed.",
        },
    ),
    "job_changes": (
        "The ledger of jobs: every change of every job, appended and never altered.",
        {
            "id": "Number of the change, rising.",
            "run_id": "The run that saw it.",
            "project_id": "The project.",
            "job_id": "The job.",
            "batch_id": "Batch that its images are from, after the change; NULL: not said.",
            "observed_after": "The last observation before that had the job list; NULL: there was none. The change happened in between.",
            "observed_at": "When the request for the batch list of that observation was sent.",
            "change": "added, changed, removed or restored.",
            "status": "After the change; NULL: never reported.",
            "labeler_id": "After the change; NULL: nobody.",
            "reviewer_id": "After the change; NULL: nobody.",
            "name": "After the change; NULL: never reported.",
            "num_images": "Images in the job.",
            "annotated": "Images annotated.",
            "unannotated": "Images not annotated.",
            "approved": "Images approved.",
            "rejected": "Images rejected.",
            "num_images_delta": "The sum over a job is its count now, 0 once removed.",
            "annotated_delta": "The sum over a job is its count now, 0 once removed.",
            "unannotated_delta": "The sum over a job is its count now, 0 once removed.",
            "approved_delta": "The sum over a job is its count now, 0 once removed.",
            "rejected_delta": "The sum over a job is its count now, 0 once removed.",
        },
    ),
    "missing_jobs": (
        "Kept by the sync: jobs that the last job list lacked.",
        {
            "project_id": "The project.",
            "job_id": "The job.",
            "missing_at": "Observation that lacked it first, applied or refused.",
            "refusal": "Which of the refused job lists in a row lacked it first, from 1; 0: it was an applied one.",
            "asked_at": "When an unlisted one last answered by its id, and any other was last asked for; NULL: never.",
        },
    ),
    "labeler_daily": (
        "A day on which something moved in the jobs of a labeler.",
        {
            "project_id": "The project.",
            "day": "Day in UTC.",
            "labeler_id": "Of people; 0: nobody.",
            "jobs_opened": "Jobs added, or given to this labeler.",
            "images_assigned": "Images in those, and images by which others grew.",
            "annotated_gained": "Sum of the positive deltas of annotated, for the labeler after.",
            "annotated_lost": "Sum of the negative ones, as a positive number, for the one before.",
            "approved_gained": "Sum of the positive deltas of approved, for the labeler after.",
            "approved_lost": "Sum of the negative ones, as a positive number, for the one before.",
            "rejected_gained": "Sum of the positive deltas of rejected, for the labeler after.",
            "rejected_lost": "Sum of the negative ones, as a positive number, for the one before.",
        },
    ),
}


# deploy/postgres/reader.sql has given its role the right to read every table that is new.
READERS = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rfsync_reader') THEN
        REVOKE ALL ON people, people_key FROM rfsync_reader;
        GRANT SELECT (id, address, forgotten_at) ON people TO rfsync_reader;
        GRANT SELECT (id, mode) ON people_key TO rfsync_reader;
    END IF;
END $$"""


def upgrade() -> None:
    """Adds only; a database without jobs has what it had."""
    dialect = op.get_bind().dialect.name
    for table, column, type_, has_value, comment in COLUMNS:
        default = "0" if has_value else None
        op.add_column(table, sa.Column(column, type_, nullable=not has_value, server_default=default, comment=comment))
    for statement in TABLES[dialect]:
        op.execute(sa.text(statement.replace(":", r"\:")))
    for name, (_, select) in VIEWS.items():
        op.execute(sa.text(f"CREATE VIEW {name} AS\n{select}"))
    if dialect == "postgresql":
        for statement in TRIGGERS:
            op.execute(statement.replace(":", r"\:"))
        op.execute(READERS)
        _comment()


def _comment() -> None:
    for table, (comment, columns) in COMMENTS.items():
        op.create_table_comment(table, comment)
        for column, text in columns.items():
            op.execute(f"COMMENT ON COLUMN {table}.{column} IS {_quoted(text)}")
    for name, (comment, _) in VIEWS.items():
        op.execute(f"COMMENT ON VIEW {name} IS {_quoted(comment)}")
    op.execute("COMMENT ON COLUMN sync_runs.rejected IS 'Records that broke the rules, of both lists.'")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''").replace(":", r"\:") + "'"
