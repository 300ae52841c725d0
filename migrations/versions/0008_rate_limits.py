"""The rate limit that all processes share on PostgreSQL.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rfsync.schema.types import UTCDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

#: A role of deploy/postgres/reader.sql may have the right to read whatever is made anew.
READERS = """DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rfsync_reader') THEN
        REVOKE ALL ON rate_limits FROM rfsync_reader;
    END IF;
END
$$"""


def upgrade() -> None:
    """Adds a table, which the first requests fill."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    collation = "C" if is_postgres else None
    op.create_table(
        "rate_limits",
        sa.Column("key_digest", sa.Text(collation=collation), nullable=False, comment="A digest of the API key."),
        sa.Column(
            "reserved_at",
            UTCDateTime(),
            nullable=False,
            comment="When a turn was last reserved, by the server's clock; tells that the clock was set back.",
        ),
        sa.Column("next_at", UTCDateTime(), nullable=False, comment="When the next request may be sent."),
        sa.PrimaryKeyConstraint("key_digest", name="pk_rate_limits"),
        comment="Kept by the sync: when the next request with an API key may be sent, over all processes.",
    )
    if is_postgres:
        # Of no use after a crash.
        op.execute("ALTER TABLE rate_limits SET UNLOGGED")
        op.execute(READERS)
