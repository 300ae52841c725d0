"""The quarters of an hour of a workspace, of which the days of any time zone consist, and the days of its labelers.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = {
    "sqlite": [
        """CREATE TABLE workspace_quarter_hours (
    workspace TEXT NOT NULL,
    start DATETIME NOT NULL,
    changes BIGINT NOT NULL,
    batches_added BIGINT NOT NULL,
    batches_removed BIGINT NOT NULL,
    images_gained BIGINT NOT NULL,
    images_lost BIGINT NOT NULL,
    jobs_gained BIGINT NOT NULL,
    jobs_lost BIGINT NOT NULL,
    jobs_opened BIGINT NOT NULL,
    images_assigned BIGINT NOT NULL,
    annotated_gained BIGINT NOT NULL,
    annotated_lost BIGINT NOT NULL,
    approved_gained BIGINT NOT NULL,
    approved_lost BIGINT NOT NULL,
    rejected_gained BIGINT NOT NULL,
    rejected_lost BIGINT NOT NULL,
    CONSTRAINT pk_workspace_quarter_hours PRIMARY KEY (workspace, start)
)
 WITHOUT ROWID""",
        """CREATE TABLE workspace_labeler_daily (
    workspace TEXT NOT NULL,
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
    CONSTRAINT pk_workspace_labeler_daily PRIMARY KEY (workspace, day, labeler_id)
)
 WITHOUT ROWID""",
    ],
    "postgresql": [
        """CREATE TABLE workspace_quarter_hours (
    workspace TEXT COLLATE "C" NOT NULL,
    start TIMESTAMP WITH TIME ZONE NOT NULL,
    changes BIGINT NOT NULL,
    batches_added BIGINT NOT NULL,
    batches_removed BIGINT NOT NULL,
    images_gained BIGINT NOT NULL,
    images_lost BIGINT NOT NULL,
    jobs_gained BIGINT NOT NULL,
    jobs_lost BIGINT NOT NULL,
    jobs_opened BIGINT NOT NULL,
    images_assigned BIGINT NOT NULL,
    annotated_gained BIGINT NOT NULL,
    annotated_lost BIGINT NOT NULL,
    approved_gained BIGINT NOT NULL,
    approved_lost BIGINT NOT NULL,
    rejected_gained BIGINT NOT NULL,
    rejected_lost BIGINT NOT NULL,
    CONSTRAINT pk_workspace_quarter_hours PRIMARY KEY (workspace, start)
)""",
        """CREATE TABLE workspace_labeler_daily (
    workspace TEXT COLLATE "C" NOT NULL,
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
    CONSTRAINT pk_workspace_labeler_daily PRIMARY KEY (workspace, day, labeler_id)
)""",
    ],
}

TRIGGERS = {
    "sqlite": [
        """CREATE TRIGGER workspace_labeler_daily_insert AFTER INSERT ON labeler_daily BEGIN INSERT INTO workspace_labeler_daily (workspace, day, labeler_id, jobs_opened, images_assigned, annotated_gained, annotated_lost, approved_gained, approved_lost, rejected_gained, rejected_lost) SELECT p.workspace, NEW.day, NEW.labeler_id, NEW.jobs_opened, NEW.images_assigned, NEW.annotated_gained, NEW.annotated_lost, NEW.approved_gained, NEW.approved_lost, NEW.rejected_gained, NEW.rejected_lost FROM projects p WHERE p.id = NEW.project_id ON CONFLICT (workspace, day, labeler_id) DO UPDATE SET jobs_opened = workspace_labeler_daily.jobs_opened + excluded.jobs_opened, images_assigned = workspace_labeler_daily.images_assigned + excluded.images_assigned, annotated_gained = workspace_labeler_daily.annotated_gained + excluded.annotated_gained, annotated_lost = workspace_labeler_daily.annotated_lost + excluded.annotated_lost, approved_gained = workspace_labeler_daily.approved_gained + excluded.approved_gained, approved_lost = workspace_labeler_daily.approved_lost + excluded.approved_lost, rejected_gained = workspace_labeler_daily.rejected_gained + excluded.rejected_gained, rejected_lost = workspace_labeler_daily.rejected_lost + excluded.rejected_lost; END""",
        """CREATE TRIGGER workspace_labeler_daily_update AFTER UPDATE ON labeler_daily BEGIN INSERT INTO workspace_labeler_daily (workspace, day, labeler_id, jobs_opened, images_assigned, annotated_gained, annotated_lost, approved_gained, approved_lost, rejected_gained, rejected_lost) SELECT p.workspace, NEW.day, NEW.labeler_id, NEW.jobs_opened, NEW.images_assigned, NEW.annotated_gained, NEW.annotated_lost, NEW.approved_gained, NEW.approved_lost, NEW.rejected_gained, NEW.rejected_lost FROM projects p WHERE p.id = NEW.project_id ON CONFLICT (workspace, day, labeler_id) DO UPDATE SET jobs_opened = workspace_labeler_daily.jobs_opened + excluded.jobs_opened, images_assigned = workspace_labeler_daily.images_assigned + excluded.images_assigned, annotated_gained = workspace_labeler_daily.annotated_gained + excluded.annotated_gained, annotated_lost = workspace_labeler_daily.annotated_lost + excluded.annotated_lost, approved_gained = workspace_labeler_daily.approved_gained + excluded.approved_gained, approved_lost = workspace_labeler_daily.approved_lost + excluded.approved_lost, rejected_gained = workspace_labeler_daily.rejected_gained + excluded.rejected_gained, rejected_lost = workspace_labeler_daily.rejected_lost + excluded.rejected_lost; UPDATE workspace_labeler_daily SET jobs_opened = jobs_opened - OLD.jobs_opened, images_assigned = images_assigned - OLD.images_assigned, annotated_gained = annotated_gained - OLD.annotated_gained, annotated_lost = annotated_lost - OLD.annotated_lost, approved_gained = approved_gained - OLD.approved_gained, approved_lost = approved_lost - OLD.approved_lost, rejected_gained = rejected_gained - OLD.rejected_gained, rejected_lost = rejected_lost - OLD.rejected_lost WHERE day = OLD.day AND labeler_id = OLD.labeler_id AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id); END""",
        """CREATE TRIGGER workspace_labeler_daily_delete AFTER DELETE ON labeler_daily BEGIN UPDATE workspace_labeler_daily SET jobs_opened = jobs_opened - OLD.jobs_opened, images_assigned = images_assigned - OLD.images_assigned, annotated_gained = annotated_gained - OLD.annotated_gained, annotated_lost = annotated_lost - OLD.annotated_lost, approved_gained = approved_gained - OLD.approved_gained, approved_lost = approved_lost - OLD.approved_lost, rejected_gained = rejected_gained - OLD.rejected_gained, rejected_lost = rejected_lost - OLD.rejected_lost WHERE day = OLD.day AND labeler_id = OLD.labeler_id AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id); END""",
    ],
    "postgresql": [
        """CREATE FUNCTION workspace_labeler_daily_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO workspace_labeler_daily AS w (workspace, day, labeler_id, jobs_opened, images_assigned, annotated_gained, annotated_lost, approved_gained, approved_lost, rejected_gained, rejected_lost)
        SELECT p.workspace, d.day, d.labeler_id, sum(d.jobs_opened) AS jobs_opened, sum(d.images_assigned) AS images_assigned, sum(d.annotated_gained) AS annotated_gained, sum(d.annotated_lost) AS annotated_lost, sum(d.approved_gained) AS approved_gained, sum(d.approved_lost) AS approved_lost, sum(d.rejected_gained) AS rejected_gained, sum(d.rejected_lost) AS rejected_lost FROM new_rows d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2, 3
        ON CONFLICT (workspace, day, labeler_id) DO UPDATE SET jobs_opened = w.jobs_opened + excluded.jobs_opened, images_assigned = w.images_assigned + excluded.images_assigned, annotated_gained = w.annotated_gained + excluded.annotated_gained, annotated_lost = w.annotated_lost + excluded.annotated_lost, approved_gained = w.approved_gained + excluded.approved_gained, approved_lost = w.approved_lost + excluded.approved_lost, rejected_gained = w.rejected_gained + excluded.rejected_gained, rejected_lost = w.rejected_lost + excluded.rejected_lost;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE workspace_labeler_daily w SET jobs_opened = w.jobs_opened - o.jobs_opened, images_assigned = w.images_assigned - o.images_assigned, annotated_gained = w.annotated_gained - o.annotated_gained, annotated_lost = w.annotated_lost - o.annotated_lost, approved_gained = w.approved_gained - o.approved_gained, approved_lost = w.approved_lost - o.approved_lost, rejected_gained = w.rejected_gained - o.rejected_gained, rejected_lost = w.rejected_lost - o.rejected_lost
        FROM (SELECT p.workspace, d.day, d.labeler_id, sum(d.jobs_opened) AS jobs_opened, sum(d.images_assigned) AS images_assigned, sum(d.annotated_gained) AS annotated_gained, sum(d.annotated_lost) AS annotated_lost, sum(d.approved_gained) AS approved_gained, sum(d.approved_lost) AS approved_lost, sum(d.rejected_gained) AS rejected_gained, sum(d.rejected_lost) AS rejected_lost FROM old_rows d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2, 3) o
        WHERE w.workspace = o.workspace AND w.day = o.day AND w.labeler_id = o.labeler_id;
    END IF;
    RETURN NULL;
END $$""",
        """CREATE TRIGGER workspace_labeler_daily_insert AFTER INSERT ON labeler_daily REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION workspace_labeler_daily_follows()""",
        """CREATE TRIGGER workspace_labeler_daily_update AFTER UPDATE ON labeler_daily REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION workspace_labeler_daily_follows()""",
        """CREATE TRIGGER workspace_labeler_daily_delete AFTER DELETE ON labeler_daily REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION workspace_labeler_daily_follows()""",
    ],
}

COMMENTS = {
    "workspace_quarter_hours": (
        "Kept by the sync: what changed in a quarter of an hour in the projects of a workspace.",
        {
            "workspace": "URL id of the workspace.",
            "start": "Start of the quarter of an hour.",
            "changes": "Ledger rows of batches.",
            "batches_added": "Batches new or back again.",
            "batches_removed": "Batches gone.",
            "images_gained": "Sum of the positive image deltas.",
            "images_lost": "Sum of the negative image deltas, as a positive number.",
            "jobs_gained": "Sum of the positive job deltas.",
            "jobs_lost": "Sum of the negative job deltas, as a positive number.",
            "jobs_opened": "Jobs added, or given to another labeler.",
            "images_assigned": "Images in those, and images by which others grew.",
            "annotated_gained": "Sum of the positive deltas of annotated, for the labeler after.",
            "annotated_lost": "Sum of the negative ones, as a positive number, for the one before.",
            "approved_gained": "Sum of the positive deltas of approved, for the labeler after.",
            "approved_lost": "Sum of the negative ones, as a positive number, for the one before.",
            "rejected_gained": "Sum of the positive deltas of rejected, for the labeler after.",
            "rejected_lost": "Sum of the negative ones, as a positive number, for the one before.",
        },
    ),
    "workspace_labeler_daily": (
        "Kept by triggers: the sums of labeler_daily over the projects of a workspace.",
        {
            "workspace": "URL id of the workspace.",
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

#: From the ledgers.
QUARTER_HOURS = {
    "sqlite": r"""INSERT INTO workspace_quarter_hours (workspace, start, changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost, jobs_opened, images_assigned, annotated_gained, annotated_lost, approved_gained, approved_lost, rejected_gained, rejected_lost)
SELECT p.workspace, d.start, sum(d.changes), sum(d.batches_added), sum(d.batches_removed), sum(d.images_gained), sum(d.images_lost), sum(d.jobs_gained), sum(d.jobs_lost), sum(d.jobs_opened), sum(d.images_assigned), sum(d.annotated_gained), sum(d.annotated_lost), sum(d.approved_gained), sum(d.approved_lost), sum(d.rejected_gained), sum(d.rejected_lost)
FROM (SELECT c.project_id, substr(c.observed_at, 1, 14) || substr('00153045', substr(c.observed_at, 15, 2) / 15 * 2 + 1, 2) || '\:00.000000' AS start, sum(1) AS changes, sum(CASE WHEN c.change IN ('added', 'restored') THEN 1 ELSE 0 END) AS batches_added, sum(CASE WHEN c.change = 'removed' THEN 1 ELSE 0 END) AS batches_removed, sum(CASE WHEN c.images_delta > 0 THEN c.images_delta ELSE 0 END) AS images_gained, sum(CASE WHEN -c.images_delta > 0 THEN -c.images_delta ELSE 0 END) AS images_lost, sum(CASE WHEN c.num_jobs_delta > 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_gained, sum(CASE WHEN -c.num_jobs_delta > 0 THEN -c.num_jobs_delta ELSE 0 END) AS jobs_lost, 0 AS jobs_opened, 0 AS images_assigned, 0 AS annotated_gained, 0 AS annotated_lost, 0 AS approved_gained, 0 AS approved_lost, 0 AS rejected_gained, 0 AS rejected_lost FROM batch_changes c
        GROUP BY c.project_id, substr(c.observed_at, 1, 14) || substr('00153045', substr(c.observed_at, 15, 2) / 15 * 2 + 1, 2) || '\:00.000000'
        UNION ALL
        SELECT c.project_id, substr(c.observed_at, 1, 14) || substr('00153045', substr(c.observed_at, 15, 2) / 15 * 2 + 1, 2) || '\:00.000000' AS start, 0 AS changes, 0 AS batches_added, 0 AS batches_removed, 0 AS images_gained, 0 AS images_lost, 0 AS jobs_gained, 0 AS jobs_lost, sum(CASE WHEN is_after = 1 AND opened = 1 THEN 1 ELSE 0 END) AS jobs_opened, sum(CASE WHEN is_after = 1 AND opened = 1 THEN size
            WHEN is_after = 1 AND num_images > 0 THEN num_images ELSE 0 END) AS images_assigned, sum(CASE WHEN is_after = 1 AND annotated > 0 THEN annotated ELSE 0 END) AS annotated_gained, sum(CASE WHEN is_after = 0 AND annotated < 0 THEN -annotated ELSE 0 END) AS annotated_lost, sum(CASE WHEN is_after = 1 AND approved > 0 THEN approved ELSE 0 END) AS approved_gained, sum(CASE WHEN is_after = 0 AND approved < 0 THEN -approved ELSE 0 END) AS approved_lost, sum(CASE WHEN is_after = 1 AND rejected > 0 THEN rejected ELSE 0 END) AS rejected_gained, sum(CASE WHEN is_after = 0 AND rejected < 0 THEN -rejected ELSE 0 END) AS rejected_lost FROM (
            SELECT c.*, CASE WHEN change = 'added' OR (change <> 'removed' AND labeler_after <> labeler_before)
                THEN 1 ELSE 0 END AS opened
            FROM (
                SELECT project_id, observed_after, observed_at, change, coalesce(labeler_id, 0) AS labeler_after,
                    coalesce(lag(labeler_id) OVER w, 0) AS labeler_before, num_images AS size, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN num_images + lag(num_images_delta) OVER w ELSE num_images_delta END AS num_images, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN annotated + lag(annotated_delta) OVER w ELSE annotated_delta END AS annotated, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN approved + lag(approved_delta) OVER w ELSE approved_delta END AS approved, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN rejected + lag(rejected_delta) OVER w ELSE rejected_delta END AS rejected
                FROM job_changes  WINDOW w AS (PARTITION BY project_id, job_id ORDER BY observed_at)
            ) c
        ) c CROSS JOIN (SELECT 1 AS is_after UNION ALL SELECT 0) sides
        WHERE observed_after IS NOT NULL AND (is_after = 1 OR annotated < 0 OR approved < 0 OR rejected < 0)
        GROUP BY c.project_id, substr(c.observed_at, 1, 14) || substr('00153045', substr(c.observed_at, 15, 2) / 15 * 2 + 1, 2) || '\:00.000000') d JOIN projects p ON p.id = d.project_id GROUP BY p.workspace, d.start
HAVING sum(d.changes + d.batches_added + d.batches_removed + d.images_gained + d.images_lost + d.jobs_gained + d.jobs_lost + d.jobs_opened + d.images_assigned + d.annotated_gained + d.annotated_lost + d.approved_gained + d.approved_lost + d.rejected_gained + d.rejected_lost) <> 0""",
    "postgresql": """INSERT INTO workspace_quarter_hours (workspace, start, changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost, jobs_opened, images_assigned, annotated_gained, annotated_lost, approved_gained, approved_lost, rejected_gained, rejected_lost)
SELECT p.workspace, d.start, sum(d.changes), sum(d.batches_added), sum(d.batches_removed), sum(d.images_gained), sum(d.images_lost), sum(d.jobs_gained), sum(d.jobs_lost), sum(d.jobs_opened), sum(d.images_assigned), sum(d.annotated_gained), sum(d.annotated_lost), sum(d.approved_gained), sum(d.approved_lost), sum(d.rejected_gained), sum(d.rejected_lost)
FROM (SELECT c.project_id, date_trunc('hour', c.observed_at, 'UTC') + CAST(extract(minute FROM c.observed_at AT TIME ZONE 'UTC') AS integer) / 15 * interval '15 minutes' AS start, sum(1) AS changes, sum(CASE WHEN c.change IN ('added', 'restored') THEN 1 ELSE 0 END) AS batches_added, sum(CASE WHEN c.change = 'removed' THEN 1 ELSE 0 END) AS batches_removed, sum(CASE WHEN c.images_delta > 0 THEN c.images_delta ELSE 0 END) AS images_gained, sum(CASE WHEN -c.images_delta > 0 THEN -c.images_delta ELSE 0 END) AS images_lost, sum(CASE WHEN c.num_jobs_delta > 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_gained, sum(CASE WHEN -c.num_jobs_delta > 0 THEN -c.num_jobs_delta ELSE 0 END) AS jobs_lost, 0 AS jobs_opened, 0 AS images_assigned, 0 AS annotated_gained, 0 AS annotated_lost, 0 AS approved_gained, 0 AS approved_lost, 0 AS rejected_gained, 0 AS rejected_lost FROM batch_changes c
        GROUP BY c.project_id, date_trunc('hour', c.observed_at, 'UTC') + CAST(extract(minute FROM c.observed_at AT TIME ZONE 'UTC') AS integer) / 15 * interval '15 minutes'
        UNION ALL
        SELECT c.project_id, date_trunc('hour', c.observed_at, 'UTC') + CAST(extract(minute FROM c.observed_at AT TIME ZONE 'UTC') AS integer) / 15 * interval '15 minutes' AS start, 0 AS changes, 0 AS batches_added, 0 AS batches_removed, 0 AS images_gained, 0 AS images_lost, 0 AS jobs_gained, 0 AS jobs_lost, sum(CASE WHEN is_after = 1 AND opened = 1 THEN 1 ELSE 0 END) AS jobs_opened, sum(CASE WHEN is_after = 1 AND opened = 1 THEN size
            WHEN is_after = 1 AND num_images > 0 THEN num_images ELSE 0 END) AS images_assigned, sum(CASE WHEN is_after = 1 AND annotated > 0 THEN annotated ELSE 0 END) AS annotated_gained, sum(CASE WHEN is_after = 0 AND annotated < 0 THEN -annotated ELSE 0 END) AS annotated_lost, sum(CASE WHEN is_after = 1 AND approved > 0 THEN approved ELSE 0 END) AS approved_gained, sum(CASE WHEN is_after = 0 AND approved < 0 THEN -approved ELSE 0 END) AS approved_lost, sum(CASE WHEN is_after = 1 AND rejected > 0 THEN rejected ELSE 0 END) AS rejected_gained, sum(CASE WHEN is_after = 0 AND rejected < 0 THEN -rejected ELSE 0 END) AS rejected_lost FROM (
            SELECT c.*, CASE WHEN change = 'added' OR (change <> 'removed' AND labeler_after <> labeler_before)
                THEN 1 ELSE 0 END AS opened
            FROM (
                SELECT project_id, observed_after, observed_at, change, coalesce(labeler_id, 0) AS labeler_after,
                    coalesce(lag(labeler_id) OVER w, 0) AS labeler_before, num_images AS size, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN num_images + lag(num_images_delta) OVER w ELSE num_images_delta END AS num_images, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN annotated + lag(annotated_delta) OVER w ELSE annotated_delta END AS annotated, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN approved + lag(approved_delta) OVER w ELSE approved_delta END AS approved, CASE change WHEN 'removed' THEN 0 WHEN 'restored' THEN rejected + lag(rejected_delta) OVER w ELSE rejected_delta END AS rejected
                FROM job_changes  WINDOW w AS (PARTITION BY project_id, job_id ORDER BY observed_at)
            ) c
        ) c CROSS JOIN (SELECT 1 AS is_after UNION ALL SELECT 0) sides
        WHERE observed_after IS NOT NULL AND (is_after = 1 OR annotated < 0 OR approved < 0 OR rejected < 0)
        GROUP BY c.project_id, date_trunc('hour', c.observed_at, 'UTC') + CAST(extract(minute FROM c.observed_at AT TIME ZONE 'UTC') AS integer) / 15 * interval '15 minutes') d JOIN projects p ON p.id = d.project_id GROUP BY p.workspace, d.start
HAVING sum(d.changes + d.batches_added + d.batches_removed + d.images_gained + d.images_lost + d.jobs_gained + d.jobs_lost + d.jobs_opened + d.images_assigned + d.annotated_gained + d.annotated_lost + d.approved_gained + d.approved_lost + d.rejected_gained + d.rejected_lost) <> 0""",
}

LABELER_DAYS = """INSERT INTO workspace_labeler_daily (workspace, day, labeler_id, jobs_opened, images_assigned, annotated_gained, annotated_lost, approved_gained, approved_lost, rejected_gained, rejected_lost)
SELECT p.workspace, d.day, d.labeler_id, sum(d.jobs_opened), sum(d.images_assigned), sum(d.annotated_gained), sum(d.annotated_lost), sum(d.approved_gained), sum(d.approved_lost), sum(d.rejected_gained), sum(d.rejected_lost)
FROM labeler_daily d JOIN projects p ON p.id = d.project_id GROUP BY p.workspace, d.day, d.labeler_id"""


def upgrade() -> None:
    """Fills the new sums from what there is; they are no part of the history, and can be made anew from it."""
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute("LOCK TABLE projects IN EXCLUSIVE MODE")  # what is being written is waited for, and counts
    # What an older version has begun would be written without these sums. Without its run it is refused; the next run
    # observes the same.
    op.execute("DELETE FROM sync_runs WHERE outcome = 'running'")
    for statement in (*TABLES[dialect], LABELER_DAYS, *TRIGGERS[dialect]):
        op.execute(sa.text(statement.replace(":", r"\:")))
    op.execute(sa.text(QUARTER_HOURS[dialect]))
    if dialect == "postgresql":
        _comment()


def _comment() -> None:
    for table, (comment, columns) in COMMENTS.items():
        op.create_table_comment(table, comment)
        for column, text in columns.items():
            op.execute(f"COMMENT ON COLUMN {table}.{column} IS '{text}'")
