"""The SQL that SQLite and PostgreSQL write differently, and the values that their drivers take and return."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import CursorResult

from rfsync.database.sqlite import sqlite_text


class Sqlite:
    """SQLite, where instants are texts in UTC, whose order is that of time."""

    #: For a CTE that is computed once, not at each use; SQLite does so by itself, and before 3.35 has no such keyword.
    materialized = ""
    #: After a text to be ordered by: by its characters, and not by a language's rules.
    binary = "COLLATE BINARY"

    def table(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> tuple[str, dict[str, str]]:
        """SELECT rows from Python: the SQL and its parameters, whose names begin with ``name``.

        Args:
            columns: name -> PostgreSQL's type, a number, date or instant.
        """
        text = cache(self.to_parameter)  # slow, and most instants come twice: a period begins where another ends
        texts = [[text(value) if isinstance(value, datetime) else value for value in row] for row in rows]
        picked = ", ".join(f"json_extract(value, '$[{n}]') AS {column}" for n, column in enumerate(columns))
        sql = f"SELECT {picked} FROM json_each(CAST(:{name}_rows AS text))"
        return sql, {f"{name}_rows": msgspec.json.encode(texts).decode()}

    def seek(
        self, table: str, alias: str, condition: str, latest_by: str | None = None, *, optional: bool = False
    ) -> str:
        """Join each row with those that an index finds, even where the planner would rather scan the table.

        Args:
            condition: may refer to the tables on the left.
            latest_by: unique column; join only the row in which it is highest.
            optional: keep a row on the left for which there is none.
        """
        if latest_by is not None:
            newest = condition.replace(f"{alias}.", "newest.")
            order = f"ORDER BY newest.{latest_by} DESC LIMIT 1"
            condition = f"{alias}.id = (SELECT newest.id FROM {table} newest WHERE {newest} {order})"
        # SQLite never reorders a CROSS JOIN, and finds the right side of a LEFT JOIN last.
        return f"{'LEFT' if optional else 'CROSS'} JOIN {table} {alias} ON {condition}"

    def seconds(self, later: str, earlier: str) -> str:
        """Seconds between two instants, as a float with microseconds."""
        # Whole seconds and fractions apart: a float of seconds since 1970 can't hold microseconds. The texts are cut
        # because SQLite would round to milliseconds first.
        whole = f"strftime('%s', substr({later}, 1, 19)) - strftime('%s', substr({earlier}, 1, 19))"
        fractions = f"substr({later}, 20) - substr({earlier}, 20)"
        return f"round({whole} + ({fractions}), 6)"

    def to_parameter(self, value: Any) -> Any:
        """A value for the driver."""
        if isinstance(value, datetime):
            return sqlite_text(value)
        return value.isoformat() if isinstance(value, date) else value

    def to_datetimes(self, column: Iterable[Any]) -> Sequence[datetime | None]:
        """A result's column of instants, aware and in UTC."""
        return [None if text is None else datetime.fromisoformat(f"{text}+00:00") for text in column]

    def fetcher(self, result: CursorResult[Any]) -> Callable[[int], Sequence[Any]]:
        """Whatever fetches a number of rows fastest."""
        # SQLAlchemy's own rows would only be taken apart again.
        return result.fetchmany if result.cursor is None else result.cursor.fetchmany


class Postgresql:
    """The same for PostgreSQL, where instants are of the type ``timestamptz``."""

    materialized = "MATERIALIZED "
    binary = 'COLLATE "C"'

    def table(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> tuple[str, dict[str, str]]:
        # Arrays, which PostgreSQL reads several times as fast as JSON. Of such values they are written alike.
        values = zip(*rows, strict=True) if rows else [()] * len(columns)
        arrays = {
            f"{name}_{column}": f"{{{msgspec.json.encode(some).decode()[1:-1]}}}"
            for column, some in zip(columns, values, strict=True)
        }
        parameters = ", ".join(f"CAST(:{name}_{column} AS {kind}[])" for column, kind in columns.items())
        return f"SELECT * FROM unnest({parameters}) AS {name} ({', '.join(columns)})", arrays

    def seek(
        self, table: str, alias: str, condition: str, latest_by: str | None = None, *, optional: bool = False
    ) -> str:
        # OFFSET, like LIMIT, keeps the planner from merging the subquery into a join of its own choice.
        rows = "OFFSET 0" if latest_by is None else f"ORDER BY {alias}.{latest_by} DESC LIMIT 1"
        join, on = ("LEFT", " ON true") if optional else ("CROSS", "")
        return f"{join} JOIN LATERAL (SELECT * FROM {table} {alias} WHERE {condition} {rows}) {alias}{on}"

    def seconds(self, later: str, earlier: str) -> str:
        # Whole seconds and fractions apart: before PostgreSQL 14, extract() computes a float from both.
        whole = f"CAST(extract(epoch FROM date_trunc('second', {later} - {earlier})) AS numeric)"
        microseconds = f"CAST(extract(microseconds FROM {later} - {earlier}) AS numeric) % 1000000"
        return f"CAST({whole} + {microseconds} / 1000000 AS double precision)"

    def to_parameter(self, value: Any) -> Any:
        return value

    def to_datetimes(self, column: Iterable[Any]) -> Sequence[datetime | None]:
        return [None if instant is None else instant.astimezone(UTC) for instant in column]

    def fetcher(self, result: CursorResult[Any]) -> Callable[[int], Sequence[Any]]:
        return result.fetchmany  # SQLAlchemy's, which streams
