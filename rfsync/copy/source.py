"""The database that is copied: read in one snapshot, and watched for writers."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnClause, Connection, column, func, select

from rfsync.copy.rows import checksum, copied_tables, key_columns, side_for
from rfsync.database.engine import Database
from rfsync.database.url import sqlite_file
from rfsync.errors import CopyError, SchemaError
from rfsync.ledger.run_locks import FileLocks, Leases
from rfsync.schema import upgrade as schema
from rfsync.schema.models import SyncRun

#: Tables up to this size are part of the fingerprint with all their rows.
_SMALL: Final = 100_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What a snapshot of the source has."""

    #: Another one: the source was written in between.
    fingerprint: str
    #: The number of rows, by the table's name.
    rows: Mapping[str, int]

    @property
    def total(self) -> int:
        """The number of rows in all tables."""
        return sum(self.rows.values())


class Source:
    """The database that is copied.

    Args:
        database: open for reading only, so that each transaction is a snapshot.
        name: for people, without secrets.
    """

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
        self.side = side_for(database.engine.dialect.name)

    @contextmanager
    def snapshot(self, doing: str) -> Iterator[Connection]:
        """One state of the database, for as long as the block takes.

        Raises:
            SchemaError: the database is not at this version's schema.
            DatabaseError: it can't be read.
        """
        with self.database.begin(f"{doing} {self.name}") as connection:
            try:
                schema.require_revision(schema.current(connection))
            except SchemaError as error:
                raise SchemaError(f"{self.name}: {error}") from None
            yield connection

    def require_idle(self, connection: Connection) -> None:
        """Passes if no sync is under way.

        Raises:
            CopyError: one is.
            DatabaseError: that can't be told.
        """
        running = set(connection.scalars(select(SyncRun.id).where(SyncRun.outcome == "running")))
        path = sqlite_file(self.database.engine.url)
        with closing(Leases(self.database) if path is None else FileLocks(path)) as locks:
            if running - set(locks.find_dead(connection)):
                raise CopyError(f"a sync of {self.name} is under way: {STOP_SYNCS}")

    def survey(self, connection: Connection) -> Survey:
        """Counts the rows. What rfsync itself writes changes the fingerprint.

        A sync adds a run; what else there is changes the number of rows, or a table that has few.
        """
        rows: dict[str, int] = {}
        sha256 = hashlib.sha256()
        for table in copied_tables():
            first: ColumnClause[Any] = column(key_columns(table)[0])
            number, last = connection.execute(select(func.count(), func.max(first)).select_from(table)).one()
            rows[table.name] = number
            content = checksum(self.side.read(connection, table)).sha256 if number <= _SMALL else last
            sha256.update(f"{table.name} {number} {content}\n".encode())
        return Survey(sha256.hexdigest(), rows)


#: What to do where the source is written meanwhile.
STOP_SYNCS: Final = "stop what writes to it (daemon, cron, workers), then run the same rfsync copy again"
