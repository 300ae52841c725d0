"""PostgreSQL's way of copying."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Column, Connection, Date, Table
from sqlalchemy.dialects import postgresql

from rfsync.copy.rows import ROWS_AT_ONCE, Row, copied_tables, key_columns
from rfsync.ledger.bulk import driver_of
from rfsync.schema.types import UTCDateTime

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def _in_text(column: Column[object]) -> str:
    """The column as SQLite has it; the transaction's time zone is UTC."""
    name = f'"{column.name}"'
    if isinstance(column.type, UTCDateTime):
        return f"to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"to_char({name}, 'YYYY-MM-DD')" if isinstance(column.type, Date) else name


class PostgresSide:
    """See ``rows.Side``."""

    def prepare(self, connection: Connection) -> None:
        """See ``rows.Side.prepare``."""
        for table in copied_tables():
            connection.exec_driver_sql(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
            for index in table.indexes:
                connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index.name}")

    def complete(self, connection: Connection) -> None:
        """See ``rows.Side.complete``."""
        # Many indexes are sorted in memory; the setting ends with the transaction.
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
        for table in copied_tables():
            for index in table.indexes:
                index.create(connection)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")
            connection.exec_driver_sql(f"ANALYZE {table.name}")
            numbered = table.autoincrement_column
            if numbered is not None:
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{numbered.name}'), m.largest) "
                    f"FROM (SELECT max({numbered.name}) AS largest FROM {table.name}) m WHERE m.largest IS NOT NULL"
                )

    def read(
        self, connection: Connection, table: Table, at_once: int = ROWS_AT_ONCE, skip: int = 0
    ) -> Iterator[list[Row]]:
        """See ``rows.Side.read``; through a cursor on the server, so that neither end has to hold all rows."""
        columns = ", ".join(map(_in_text, table.columns))
        order = ", ".join(key_columns(table))
        with driver_of(connection).cursor(name="copied") as cursor:
            cursor.execute(f"SELECT {columns} FROM {table.name} ORDER BY {order} OFFSET {skip}", binary=True)
            while chunk := cursor.fetchmany(at_once):
                yield chunk

    def write(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """See ``rows.Side.write``."""
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        with (
            driver_of(connection).cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
        ):
            write = copy.write_row
            for row in rows:
                write(row)

    def empty(self, connection: Connection, tables: Sequence[Table]) -> None:
        """See ``rows.Side.empty``."""
        connection.exec_driver_sql(f"TRUNCATE {', '.join(table.name for table in tables)}")
