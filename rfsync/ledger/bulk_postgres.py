"""PostgreSQL's way of reading and writing many batches: binary, by cursor, COPY and arrays."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Connection, Integer, Text, bindparam, case, cast, func, insert, null, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import TypeEngine

from rfsync.ledger.bulk import (
    BATCH_COLUMNS,
    CHANGE_COLUMNS,
    CURRENT,
    MISSING_COLUMNS,
    UPDATE,
    LedgerContext,
    MissingRow,
    change_rows,
    driver_of,
    instant_of,
    microseconds,
    text_of,
)
from rfsync.ledger.changes import Change, ChangeKind
from rfsync.records import Batch
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
def _current() -> str:
    """``CURRENT`` as psycopg takes it."""
    return str(CURRENT.compile(dialect=_PSYCOPG))


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


_NEW: Final[Any] = (
    func.unnest(
        *(bindparam(name, type_=postgresql.ARRAY(Text)) for name in ("ids", "names")),
        bindparam("uploaded", type_=postgresql.ARRAY(postgresql.TIMESTAMP(timezone=True))),
        *(bindparam(name, type_=postgresql.ARRAY(BigInteger)) for name in ("images", "jobs")),
        bindparam("gone", type_=postgresql.ARRAY(Boolean)),
    )
    .table_valued("batch_id", "name", "uploaded_at", "images", "num_jobs", "gone", name="new")
    .render_derived()
)
_UPDATE_FROM_ARRAYS: Final = (
    update(models.Batch)
    .where(models.Batch.project_id == bindparam("of_project"), models.Batch.batch_id == _NEW.c.batch_id)
    .values(
        **{name: _NEW.c[name] for name in ("name", "uploaded_at", "images", "num_jobs")},
        changed_at=bindparam("at", type_=UTCDateTime),
        removed_at=case((cast(_NEW.c.gone, Boolean), bindparam("at", type_=UTCDateTime)), else_=null()),
    )
)
# Inline: nobody asks for the number that the database gives a row.
_ADD: Final = insert(models.Batch).inline()
_APPEND: Final = insert(models.BatchChange).inline()
_ADD_MISSING: Final = insert(models.MissingBatch).inline()


class PostgresBulk:
    """Binary throughout: a cursor on the server, COPY for new rows, an array for each column of rows that are there."""

    def current(self, connection: Connection, project_id: int, number: int) -> Generator[Batch]:
        """Streams many rows through a cursor on the server, so that neither side has to hold them all."""
        from psycopg.types.numeric import Int8BinaryLoader

        many = number > _ROWS_AT_ONCE
        with driver_of(connection).cursor(name="batches" if many else "") as cursor:
            if many:
                cursor.itersize = _ROWS_AT_ONCE
            cursor.adapters.register_loader("timestamptz", Int8BinaryLoader)
            cursor.execute(_current(), {"project_id": project_id}, binary=True)
            for batch_id, name, us, images, num_jobs in cursor:
                yield Batch(batch_id, name, None if us is None else us + _POSTGRES_EPOCH_US, images, num_jobs)

    def pipeline(self, connection: Connection, number: int) -> AbstractContextManager[object]:
        """See ``Bulk.pipeline``: one round trip for all of them, unless there are so many that they need a COPY."""
        if number > _FEW:
            return nullcontext()
        pipeline: AbstractContextManager[object] = driver_of(connection).pipeline()
        return pipeline

    def add(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.add``."""
        if len(changes) <= _FEW:
            same = {"project_id": context.project_id, "first_seen_at": context.observed_at}
            connection.execute(_ADD, [{**same, "batch_id": c.batch_id, **_values(context, c)} for c in changes])
            return
        project, at = context.project_id, _postgres_us(microseconds(context.observed_at))
        # What the triggers look at fits into memory; the setting ends with the transaction.
        connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
        rows = (
            (project, c.batch_id, c.name, _postgres_us(c.uploaded_us), c.images, c.num_jobs, at, at) for c in changes
        )
        _copy_in(connection, models.Batch, BATCH_COLUMNS, rows)

    def update(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.update``."""
        if len(changes) <= _FEW:
            project = context.project_id
            connection.execute(
                UPDATE, [{"of_project": project, "of_batch": c.batch_id, **_values(context, c)} for c in changes]
            )
            return
        columns = {
            "ids": [c.batch_id for c in changes],
            "names": [c.name for c in changes],
            "uploaded": [_offset_text(c.uploaded_us) for c in changes],
            "images": [c.images for c in changes],
            "jobs": [c.num_jobs for c in changes],
            "gone": [c.kind is ChangeKind.REMOVED for c in changes],
        }
        connection.execute(
            _UPDATE_FROM_ARRAYS, {"of_project": context.project_id, "at": context.observed_at, **columns}
        )

    def append(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.append``."""
        after, at = context.observed_after, context.observed_at
        if len(changes) <= _FEW:
            rows = change_rows(context, changes, after, at)
            connection.execute(_APPEND, [dict(zip(CHANGE_COLUMNS, row, strict=True)) for row in rows])
            return
        rows = change_rows(context, changes, _postgres_us(microseconds(after)), _postgres_us(microseconds(at)))
        _copy_in(connection, models.BatchChange, CHANGE_COLUMNS, rows)

    def add_missing(self, connection: Connection, rows: Sequence[MissingRow]) -> None:
        """See ``Bulk.add_missing``."""
        if len(rows) <= _FEW:
            connection.execute(_ADD_MISSING, [dict(zip(MISSING_COLUMNS, row, strict=True)) for row in rows])
            return
        numbers = (
            (project, batch_id, _postgres_us(microseconds(at)), refusal, _postgres_us(microseconds(asked)))
            for project, batch_id, at, refusal, asked in rows
        )
        _copy_in(connection, models.MissingBatch, MISSING_COLUMNS, numbers)


def _values(context: LedgerContext, change: Change) -> dict[str, object]:
    """What the batch's row says from then on."""
    return {
        "name": change.name,
        "uploaded_at": instant_of(change.uploaded_us),
        "images": change.images,
        "num_jobs": change.num_jobs,
        "changed_at": context.observed_at,
        "removed_at": context.observed_at if change.kind is ChangeKind.REMOVED else None,
    }


def _offset_text(microseconds: int | None) -> str | None:
    text = text_of(microseconds)
    return None if text is None else text + "+00"
