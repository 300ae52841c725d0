"""SQLite's way of copying."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table

from rfsync.copy.rows import ROWS_AT_ONCE, Row, copied_tables, key_columns
from rfsync.ledger.bulk import driver_of
from rfsync.schema.triggers import create_trigger_statements


class SqliteSide:
    """See ``rows.Side``."""

    def prepare(self, connection: Connection) -> None:
        """See ``rows.Side.prepare``."""
        for statement in create_trigger_statements("sqlite"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {statement.split()[2]}")
        for table in copied_tables():
            for index in table.indexes:
                index.drop(connection, checkfirst=True)

    def complete(self, connection: Connection) -> None:
        """See ``rows.Side.complete``; SQLite gives a new row the number after the largest by itself."""
        for table in copied_tables():
            for index in table.indexes:
                index.create(connection)
        for statement in create_trigger_statements("sqlite"):
            connection.exec_driver_sql(statement)

    def read(
        self, connection: Connection, table: Table, at_once: int = ROWS_AT_ONCE, skip: int = 0
    ) -> Iterator[list[Row]]:
        """See ``rows.Side.read``."""
        order = ", ".join(key_columns(table))
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        rows = driver_of(connection).execute(
            f"SELECT {columns} FROM {table.name} ORDER BY {order} LIMIT -1 OFFSET {skip}"
        )
        try:
            while chunk := rows.fetchmany(at_once):
                yield chunk
        finally:
            rows.close()

    def write(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """See ``rows.Side.write``."""
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        places = ", ".join("?" * len(table.columns))
        driver_of(connection).executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({places})", rows)

    def empty(self, connection: Connection, tables: Sequence[Table]) -> None:
        """See ``rows.Side.empty``."""
        for table in reversed(tables):
            connection.exec_driver_sql(f"DELETE FROM {table.name}")


def tune(engine: Engine) -> None:
    """Sets what can't be set in a transaction; an engine that writes has one connection, which keeps it."""
    with engine.connect() as connection:
        driver: Any = driver_of(connection)
        # The rows come from a database that has checked them, in an order that would pass.
        driver.execute("PRAGMA foreign_keys = OFF")
        # Keys come in no order: without room for their indexes, each row would read and write pages of its own.
        driver.execute("PRAGMA cache_size = -262144")
