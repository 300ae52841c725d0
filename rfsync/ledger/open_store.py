"""Opens the store of a database, with the locks of runs that its kind needs."""

from collections.abc import Callable

from sqlalchemy import URL

from rfsync.database.engine import Database, open_database
from rfsync.database.url import sqlite_file
from rfsync.ledger.people import PeopleMode
from rfsync.ledger.run_locks import FileLocks, Leases
from rfsync.ledger.store import Store
from rfsync.schema import upgrade as schema


def open_store(url: URL, *, people: PeopleMode, on_made: Callable[[], None] = lambda: None) -> Store:
    """The store of a database; an SQLite one is made or upgraded if need be.

    Args:
        people: ``[jobs] people``.
        on_made: called once the schema of an SQLite database was made.

    Raises:
        DatabaseError: the database can't be opened.
        SchemaError: it is at another schema, and not ours to upgrade.
    """
    path = sqlite_file(url)
    if path is None:
        database = require_current_schema(open_database(url))
        return Store(database, Leases(database), people=people)
    return Store(schema.ensure_sqlite(path, on_made), FileLocks(path), people=people)


def require_current_schema(database: Database) -> Database:
    """The database, if it is at this version's schema; else it is closed.

    Raises:
        SchemaError: it is not; the message says how to fix that.
        DatabaseError: it can't be reached.
    """
    try:
        schema.require(database)
    except BaseException:
        database.close()
        raise
    return database
