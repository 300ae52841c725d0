"""The first schema: projects, batches, the ledger, its days, the runs, and the views.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rfsync.schema.types import UTCDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# Frozen here: a later version of a view is a later migration's matter.
VIEWS = {
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
    "sync_health": (
        "A project, and how its runs have gone; runs still going on are left out.",
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
    WHERE r.project_id = p.id AND r.outcome IN ('failed', 'refused', 'abandoned'))""",
    ),
}

# What PostgreSQL has for the foreign keys of its two large tables.
POSTGRESQL_REFERENCES = (
    """CREATE FUNCTION batches_require_projects() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT EXISTS (SELECT FROM (SELECT DISTINCT project_id FROM new_rows) n WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE (p.id) = (n.project_id) FOR KEY SHARE))' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = 'batches', CONSTRAINT = 'batches_require_projects',
            MESSAGE = 'a row of batches has no row of projects: constraint batches_require_projects';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER batches_require_projects_insert AFTER insert ON batches REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION batches_require_projects()""",
    """CREATE TRIGGER batches_require_projects_update AFTER update ON batches REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION batches_require_projects()""",
    """CREATE FUNCTION batch_changes_require_sync_runs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT EXISTS (SELECT FROM (SELECT DISTINCT run_id FROM new_rows) n WHERE NOT EXISTS (SELECT 1 FROM sync_runs p WHERE (p.id) = (n.run_id) FOR KEY SHARE))' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = 'batch_changes', CONSTRAINT = 'batch_changes_require_sync_runs',
            MESSAGE = 'a row of batch_changes has no row of sync_runs: constraint batch_changes_require_sync_runs';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER batch_changes_require_sync_runs_insert AFTER insert ON batch_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION batch_changes_require_sync_runs()""",
    """CREATE TRIGGER batch_changes_require_sync_runs_update AFTER update ON batch_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION batch_changes_require_sync_runs()""",
    """CREATE FUNCTION batch_changes_require_batches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT EXISTS (SELECT FROM new_rows n WHERE NOT EXISTS (SELECT 1 FROM batches p WHERE (p.project_id, p.batch_id) = (n.project_id, n.batch_id)))' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = 'batch_changes', CONSTRAINT = 'batch_changes_require_batches',
            MESSAGE = 'a row of batch_changes has no row of batches: constraint batch_changes_require_batches';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER batch_changes_require_batches_insert AFTER insert ON batch_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION batch_changes_require_batches()""",
    """CREATE TRIGGER batch_changes_require_batches_update AFTER update ON batch_changes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION batch_changes_require_batches()""",
    """CREATE FUNCTION projects_keep_for_batches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batches n WHERE n.project_id = OLD.id) THEN
        RAISE foreign_key_violation USING TABLE = 'projects', CONSTRAINT = 'projects_keep_for_batches',
            MESSAGE = 'a row of projects is needed by rows of batches: constraint projects_keep_for_batches';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER projects_keep_for_batches_delete AFTER DELETE ON projects FOR EACH ROW
WHEN (true) EXECUTE FUNCTION projects_keep_for_batches()""",
    """CREATE TRIGGER projects_keep_for_batches_update AFTER UPDATE OF id ON projects FOR EACH ROW
WHEN ((OLD.id <> NEW.id) AND true)
EXECUTE FUNCTION projects_keep_for_batches()""",
    """CREATE FUNCTION sync_runs_keep_for_batch_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batch_changes n WHERE n.run_id = OLD.id) THEN
        RAISE foreign_key_violation USING TABLE = 'sync_runs', CONSTRAINT = 'sync_runs_keep_for_batch_changes',
            MESSAGE = 'a row of sync_runs is needed by rows of batch_changes: constraint sync_runs_keep_for_batch_changes';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER sync_runs_keep_for_batch_changes_delete AFTER DELETE ON sync_runs FOR EACH ROW
WHEN (OLD.outcome = 'changed') EXECUTE FUNCTION sync_runs_keep_for_batch_changes()""",
    """CREATE TRIGGER sync_runs_keep_for_batch_changes_update AFTER UPDATE OF id ON sync_runs FOR EACH ROW
WHEN ((OLD.id <> NEW.id) AND OLD.outcome = 'changed')
EXECUTE FUNCTION sync_runs_keep_for_batch_changes()""",
    """CREATE FUNCTION batches_keep_for_batch_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batch_changes n WHERE n.project_id = OLD.project_id AND n.batch_id = OLD.batch_id) THEN
        RAISE foreign_key_violation USING TABLE = 'batches', CONSTRAINT = 'batches_keep_for_batch_changes',
            MESSAGE = 'a row of batches is needed by rows of batch_changes: constraint batches_keep_for_batch_changes';
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER batches_keep_for_batch_changes_delete AFTER DELETE ON batches FOR EACH ROW
WHEN (true) EXECUTE FUNCTION batches_keep_for_batch_changes()""",
    """CREATE TRIGGER batches_keep_for_batch_changes_update AFTER UPDATE OF project_id, batch_id ON batches FOR EACH ROW
WHEN ((OLD.project_id <> NEW.project_id OR OLD.batch_id <> NEW.batch_id) AND true)
EXECUTE FUNCTION batches_keep_for_batch_changes()""",
)


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", ID, nullable=False, comment="Number of the project in this database."),
        sa.Column("workspace", KEY, nullable=False, comment="URL id of the workspace."),
        sa.Column("project", KEY, nullable=False, comment="URL id of the project within its workspace."),
        sa.Column(
            "name",
            sa.Text(),
            nullable=True,
            comment="Name for people, from the workspace's list; NULL: the project was never discovered.",
        ),
        sa.Column(
            "batches", sa.BigInteger(), server_default="0", nullable=False, comment="Batches now, without removed ones."
        ),
        sa.Column(
            "images",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Images now not yet in a job, all batches.",
        ),
        sa.Column(
            "num_jobs", sa.BigInteger(), server_default="0", nullable=False, comment="Annotation jobs now, all batches."
        ),
        sa.Column("observed_at", UTCDateTime(), nullable=True, comment="Last observation applied; NULL: none yet."),
        sa.Column(
            "written_at",
            UTCDateTime(),
            nullable=True,
            comment="Kept by the sync: latest instant in the ledger or above; nothing older is applied.",
        ),
        sa.Column(
            "etag",
            sa.Text(),
            nullable=True,
            comment="Kept by the sync: ETag of the last answer that was applied whole.",
        ),
        sa.Column(
            "fingerprint", sa.Text(), nullable=True, comment="Kept by the sync: SHA-256 of the body of that answer."
        ),
        sa.Column("listed", sa.BigInteger(), nullable=True, comment="Kept by the sync: batches in that answer."),
        sa.Column(
            "missing_digest",
            sa.Text(),
            nullable=True,
            comment="Kept by the sync: SHA-256 of the ids that refused observations lacked.",
        ),
        sa.Column(
            "missing_streak",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Kept by the sync: how many observations in a row lacked just those.",
        ),
        sa.CheckConstraint("typeof(batches) = 'integer'", name=op.f("ck_projects_batches_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(images) = 'integer'", name=op.f("ck_projects_images_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(num_jobs) = 'integer'", name=op.f("ck_projects_num_jobs_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("batches >= 0", name=op.f("ck_projects_batches")),
        sa.CheckConstraint("images >= 0", name=op.f("ck_projects_images")),
        sa.CheckConstraint("missing_streak >= 0", name=op.f("ck_projects_missing_streak")),
        sa.CheckConstraint("num_jobs >= 0", name=op.f("ck_projects_num_jobs")),
        sa.CheckConstraint("observed_at IS NULL OR written_at >= observed_at", name=op.f("ck_projects_written_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("workspace", "project", name=op.f("uq_projects_workspace_project")),
        comment="A project, its totals now, and what the sync keeps for itself.",
    )
    op.create_table(
        "batches",
        sa.Column("project_id", sa.BigInteger(), nullable=False, comment="The project."),
        sa.Column("batch_id", KEY, nullable=False, comment="Roboflow's id of the batch, opaque."),
        sa.Column("name", sa.Text(), nullable=True, comment="Name for people; NULL: never reported."),
        sa.Column(
            "uploaded_at",
            UTCDateTime(),
            nullable=True,
            comment="When it was uploaded, by the API's word; NULL: never reported.",
        ),
        sa.Column(
            "images",
            sa.BigInteger(),
            nullable=False,
            comment="Images not yet in a job; of a removed batch the last known.",
        ),
        sa.Column(
            "num_jobs", sa.BigInteger(), nullable=False, comment="Annotation jobs; of a removed batch the last known."
        ),
        sa.Column("first_seen_at", UTCDateTime(), nullable=False, comment="Observation that showed it first."),
        sa.Column(
            "changed_at", UTCDateTime(), nullable=False, comment="Observation of its last change, removal included."
        ),
        sa.Column("removed_at", UTCDateTime(), nullable=True, comment="Observation that lacked it; NULL: it exists."),
        sa.CheckConstraint("batch_id <> ''", name=op.f("ck_batches_batch_id")),
        sa.CheckConstraint("typeof(images) = 'integer'", name=op.f("ck_batches_images_whole")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("typeof(num_jobs) = 'integer'", name=op.f("ck_batches_num_jobs_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("changed_at >= first_seen_at", name=op.f("ck_batches_changed_at")),
        sa.CheckConstraint("images >= 0 AND images <= 9007199254740991", name=op.f("ck_batches_images")),
        sa.CheckConstraint("num_jobs >= 0 AND num_jobs <= 9007199254740991", name=op.f("ck_batches_num_jobs")),
        sa.CheckConstraint("removed_at IS NULL OR removed_at = changed_at", name=op.f("ck_batches_removed_at")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_batches_project_id_projects")).ddl_if(
            dialect="sqlite"
        ),
        sa.PrimaryKeyConstraint("project_id", "batch_id", name=op.f("pk_batches")),
        comment="The last known state of every batch ever seen.",
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_batches_removed",
        "batches",
        ["project_id", "batch_id"],
        unique=False,
        postgresql_where=sa.text("removed_at IS NOT NULL"),
        sqlite_where=sa.text("removed_at IS NOT NULL"),
    )

    op.create_table(
        "project_daily",
        sa.Column("project_id", sa.BigInteger(), nullable=False, comment="The project."),
        sa.Column("day", sa.Date(), nullable=False, comment="Day in UTC."),
        sa.Column("changes", sa.BigInteger(), nullable=False, comment="Ledger rows of the day."),
        sa.Column("batches_added", sa.BigInteger(), nullable=False, comment="Batches new or back again."),
        sa.Column("batches_removed", sa.BigInteger(), nullable=False, comment="Batches gone."),
        sa.Column("images_gained", sa.BigInteger(), nullable=False, comment="Sum of the positive image deltas."),
        sa.Column(
            "images_lost",
            sa.BigInteger(),
            nullable=False,
            comment="Sum of the negative image deltas, as a positive number.",
        ),
        sa.Column("jobs_gained", sa.BigInteger(), nullable=False, comment="Sum of the positive job deltas."),
        sa.Column(
            "jobs_lost",
            sa.BigInteger(),
            nullable=False,
            comment="Sum of the negative job deltas, as a positive number.",
        ),
        sa.Column("batches", sa.BigInteger(), nullable=False, comment="Batches after the day's last change."),
        sa.Column(
            "images", sa.BigInteger(), nullable=False, comment="Images not yet in a job after the day's last change."
        ),
        sa.Column("num_jobs", sa.BigInteger(), nullable=False, comment="Annotation jobs after the day's last change."),
        sa.CheckConstraint("typeof(batches) = 'integer'", name=op.f("ck_project_daily_batches_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "typeof(batches_added) = 'integer'", name=op.f("ck_project_daily_batches_added_whole")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "typeof(batches_removed) = 'integer'", name=op.f("ck_project_daily_batches_removed_whole")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("typeof(changes) = 'integer'", name=op.f("ck_project_daily_changes_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(images) = 'integer'", name=op.f("ck_project_daily_images_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "typeof(images_gained) = 'integer'", name=op.f("ck_project_daily_images_gained_whole")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("typeof(images_lost) = 'integer'", name=op.f("ck_project_daily_images_lost_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(jobs_gained) = 'integer'", name=op.f("ck_project_daily_jobs_gained_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(jobs_lost) = 'integer'", name=op.f("ck_project_daily_jobs_lost_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(num_jobs) = 'integer'", name=op.f("ck_project_daily_num_jobs_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("batches >= 0", name=op.f("ck_project_daily_batches")),
        sa.CheckConstraint("batches_added >= 0", name=op.f("ck_project_daily_batches_added")),
        sa.CheckConstraint("batches_removed >= 0", name=op.f("ck_project_daily_batches_removed")),
        sa.CheckConstraint("changes >= 0", name=op.f("ck_project_daily_changes")),
        sa.CheckConstraint("images >= 0", name=op.f("ck_project_daily_images")),
        sa.CheckConstraint("images_gained >= 0", name=op.f("ck_project_daily_images_gained")),
        sa.CheckConstraint("images_lost >= 0", name=op.f("ck_project_daily_images_lost")),
        sa.CheckConstraint("jobs_gained >= 0", name=op.f("ck_project_daily_jobs_gained")),
        sa.CheckConstraint("jobs_lost >= 0", name=op.f("ck_project_daily_jobs_lost")),
        sa.CheckConstraint("num_jobs >= 0", name=op.f("ck_project_daily_num_jobs")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_daily_project_id_projects")),
        sa.PrimaryKeyConstraint("project_id", "day", name=op.f("pk_project_daily")),
        comment="A day of a project on which something changed.",
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", ID, nullable=False, comment="Number of the run, rising with time."),
        sa.Column("project_id", sa.BigInteger(), nullable=False, comment="The project."),
        sa.Column("trigger", sa.Text(), nullable=False, comment="What started it: cli, schedule or worker."),
        sa.Column("started_at", UTCDateTime(), nullable=False, comment="By the clock of the machine that ran it."),
        sa.Column("finished_at", UTCDateTime(), nullable=True, comment="NULL: running, or killed and not yet found."),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=False,
            comment="running, changed, unchanged, superseded, refused, failed or abandoned.",
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="Tries of the list request."),
        sa.Column(
            "http_status",
            sa.Integer(),
            nullable=True,
            comment="Of the last answer to the list request; NULL: none came.",
        ),
        sa.Column(
            "response_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="Body of the list request's answer, decompressed; NULL: none came.",
        ),
        sa.Column(
            "batches",
            sa.BigInteger(),
            nullable=True,
            comment="Valid batches in the answer, each counted once; NULL: none came.",
        ),
        sa.Column("added", sa.BigInteger(), server_default="0", nullable=False, comment="Batches new."),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False, comment="Batches changed."),
        sa.Column("removed", sa.BigInteger(), server_default="0", nullable=False, comment="Batches gone."),
        sa.Column("restored", sa.BigInteger(), server_default="0", nullable=False, comment="Batches back again."),
        sa.Column(
            "rejected", sa.BigInteger(), server_default="0", nullable=False, comment="Records that broke the rules."
        ),
        sa.Column(
            "images_delta", sa.BigInteger(), server_default="0", nullable=False, comment="Sum over its ledger rows."
        ),
        sa.Column(
            "num_jobs_delta", sa.BigInteger(), server_default="0", nullable=False, comment="Sum over its ledger rows."
        ),
        sa.Column("error_kind", sa.Text(), nullable=True, comment="Why it failed, as one word; NULL: it did not."),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="Why it failed, was refused or left something in doubt, for people.",
        ),
        sa.CheckConstraint("(outcome = 'failed') = (error_kind IS NOT NULL)", name=op.f("ck_sync_runs_failed")),
        sa.CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name=op.f("ck_sync_runs_finished_at")),
        sa.CheckConstraint("typeof(added) = 'integer'", name=op.f("ck_sync_runs_added_whole")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("typeof(changed) = 'integer'", name=op.f("ck_sync_runs_changed_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(rejected) = 'integer'", name=op.f("ck_sync_runs_rejected_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(removed) = 'integer'", name=op.f("ck_sync_runs_removed_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(restored) = 'integer'", name=op.f("ck_sync_runs_restored_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "\"error_kind\" IN ('auth', 'not_found', 'rate_limited', 'request', 'server', 'network', 'timeout', 'bad_response', 'database')",
            name=op.f("ck_sync_runs_error_kind"),
        ),
        sa.CheckConstraint(
            "\"outcome\" IN ('running', 'changed', 'unchanged', 'superseded', 'refused', 'failed', 'abandoned')",
            name=op.f("ck_sync_runs_outcome"),
        ),
        sa.CheckConstraint("\"trigger\" IN ('cli', 'schedule', 'worker')", name=op.f("ck_sync_runs_trigger")),
        sa.CheckConstraint("added >= 0", name=op.f("ck_sync_runs_added")),
        sa.CheckConstraint("changed >= 0", name=op.f("ck_sync_runs_changed")),
        sa.CheckConstraint("rejected >= 0", name=op.f("ck_sync_runs_rejected")),
        sa.CheckConstraint("removed >= 0", name=op.f("ck_sync_runs_removed")),
        sa.CheckConstraint("restored >= 0", name=op.f("ck_sync_runs_restored")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_sync_runs_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_runs")),
        comment="One attempt to observe one project, successful or not.",
    )
    op.create_index("ix_sync_runs_project_id_id", "sync_runs", ["project_id", "id"], unique=False)
    op.create_index(
        "ix_sync_runs_running",
        "sync_runs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("outcome = 'running'"),
        sqlite_where=sa.text("outcome = 'running'"),
    )

    op.create_table(
        "batch_changes",
        sa.Column("id", ID, nullable=False, comment="Number of the change, rising."),
        sa.Column("run_id", sa.BigInteger(), nullable=False, comment="The run that saw it."),
        sa.Column("project_id", sa.BigInteger(), nullable=False, comment="The project."),
        sa.Column("batch_id", KEY, nullable=False, comment="The batch."),
        sa.Column(
            "observed_after",
            UTCDateTime(),
            nullable=True,
            comment="The project's observation before; NULL: this was its first. The change happened in between.",
        ),
        sa.Column("observed_at", UTCDateTime(), nullable=False, comment="When the request that showed it was sent."),
        sa.Column("change", sa.Text(), nullable=False, comment="added, changed, removed or restored."),
        sa.Column("images", sa.BigInteger(), nullable=False, comment="After the change; 0 when removed."),
        sa.Column("num_jobs", sa.BigInteger(), nullable=False, comment="After the change; 0 when removed."),
        sa.Column(
            "images_delta",
            sa.BigInteger(),
            nullable=False,
            comment="The sum over a batch is its images now, 0 once removed.",
        ),
        sa.Column(
            "num_jobs_delta",
            sa.BigInteger(),
            nullable=False,
            comment="The sum over a batch is its jobs now, 0 once removed.",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="The batch's name after the change; NULL: never reported."),
        sa.CheckConstraint(
            "change <> 'removed' OR (images = 0 AND num_jobs = 0)", name=op.f("ck_batch_changes_removed")
        ),
        sa.CheckConstraint(
            "change NOT IN ('added', 'restored') OR (images = images_delta AND num_jobs = num_jobs_delta)",
            name=op.f("ck_batch_changes_appeared"),
        ),
        sa.CheckConstraint("typeof(images) = 'integer'", name=op.f("ck_batch_changes_images_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("typeof(num_jobs) = 'integer'", name=op.f("ck_batch_changes_num_jobs_whole")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "\"change\" IN ('added', 'changed', 'removed', 'restored')", name=op.f("ck_batch_changes_change")
        ),
        sa.CheckConstraint("images >= 0 AND images <= 9007199254740991", name=op.f("ck_batch_changes_images")),
        sa.CheckConstraint(
            "images >= images_delta AND num_jobs >= num_jobs_delta", name=op.f("ck_batch_changes_before")
        ),
        sa.CheckConstraint("num_jobs >= 0 AND num_jobs <= 9007199254740991", name=op.f("ck_batch_changes_num_jobs")),
        sa.CheckConstraint("observed_after < observed_at", name=op.f("ck_batch_changes_observed_after")),
        sa.ForeignKeyConstraint(
            ["project_id", "batch_id"],
            ["batches.project_id", "batches.batch_id"],
            name=op.f("fk_batch_changes_project_id_batch_id_batches"),
        ).ddl_if(dialect="sqlite"),
        sa.ForeignKeyConstraint(["run_id"], ["sync_runs.id"], name=op.f("fk_batch_changes_run_id_sync_runs")).ddl_if(
            dialect="sqlite"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_changes")),
        sa.UniqueConstraint(
            "project_id", "batch_id", "observed_at", name=op.f("uq_batch_changes_project_id_batch_id_observed_at")
        ),
        comment="The ledger: every change of every batch, appended and never altered.",
    )
    op.create_index(
        "ix_batch_changes_project_id_observed_at", "batch_changes", ["project_id", "observed_at"], unique=False
    )
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_batch_changes_run_id", "batch_changes", ["run_id"], unique=False)
    for name, (comment, select) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS\n{select}")
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"COMMENT ON VIEW {name} IS '{comment}'")
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL_REFERENCES:
            op.execute(statement)
