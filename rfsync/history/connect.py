"""Read-only access to a database."""

import os

from sqlalchemy import URL, Engine

from rfsync.database.engine import Database, open_engine
from rfsync.database.url import parse_url, require_path
from rfsync.schema import upgrade as schema


def connect(url: str | None = None) -> Engine:
    """An engine for the queries of ``rfsync.history``; the database itself refuses to write through it.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``; None: as the command line finds it, by
            ``$RFSYNC_DATABASE_URL`` or the configuration file.

    Raises:
        ConfigError: the URL or the configuration is wrong, or the PostgreSQL driver is not installed.
        DatabaseError: there is no such database, or it can't be reached.
        SchemaError: it is at another version's schema.
    """
    if url is None:
        from rfsync.config import find_file, load

        url = load(find_file(None, os.environ), os.environ).database.url
    parsed = parse_url(url)
    require_path(parsed)
    return open_reader(parsed)


def open_reader(url: URL) -> Engine:
    """The same, for a URL that was parsed."""
    engine = open_engine(url, read_only=True)
    schema.require(Database(engine))
    return engine
