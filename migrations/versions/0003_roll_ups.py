"""The days of a workspace, and when pruned runs had looked at a project.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

FLOWS = {
    "changes": "Ledger rows of the day.",
    "batches_added": "Batches new or back again.",
    "batches_removed": "Batches gone.",
    "images_gained": "Sum of the positive image deltas.",
    "images_lost": "Sum of the negative image deltas, as a positive number.",
    "jobs_gained": "Sum of the positive job deltas.",
    "jobs_lost": "Sum of the negative job deltas, as a positive number.",
}

TRIGGERS = {
    "sqlite": (
        """CREATE TRIGGER workspace_daily_insert AFTER INSERT ON project_daily BEGIN INSERT INTO workspace_daily (workspace, day, changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost) SELECT p.workspace, NEW.day, NEW.changes, NEW.batches_added, NEW.batches_removed, NEW.images_gained, NEW.images_lost, NEW.jobs_gained, NEW.jobs_lost FROM projects p WHERE p.id = NEW.project_id ON CONFLICT (workspace, day) DO UPDATE SET changes = workspace_daily.changes + excluded.changes, batches_added = workspace_daily.batches_added + excluded.batches_added, batches_removed = workspace_daily.batches_removed + excluded.batches_removed, images_gained = workspace_daily.images_gained + excluded.images_gained, images_lost = workspace_daily.images_lost + excluded.images_lost, jobs_gained = workspace_daily.jobs_gained + excluded.jobs_gained, jobs_lost = workspace_daily.jobs_lost + excluded.jobs_lost; END""",
        """CREATE TRIGGER workspace_daily_update AFTER UPDATE ON project_daily BEGIN INSERT INTO workspace_daily (workspace, day, changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost) SELECT p.workspace, NEW.day, NEW.changes, NEW.batches_added, NEW.batches_removed, NEW.images_gained, NEW.images_lost, NEW.jobs_gained, NEW.jobs_lost FROM projects p WHERE p.id = NEW.project_id ON CONFLICT (workspace, day) DO UPDATE SET changes = workspace_daily.changes + excluded.changes, batches_added = workspace_daily.batches_added + excluded.batches_added, batches_removed = workspace_daily.batches_removed + excluded.batches_removed, images_gained = workspace_daily.images_gained + excluded.images_gained, images_lost = workspace_daily.images_lost + excluded.images_lost, jobs_gained = workspace_daily.jobs_gained + excluded.jobs_gained, jobs_lost = workspace_daily.jobs_lost + excluded.jobs_lost; UPDATE workspace_daily SET changes = changes - OLD.changes, batches_added = batches_added - OLD.batches_added, batches_removed = batches_removed - OLD.batches_removed, images_gained = images_gained - OLD.images_gained, images_lost = images_lost - OLD.images_lost, jobs_gained = jobs_gained - OLD.jobs_gained, jobs_lost = jobs_lost - OLD.jobs_lost WHERE day = OLD.day AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id); END""",
        """CREATE TRIGGER workspace_daily_delete AFTER DELETE ON project_daily BEGIN UPDATE workspace_daily SET changes = changes - OLD.changes, batches_added = batches_added - OLD.batches_added, batches_removed = batches_removed - OLD.batches_removed, images_gained = images_gained - OLD.images_gained, images_lost = images_lost - OLD.images_lost, jobs_gained = jobs_gained - OLD.jobs_gained, jobs_lost = jobs_lost - OLD.jobs_lost WHERE day = OLD.day AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION workspace_daily_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO workspace_daily AS w (workspace, day, changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost)
        SELECT p.workspace, d.day, sum(d.changes) AS changes, sum(d.batches_added) AS batches_added, sum(d.batches_removed) AS batches_removed, sum(d.images_gained) AS images_gained, sum(d.images_lost) AS images_lost, sum(d.jobs_gained) AS jobs_gained, sum(d.jobs_lost) AS jobs_lost FROM new_rows d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2
        ON CONFLICT (workspace, day) DO UPDATE SET changes = w.changes + excluded.changes, batches_added = w.batches_added + excluded.batches_added, batches_removed = w.batches_removed + excluded.batches_removed, images_gained = w.images_gained + excluded.images_gained, images_lost = w.images_lost + excluded.images_lost, jobs_gained = w.jobs_gained + excluded.jobs_gained, jobs_lost = w.jobs_lost + excluded.jobs_lost;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE workspace_daily w SET changes = w.changes - o.changes, batches_added = w.batches_added - o.batches_added, batches_removed = w.batches_removed - o.batches_removed, images_gained = w.images_gained - o.images_gained, images_lost = w.images_lost - o.images_lost, jobs_gained = w.jobs_gained - o.jobs_gained, jobs_lost = w.jobs_lost - o.jobs_lost
        FROM (SELECT p.workspace, d.day, sum(d.changes) AS changes, sum(d.batches_added) AS batches_added, sum(d.batches_removed) AS batches_removed, sum(d.images_gained) AS images_gained, sum(d.images_lost) AS images_lost, sum(d.jobs_gained) AS jobs_gained, sum(d.jobs_lost) AS jobs_lost FROM old_rows d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2) o
        WHERE w.workspace = o.workspace AND w.day = o.day;
    END IF;
    RETURN NULL;
END $$""",
        """CREATE TRIGGER workspace_daily_insert AFTER INSERT ON project_daily REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION workspace_daily_follows()""",
        """CREATE TRIGGER workspace_daily_update AFTER UPDATE ON project_daily REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION workspace_daily_follows()""",
        """CREATE TRIGGER workspace_daily_delete AFTER DELETE ON project_daily REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION workspace_daily_follows()""",
    ),
}

# Says that ids are above 0, so that SQLite uses the new index of the runs that went wrong.
SYNC_HEALTH = """SELECT p.workspace, p.project, last.started_at AS last_run_at, last.outcome AS last_outcome,
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
    WHERE r.project_id = p.id AND r.id > 0 AND r.outcome IN ('failed', 'refused', 'abandoned'))"""


def upgrade() -> None:
    """What the projects' days have becomes the workspaces'; what was pruned before is not known."""
    dialect = op.get_bind().dialect.name
    op.create_table(
        "workspace_daily",
        sa.Column("workspace", KEY, nullable=False, comment="URL id of the workspace."),
        sa.Column("day", sa.Date, nullable=False, comment="Day in UTC."),
        *(sa.Column(name, sa.BigInteger, nullable=False, comment=comment) for name, comment in FLOWS.items()),
        sa.PrimaryKeyConstraint("workspace", "day", name=op.f("pk_workspace_daily")),
        sqlite_with_rowid=False,
        comment="Kept by triggers: the sums of project_daily over the projects of a workspace.",
    )
    op.create_table(
        "project_observed",
        sa.Column("project_id", sa.BigInteger, nullable=False, comment="The project."),
        sa.Column("day", sa.Date, nullable=False, comment="Day in UTC."),
        sa.Column(
            "am", sa.BigInteger, nullable=False, comment="Bit n: observed in the n-th quarter of an hour from 00:00."
        ),
        sa.Column(
            "pm", sa.BigInteger, nullable=False, comment="Bit n: observed in the n-th quarter of an hour from 12:00."
        ),
        sa.PrimaryKeyConstraint("project_id", "day", name=op.f("pk_project_observed")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_observed_project_id_projects")),
        sqlite_with_rowid=False,
        comment="Kept by prune: when deleted runs that changed nothing had looked at a project.",
    )
    op.create_index(
        "ix_sync_runs_unchanged",
        "sync_runs",
        ["project_id", "started_at"],
        postgresql_where=sa.text("outcome = 'unchanged'"),
        sqlite_where=sa.text("outcome = 'unchanged'"),
    )
    bad = sa.text("outcome IN ('failed', 'refused', 'abandoned')")
    op.create_index("ix_sync_runs_bad", "sync_runs", ["project_id", "id"], postgresql_where=bad, sqlite_where=bad)
    if dialect == "postgresql":
        op.execute(f"CREATE OR REPLACE VIEW sync_health AS\n{SYNC_HEALTH}")  # keeps who may read it
    else:
        op.execute("DROP VIEW sync_health")
        op.execute(f"CREATE VIEW sync_health AS\n{SYNC_HEALTH}")
    columns = ", ".join(FLOWS)
    sums = ", ".join(f"sum(d.{name})" for name in FLOWS)
    op.execute(
        f"INSERT INTO workspace_daily (workspace, day, {columns}) SELECT p.workspace, d.day, {sums} "
        "FROM project_daily d JOIN projects p ON p.id = d.project_id GROUP BY p.workspace, d.day"
    )
    for statement in TRIGGERS[dialect]:
        op.execute(statement)
