"""A lease that tells living runs from dead ones where no session holds a lock; comments that say what NULL means.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rfsync.schema.types import UTCDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COMMENTS = {
    "projects": {
        "written_at": "Kept by the sync: latest instant in the ledger or above; nothing older is applied. NULL: none yet.",
        "etag": "Kept by the sync: ETag of the last answer that was applied whole; NULL: there is none.",
        "fingerprint": "Kept by the sync: SHA-256 of the body of that answer; NULL: there is none.",
        "listed": "Kept by the sync: batches in that answer; NULL: there is none.",
        "missing_digest": "Kept by the sync: SHA-256 of the ids that refused observations lacked; NULL: none was refused.",
        "sent_us": "Kept by the sync: when the request behind written_at was sent, in microseconds of a clock that all "
        "writers share; tells which of two overlapping runs is the newer one. NULL: not known.",
    },
    "sync_runs": {
        "error": "Why it failed, was refused or left something in doubt, for people; NULL: none of these.",
    },
}


def upgrade() -> None:
    """A run that is under way has no lease, and counts as dead: its process is of an older version."""
    op.add_column(
        "sync_runs",
        sa.Column(
            "lease_expires_at",
            UTCDateTime(),
            comment="Kept by the sync: until when a running run counts as alive, by the server's clock; its process renews "
            "it. NULL: it has no lease, as on SQLite, where a lock on a file tells.",
        ),
    )
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in COMMENTS.items():
        for column, comment in columns.items():
            quoted = comment.replace("'", "''")
            op.execute(f"COMMENT ON COLUMN {table}.{column} IS '{quoted}'")
    op.execute(
        "COMMENT ON TABLE project_observed IS 'Kept by prune: when deleted runs that changed nothing had observed a project.'"
    )
