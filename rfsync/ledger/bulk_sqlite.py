"""SQLite's way of reading and writing many records: one prepared statement for all rows."""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cache
from itertools import starmap
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, cast, func
from sqlalchemy.dialects import sqlite

from rfsync.database.sqlite import sqlite_text
from rfsync.ledger.bulk import (
    LedgerContext,
    MissingRow,
    change_columns,
    change_rows,
    current,
    driver_of,
    missing_columns,
    new_columns,
    record_columns,
    text_of,
    update_one,
)
from rfsync.ledger.changes import Change, ChangeKind
from rfsync.ledger.record_types import RecordType
from rfsync.records import Record
from rfsync.schema import models

_SQLITE: Final = sqlite.dialect()


def _insert(model: type[models.Base], columns: Sequence[str]) -> str:
    """An insert of these columns as sqlite3 takes it, with a ``?`` for each."""
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    return f"INSERT INTO {model.__tablename__} ({names}) VALUES ({places})"  # noqa: S608 the names are the models'


@cache
def _current(type_: RecordType) -> Select[*tuple[Any, ...]]:
    """The instant as microseconds."""
    # In SQL: parsing the text in Python takes longer. Not unixepoch(), which SQLite has only since 3.38. Without the
    # fraction, which strftime() rounds to milliseconds, and from .9995 on to the next second.
    text = type_.column(type_.instant)
    seconds = cast(func.strftime("%s", func.substr(text, 1, 19)), BigInteger)
    us = seconds * 1_000_000 + cast(func.substr(text, 21), BigInteger)
    place = 1 + type_.columns.index(type_.instant)
    columns = record_columns(type_)
    return current(type_).with_only_columns(*columns[:place], us, *columns[place + 1 :])


@cache
def _add(type_: RecordType) -> str:
    return _insert(type_.model, new_columns(type_))


@cache
def _update(type_: RecordType) -> str:
    columns = [*type_.columns, "changed_at", "removed_at", "of_project", "of_record"]
    compiled = update_one(type_).compile(dialect=_SQLITE, column_keys=columns)
    assert compiled.positiontup == columns  # noqa: S101 the rows are made for just these
    return str(compiled)


@cache
def _append(type_: RecordType) -> str:
    return _insert(type_.changes, change_columns(type_))


@cache
def _add_missing(type_: RecordType) -> str:
    return _insert(type_.missing, missing_columns(type_))


class SqliteBulk:
    """One prepared statement for all rows, executed by the driver's own loop."""

    def current(self, connection: Connection, type_: RecordType, project_id: int, number: int) -> Generator[Record]:
        """Streams the driver's own rows: SQLAlchemy's would be taken apart again at once."""
        with closing(connection.execute(_current(type_), {"project_id": project_id})) as result:
            rows: Any = result.cursor
            yield from starmap(type_.make, rows)

    def pipeline(self, connection: Connection, number: int) -> AbstractContextManager[object]:
        """See ``Bulk.pipeline``: there is nobody to wait for."""
        return nullcontext()

    def add(self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.add``."""
        project, at, row_of = context.project_id, sqlite_text(context.observed_at), type_.row_of
        driver_of(connection).executemany(_add(type_), ((project, *row_of(c.record, text_of), at, at) for c in changes))

    def update(
        self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]
    ) -> None:
        """See ``Bulk.update``."""
        project, at, row_of = context.project_id, sqlite_text(context.observed_at), type_.row_of
        rows = (
            (
                *row_of(c.record, text_of)[1:],
                *(at, at if c.kind is ChangeKind.REMOVED else None, project, c.record.id),
            )
            for c in changes
        )
        driver_of(connection).executemany(_update(type_), rows)

    def append(
        self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]
    ) -> None:
        """See ``Bulk.append``."""
        driver_of(connection).executemany(_append(type_), change_rows(type_, context, changes, text_of))

    def add_missing(self, connection: Connection, type_: RecordType, rows: Sequence[MissingRow]) -> None:
        """See ``Bulk.add_missing``."""
        texts = (
            (project, record_id, sqlite_text(at), refusal, None if asked is None else sqlite_text(asked))
            for project, record_id, at, refusal, asked in rows
        )
        driver_of(connection).executemany(_add_missing(type_), texts)
