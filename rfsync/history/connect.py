"""The way to a database for those who only ask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rfsync.database.drivers import open_database
from rfsync.database.engine import open_engine
from rfsync.database.url import DatabaseUrl, parse_url
from rfsync.errors import DatabaseError
from rfsync.schema import upgrade as schema

if TYPE_CHECKING:
    from sqlalchemy import Engine


def connect(url: str | None = None) -> Engine:
    """An engine for the questions of ``rfsync.history``; the database itself refuses to write through it.

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
    return open_reader(parse_url(url))


def open_reader(url: DatabaseUrl) -> Engine:
    """The same, for a URL that was parsed."""
    require_existing(url)
    engine = open_engine(url, read_only=True)
    database = open_database(url, read_only=True)
    try:
        schema.require(database)
    finally:
        database.close()
    return engine


def require_existing(url: DatabaseUrl) -> None:
    """Passes if there is such a file, or the database is on a server.

    Raises:
        DatabaseError: there is none.
    """
    if url.path is not None and not url.path.exists():
        raise DatabaseError(f"there is no database {url.path}: rfsync sync makes it")
