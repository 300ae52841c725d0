"""The database that is copied into: no other command uses it until it is proved to be equal."""

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from sqlalchemy import Column, Connection, MetaData, Table, Text, exists, func, insert, select, update

from rfsync.copy import sqlite
from rfsync.copy.rows import Row, copied_tables, side_for
from rfsync.database.engine import Database, open_database
from rfsync.database.url import sqlite_file
from rfsync.errors import ConfigError, CopyError, SchemaError
from rfsync.schema import upgrade as schema

log = logging.getLogger("rfsync.copy")

#: One row, in the target, for as long as the copy has not ended.
_COPY: Final = Table(
    "rfsync_copy",
    MetaData(),
    # For people, without secrets.
    Column("source", Text, nullable=False),
    # ``Survey.fingerprint`` of what is copied; empty: the copy was found to be wrong.
    Column("fingerprint", Text, nullable=False),
    Column("stage", Text, nullable=False),
    # The process that began or resumed it last.
    Column("owner", Text, nullable=False),
)
_MARK: Final = schema.COPYING + schema.HEAD


class Stage(StrEnum):
    """How far a copy is."""

    #: Rows are being written, to tables without triggers and most indexes.
    ROWS = "rows"
    #: All rows are there, and the schema is whole again.
    WHOLE = "whole"


class Target:
    """The database that is copied into.

    Args:
        database: open for writing; an SQLite file may be missing, as may the schema.
        name: for people, without secrets.
    """

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
        self.side = side_for(database.engine.dialect.name)
        self._owner = uuid.uuid4().hex

    def begin(self, source: str, fingerprint: str) -> Stage:
        """Makes the target ready for the rows of a source, or takes up the unfinished copy of the same one.

        Args:
            source: its name for people.
            fingerprint: what it has.

        Returns:
            How far an earlier copy has come.

        Raises:
            ConfigError: the target has rows of its own, or an unfinished copy of something else.
            SchemaError: it is at another schema.
            DatabaseError: it can't be written, or its tables are another role's.
        """
        self._make_schema()
        if self.database.engine.dialect.name == "sqlite":
            sqlite.tune(self.database.engine)
        with self.database.begin(f"preparing {self.name}, as the owner of its tables") as connection:
            revision = schema.recorded(connection)
            if revision == _MARK:
                # First, since this waits for a transaction of the process before, which the server may not have ended.
                connection.execute(update(_COPY).values(owner=self._owner))
                found = connection.execute(select(_COPY)).one()
                if fingerprint == found.fingerprint:
                    return Stage(found.stage)
                self._begin_anew(connection, found.source, source, fingerprint)
                return Stage.ROWS
            if revision is not None and revision.startswith(schema.COPYING):
                raise ConfigError(f"{self.name} has an unfinished copy by another version of rfsync: {_NAME_EMPTY}")
            self._require_empty(connection, revision)
            self._mark(connection, source, fingerprint)
            return Stage.ROWS

    def _make_schema(self) -> None:
        """Makes the tables where there are none."""
        path = sqlite_file(self.database.engine.url)
        if path is not None:
            schema.require_folder(path)
        with self.database.begin(f"opening {self.name}") as connection:
            revision = schema.recorded(connection)
        if revision is not None:
            return
        if path is None:
            schema.upgrade(self.database.engine, None)
        else:
            schema.ensure_sqlite(path).close()

    def _require_empty(self, connection: Connection, revision: str | None) -> None:
        try:
            schema.require_revision(revision)
        except SchemaError as error:
            raise SchemaError(f"{self.name}: {error}") from None
        filled = [table.name for table in copied_tables() if connection.scalar(select(exists().select_from(table)))]
        if filled:
            raise ConfigError(
                f"{self.name} has a history of its own (rows in {', '.join(filled)}), which a copy would mix with the "
                f"other one: {_NAME_EMPTY}"
            )

    def _mark(self, connection: Connection, source: str, fingerprint: str) -> None:
        """Lets no other command use the target from here on."""
        self.side.prepare(connection)
        _COPY.create(connection)
        values = {"source": source, "fingerprint": fingerprint, "stage": Stage.ROWS, "owner": self._owner}
        connection.execute(insert(_COPY), values)
        connection.execute(update(schema.VERSION).values(version_num=_MARK))

    def _begin_anew(self, connection: Connection, copied: str, source: str, fingerprint: str) -> None:
        """Deletes what was copied from an earlier state of the source.

        Raises:
            ConfigError: it was copied from another source.
        """
        if copied != source:
            raise ConfigError(f"{self.name} has an unfinished copy of {copied}: finish it, or {_NAME_EMPTY}")
        log.warning("%s has changed since the copy began, or the copy was wrong: it begins anew", source)
        self.side.prepare(connection)
        self.side.empty(connection, copied_tables())
        connection.execute(update(_COPY).values(fingerprint=fingerprint, stage=Stage.ROWS))

    def count(self) -> dict[str, int]:
        """The number of rows that each table has."""
        with self._own("counting") as connection:
            return {
                table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in copied_tables()
            }

    def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Adds rows, in a transaction of their own.

        Raises:
            CopyError: another process has taken up the copy.
            DatabaseError: the database refused or vanished.
        """
        # What a power cut takes back is copied again.
        with self._own(f"copying {table.name}", durable=False) as connection:
            self.side.write(connection, table, rows)

    def complete(self) -> None:
        """Makes the schema whole again, once all rows are there."""
        with self._own("building the indexes") as connection:
            self.side.complete(connection)
            connection.execute(update(_COPY).values(stage=Stage.WHOLE))

    def reject(self) -> None:
        """Notes that the copy is wrong: the next one begins anew."""
        with self._own("rejecting the copy") as connection:
            connection.execute(update(_COPY).values(fingerprint=""))

    def release(self) -> None:
        """Ends the copy: from here on the target is a database like any other."""
        with self._own("ending the copy") as connection:
            _COPY.drop(connection)
            connection.execute(update(schema.VERSION).values(version_num=schema.HEAD))

    @contextmanager
    def _own(self, doing: str, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that another copy into the same database waits for, or has taken over."""
        with self.database.begin(f"{doing} in {self.name}", durable=durable) as connection:
            mine = update(_COPY).where(_COPY.c.owner == self._owner).values(owner=self._owner)
            if connection.execute(mine).rowcount != 1:
                raise CopyError(f"another rfsync copy into {self.name} has begun meanwhile, and goes on")
            yield connection

    def open_reader(self) -> Database:
        """The same database, for reading only."""
        return open_database(self.database.engine.url, read_only=True)


_NAME_EMPTY: Final = "name an empty database, or an SQLite file that does not exist"
