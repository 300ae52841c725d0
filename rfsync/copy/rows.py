"""The tables that are copied, and their rows in a form that both databases share.

That form is SQLite's: instants and days are text in UTC, the rest are integers, text and NULL. PostgreSQL reads such
text as it is, and writes it itself, so that no row is converted in Python. The order of the rows is the same, too:
that of the primary key, whose text both databases compare by code point.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec
from sqlalchemy import Connection, Table

from rfsync.schema.models import metadata

Row: TypeAlias = "tuple[int | str | None, ...]"

#: Rows that are read at once and written in one transaction: some ten megabytes.
ROWS_AT_ONCE: Final = 20_000


class Side(Protocol):
    """What one kind of database does in its own way. All calls happen inside the transaction of ``connection``."""

    def prepare(self, connection: Connection) -> None:
        """Takes away from the empty target what would slow down the loading: triggers, and indexes that check nothing.

        Triggers would also add to the roll-ups, which are copied as they are.
        """

    def complete(self, connection: Connection) -> None:
        """Gives the loaded target back what ``prepare`` took away, and lets new rows have the next numbers."""

    def read(
        self, connection: Connection, table: Table, at_once: int = ROWS_AT_ONCE, skip: int = 0
    ) -> Iterator[list[Row]]:
        """Streams the rows in the order of their keys.

        Args:
            at_once: how many each list has; only the last one may have less.
            skip: this many rows are left out at the beginning.
        """

    def write(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Adds rows to the table."""

    def empty(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Deletes all rows of the tables, which are in the order of their references."""


class Checksum(NamedTuple):
    """What a table has."""

    rows: int
    #: SHA-256 of all rows in the order of their keys.
    sha256: str


def copied_tables() -> list[Table]:
    """All tables but those that are not to be copied, each after those that it refers to."""
    return [table for table in metadata.sorted_tables if table.info.get("copied", True)]


def key_columns(table: Table) -> list[str]:
    """The names of the primary key's columns."""
    return [column.name for column in table.primary_key]


def checksum(chunks: Iterable[list[Row]]) -> Checksum:
    """The checksum of a table, whose rows come in lists of the same length wherever two checksums are compared."""
    # MessagePack, since it is unambiguous, and encodes a row in a fraction of the time that it takes to read it.
    encode = msgspec.msgpack.Encoder().encode
    rows, sha256 = 0, hashlib.sha256()
    for chunk in chunks:
        rows += len(chunk)
        sha256.update(encode(chunk))
    return Checksum(rows, sha256.hexdigest())


def side_for(dialect: str) -> Side:
    """The implementation for ``sqlite`` or ``postgresql``; the other is not even imported."""
    if dialect == "sqlite":
        from rfsync.copy.sqlite import SqliteSide

        return SqliteSide()
    from rfsync.copy.postgres import PostgresSide

    return PostgresSide()
