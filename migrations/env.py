"""What alembic runs: over a connection that rfsync hands in, or over one of its own by rfsync's configuration."""

from __future__ import annotations

import os

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, text

from rfsync import config as configuration
from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.errors import SchemaError
from rfsync.schema.models import metadata
from rfsync.schema.upgrade import VERSION_TABLE, compared, take_over

# Any number, as long as nobody else uses it in the same database: the first digits of sha256("rfsync migrations").
MIGRATION_LOCK = 0x3D1F_52A0


def run(connection: Connection) -> None:
    """All migrations in one transaction: a failed one leaves the schema as it was."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_object=compared(connection.dialect.name),
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two upgrades at once: the second waits, and finds the work done. Nobody else's queries wait behind one
            # that can't get its lock.
            connection.execute(text("SET LOCAL lock_timeout = '15s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        take_over(connection)
        context.run_migrations()


def main() -> None:
    """Entry of every alembic command."""
    if context.is_offline_mode():
        raise SystemExit("rfsync's migrations need a database to run on: leave out --sql")
    handed_in = context.config.attributes.get("connection")
    if handed_in is not None:
        run(handed_in)
        return
    loaded = configuration.load(configuration.find_file(None, os.environ), os.environ)
    engine = open_engine(parse_url(loaded.database.url), read_only=False)
    try:
        with engine.connect() as connection:
            run(connection)
            connection.commit()
    except SchemaError as error:
        raise CommandError(str(error)) from None
    finally:
        engine.dispose()


main()
