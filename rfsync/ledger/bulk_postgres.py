"""PostgreSQL's way of reading and writing many records: binary, by cursor, COPY and arrays."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from itertools import starmap
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Text,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal_column,
    null,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.dml import Update
from sqlalchemy.types import TypeEngine

from rfsync.ledger.bulk import (
    LedgerContext,
    MissingRow,
    change_columns,
    change_rows,
    current,
    driver_of,
    instant_of,
    microseconds,
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
from rfsync.schema.types import UTCDateTime

_PSYCOPG: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call]
#: Rows that a cursor on the server gives at once; fewer are read without one, which saves three round trips.
_ROWS_AT_ONCE: Final = 20_000
#: Up to this many changes are written by a statement for each, in one round trip for all; a COPY takes three.
_FEW: Final = 8
# A timestamptz travels in binary as whole microseconds since 2000-01-01 UTC (PostgreSQL's documentation, "Date/Time
# Types" and src/include/datatype/timestamp.h), and can be read and written as the 64-bit number that it is.
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000


def _postgres_us(us: int | None) -> int | None:
    return None if us is None else us - _POSTGRES_EPOCH_US


@cache
def _current(type_: RecordType) -> str:
    """``bulk.current`` as psycopg takes it, with instants moved so that in binary they count from 1970."""
    # In SQL: taking each row apart and putting it together again takes longer.
    moved: ColumnElement[Any] = literal_column(f"interval '{_POSTGRES_EPOCH_US // 1_000_000} seconds'")
    columns = [c + moved if c is type_.column(type_.instant) else c for c in record_columns(type_)]
    return str(current(type_).with_only_columns(*columns).compile(dialect=_PSYCOPG))


@cache
def _copy_types(model: type[models.Base], columns: tuple[str, ...]) -> list[str]:
    """The names of the types in which a row of these columns is copied."""
    table = model.__table__.c
    return [_copy_type(table[name].type) for name in columns]


def _copy_type(type_: TypeEngine[Any]) -> str:
    if isinstance(type_, Text):
        return "text"
    return "int4" if type(type_) is Integer else "int8"


def _copy_in(
    connection: Connection, model: type[models.Base], columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]
) -> None:
    """Copies rows into the model's table in binary, with instants as microseconds since 2000."""
    statement = f"COPY {model.__tablename__} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(_copy_types(model, columns))
        write = copy.write_row
        for row in rows:
            write(row)


@cache
def _update_from_arrays(type_: RecordType) -> Update:
    """Updates from an array for each column: ``ids``, those of the record, and ``gone``."""
    arrays: list[Any] = [bindparam("ids", type_=postgresql.ARRAY(Text))]
    arrays += [bindparam(f"new_{name}", type_=_array_type(type_.column(name).type)) for name in type_.columns]
    arrays.append(bindparam("gone", type_=postgresql.ARRAY(Boolean)))
    new: Any = func.unnest(*arrays).table_valued(type_.key, *type_.columns, "gone", name="new").render_derived()
    at = bindparam("at", type_=UTCDateTime)
    return (
        update(type_.model)
        .where(type_.project_column == bindparam("of_project"), type_.key_column == new.c[type_.key])
        .values(
            **{name: new.c[name] for name in type_.columns},
            changed_at=at,
            removed_at=case((cast(new.c.gone, Boolean), at), else_=null()),
        )
    )


def _array_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    if isinstance(type_, Text):
        return postgresql.ARRAY(Text)
    return postgresql.ARRAY(BigInteger if isinstance(type_, BigInteger) else postgresql.TIMESTAMP(timezone=True))


@cache
def _insert(model: type[models.Base]) -> Any:
    # Inline: nobody asks for the number that the database gives a row.
    return insert(model).inline()


class PostgresBulk:
    """Binary throughout: a cursor on the server, COPY for new rows, an array for each column of rows that are there."""

    def current(self, connection: Connection, type_: RecordType, project_id: int, number: int) -> Generator[Record]:
        """Streams many rows through a cursor on the server, so that neither side has to hold them all."""
        from psycopg.types.numeric import Int8BinaryLoader

        many = number > _ROWS_AT_ONCE
        with driver_of(connection).cursor(name="records" if many else "") as cursor:
            if many:
                cursor.itersize = _ROWS_AT_ONCE
            cursor.adapters.register_loader("timestamptz", Int8BinaryLoader)
            cursor.execute(_current(type_), {"project_id": project_id}, binary=True)
            yield from starmap(type_.make, cursor)

    def pipeline(self, connection: Connection, number: int) -> AbstractContextManager[object]:
        """See ``Bulk.pipeline``: one round trip for all of them, unless there are so many that they need a COPY."""
        if number > _FEW:
            return nullcontext()
        pipeline: AbstractContextManager[object] = driver_of(connection).pipeline()
        return pipeline

    def add(self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.add``."""
        columns, row_of, project = new_columns(type_), type_.row_of, context.project_id
        if len(changes) <= _FEW:
            at = context.observed_at
            _insert_few(
                connection, type_.model, columns, ((project, *row_of(c.record, instant_of), at, at) for c in changes)
            )
            return
        at_us = _postgres_us(microseconds(context.observed_at))
        # What the triggers look at fits into memory; the setting ends with the transaction.
        connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
        rows = ((project, *row_of(c.record, _postgres_us), at_us, at_us) for c in changes)
        _copy_in(connection, type_.model, columns, rows)

    def update(
        self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]
    ) -> None:
        """See ``Bulk.update``."""
        at, row_of, own = context.observed_at, type_.row_of, ("of_record", *type_.columns)
        if len(changes) <= _FEW:
            same = {"of_project": context.project_id, "changed_at": at}
            rows = [
                {
                    **same,
                    **dict(zip(own, row_of(c.record, instant_of), strict=True)),
                    "removed_at": at if c.kind is ChangeKind.REMOVED else None,
                }
                for c in changes
            ]
            connection.execute(_update_one(type_), rows)
            return
        columns = zip(*(row_of(c.record, _offset_text) for c in changes), strict=True)
        arrays = dict(zip(("ids", *(f"new_{name}" for name in type_.columns)), map(list, columns), strict=True))
        gone = [c.kind is ChangeKind.REMOVED for c in changes]
        values = {"of_project": context.project_id, "at": at, "gone": gone, **arrays}
        connection.execute(_update_from_arrays(type_), values)

    def append(
        self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]
    ) -> None:
        """See ``Bulk.append``."""
        columns = change_columns(type_)
        if len(changes) <= _FEW:
            _insert_few(connection, type_.changes, columns, change_rows(type_, context, changes, instant_of))
            return
        _copy_in(connection, type_.changes, columns, change_rows(type_, context, changes, _postgres_us))

    def add_missing(self, connection: Connection, type_: RecordType, rows: Sequence[MissingRow]) -> None:
        """See ``Bulk.add_missing``."""
        columns = missing_columns(type_)
        if len(rows) <= _FEW:
            _insert_few(connection, type_.missing, columns, rows)
            return
        numbers = (
            (project, record_id, _postgres_us(microseconds(at)), refusal, _postgres_us(microseconds(asked)))
            for project, record_id, at, refusal, asked in rows
        )
        _copy_in(connection, type_.missing, columns, numbers)


@cache
def _update_one(type_: RecordType) -> Update:
    return update_one(type_)


def _insert_few(
    connection: Connection, model: type[models.Base], columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]
) -> None:
    connection.execute(_insert(model), [dict(zip(columns, row, strict=True)) for row in rows])


def _offset_text(us: int | None) -> str | None:
    text = text_of(us)
    return None if text is None else text + "+00"
