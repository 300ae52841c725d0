"""The table of the rate limit; part of ``models``."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from rfsync.schema.base import NOT_COPIED, Base, Key


class RateLimit(Base):
    """When the next request with a key may be sent, over all processes; only on PostgreSQL are there rows."""

    __tablename__ = "rate_limits"

    key_digest: Mapped[Key] = mapped_column(primary_key=True, comment="A digest of the API key.")
    reserved_at: Mapped[datetime] = mapped_column(
        comment="When a turn was last reserved, by the server's clock; tells that the clock was set back."
    )
    next_at: Mapped[datetime] = mapped_column(comment="When the next request may be sent.")

    __table_args__ = (
        {
            "info": NOT_COPIED,
            "comment": "Kept by the sync: when the next request with an API key may be sent, over all processes.",
        },
    )


# Of no use after a crash, and so not worth a write to the log, which each request would have to wait for.
_UNLOGGED = sa.DDL("ALTER TABLE rate_limits SET UNLOGGED")  # type: ignore[no-untyped-call]  # SQLAlchemy gives it no types
sa.event.listen(RateLimit.__table__, "after_create", _UNLOGGED.execute_if(dialect="postgresql"))
