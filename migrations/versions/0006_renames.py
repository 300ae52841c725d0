"""Projects that are renamed or gone, batches that exist without being listed, and what an observation lacked.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa
from alembic import op

from rfsync.schema.types import UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

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
    WHERE r.project_id = p.id AND r.id > 0 AND r.outcome IN ('failed', 'refused', 'abandoned'))
WHERE p.departed_at IS NULL"""


def upgrade() -> None:
    """A refusal that is under way begins anew: what it lacked was kept as a digest alone."""
    _create_tables()
    _add_columns()
    op.create_index("ix_batches_batch_id", "batches", ["batch_id"])
    op.execute("UPDATE projects SET missing_streak = 0 WHERE missing_streak <> 0")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_column("projects", "missing_digest")
        op.execute(f"CREATE OR REPLACE VIEW sync_health AS\n{SYNC_HEALTH}")  # keeps who may read it
        op.execute(
            "COMMENT ON VIEW sync_health IS 'A project that has not departed, and how its runs have gone; runs still "
            "going on are left out.'"
        )
        op.execute(
            "COMMENT ON COLUMN projects.missing_streak IS 'Kept by the sync: how many observations in a row were refused "
            "until now.'"
        )
        return
    op.execute("DROP VIEW sync_health")
    if sqlite3.sqlite_version_info >= (3, 35):  # an older one can't drop a column: it stays, and is empty
        op.drop_column("projects", "missing_digest")
    op.execute(f"CREATE VIEW sync_health AS\n{SYNC_HEALTH}")


def _create_tables() -> None:
    op.create_table(
        "missing_batches",
        sa.Column("project_id", sa.BigInteger, nullable=False, comment="The project."),
        sa.Column("batch_id", KEY, nullable=False, comment="The batch."),
        sa.Column(
            "missing_at", UTCDateTime, nullable=False, comment="Observation that lacked it first, applied or refused."
        ),
        sa.Column(
            "refusal",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Which of the refused observations in a row lacked it first, from 1; 0: it was an applied one.",
        ),
        sa.Column(
            "asked_at",
            UTCDateTime,
            comment="When an unlisted one last answered by its id, and any other was last asked for; NULL: never.",
        ),
        sa.PrimaryKeyConstraint("project_id", "batch_id", name=op.f("pk_missing_batches")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_missing_batches_project_id_projects")),
        sa.CheckConstraint("refusal >= 0", name=op.f("ck_missing_batches_refusal")),
        sqlite_with_rowid=False,
        comment="Kept by the sync: batches that the last observation lacked.",
    )
    op.create_table(
        "project_renames",
        sa.Column("project_id", sa.BigInteger, nullable=False, comment="The project."),
        sa.Column("workspace", KEY, nullable=False, comment="URL id of the workspace until then."),
        sa.Column("project", KEY, nullable=False, comment="URL id of the project until then."),
        sa.Column("renamed_at", UTCDateTime, nullable=False, comment="When the new id was found, or given by hand."),
        sa.PrimaryKeyConstraint("workspace", "project", "renamed_at", name=op.f("pk_project_renames")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_renames_project_id_projects")),
        comment="An id that a project had before.",
    )
    op.create_index("ix_project_renames_project_id", "project_renames", ["project_id"])


def _add_columns() -> None:
    op.add_column(
        "projects",
        sa.Column(
            "departed_at", UTCDateTime, comment="Observation that found it gone from its workspace; NULL: it exists."
        ),
    )
    op.add_column(
        "projects",
        sa.Column(
            "missing",
            sa.BigInteger,
            server_default="0",
            nullable=False,
            comment="Kept by the sync: its rows in missing_batches.",
        ),
    )
    op.add_column(
        "projects",
        sa.Column(
            "recheck_from",
            UTCDateTime,
            comment="Kept by the sync: when the unlisted batch that answered longest ago did; NULL: there is none.",
        ),
    )
    op.add_column(
        "batches",
        sa.Column(
            "unlisted_at",
            UTCDateTime,
            comment="Since when it is not listed, though it answers by its id; NULL: it is listed, or removed.",
        ),
    )
