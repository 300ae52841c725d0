"""The order of overlapping runs by a clock that all machines share.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """NULL until the project is next written: no run overlaps with an upgrade."""
    op.add_column(
        "projects",
        sa.Column(
            "sent_us",
            sa.BigInteger(),
            comment="Kept by the sync: when the request behind written_at was sent, in microseconds of a clock that "
            "all who write share; tells which of two overlapping runs is the newer one.",
        ),
    )
