"""SQLAlchemy's way to the database, for the migrations and for questions to the history."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from rfsync.database.drivers import connect_postgres, open_sqlite, require_psycopg
from rfsync.database.url import DatabaseUrl
from rfsync.errors import DatabaseError


def open_engine(url: DatabaseUrl, *, read_only: bool) -> Engine:
    """An engine that has not connected yet, and keeps no connections.

    Args:
        url: from ``database.parse_url``.
        read_only: the database itself refuses to write, and a missing SQLite file is an error.

    Raises:
        ConfigError: the PostgreSQL driver is not installed.
        DatabaseError: there is no such file.
    """
    if url.path is not None:
        return _open_sqlite(url, read_only=read_only)

    def connect() -> Any:
        driver = connect_postgres(url)
        if read_only:
            # Compiling a statement of many parts takes longer than any of the questions does.
            driver.execute("SET jit = off")
        driver.autocommit = False
        driver.read_only = read_only
        return driver

    require_psycopg()
    return create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _open_sqlite(url: DatabaseUrl, *, read_only: bool) -> Engine:
    path = url.path
    if read_only and path is not None and not path.exists():
        raise DatabaseError(f"there is no database {path}: rfsync sync makes it")

    def connect() -> sqlite3.Connection:
        return open_sqlite(path, read_only=read_only)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
