"""Reading and writing a project's batches by the hundred thousand, in each database's quickest way.

It goes past SQLAlchemy's execution to the driver, over the connection and in the transaction that SQLAlchemy has open:
a layer more for each row costs seconds a million rows. Columns and their types are the models'. ``docs/performance.md``
has what each of these is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import starmap
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Insert,
    Text,
    Update,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from rfsync.batch import Batch
from rfsync.database.sqlite import sqlite_text
from rfsync.ledger.changes import Change, ChangeKind
from rfsync.schema import models
from rfsync.schema.types import UTCDateTime

_SQLITE: Final = sqlite.dialect()
_PSYCOPG: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call]
#: Rows that a cursor on the server gives at once.
_ROWS_AT_ONCE: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: What is written of a batch that is new, and of each ledger row.
_BATCH: Final = ("project_id", "batch_id", "name", "uploaded_at", "images", "num_jobs", "first_seen_at", "changed_at")
_CHANGE: Final = (
    *("run_id", "project_id", "batch_id", "observed_after", "observed_at", "change"),
    *("images", "num_jobs", "images_delta", "num_jobs_delta", "name"),
)


class LedgerContext(NamedTuple):
    """What all ledger rows of one observation share."""

    run_id: int
    project_id: int
    #: The project's observation before; None: this is its first.
    observed_after: datetime | None
    observed_at: datetime


class Bulk(Protocol):
    """One database's way. All calls happen inside the transaction of ``connection``."""

    def current(self, connection: Connection, project_id: int) -> Iterator[Batch]:
        """Streams the batches that exist, in the order of their ids by code point."""

    def add(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """Writes the rows of batches never seen before."""

    def update(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """Brings the rows of known batches up to date: changed, removed and restored ones."""

    def append(self, connection: Connection, context: LedgerContext, changes: Iterable[Change]) -> None:
        """Writes the ledger's rows."""


def append_all(connection: Connection, context: LedgerContext) -> None:
    """Writes the ledger's rows of a project all of whose batches were added just now.

    They say nothing that the batches' own rows don't, and copying them inside the database takes a third of the time of
    sending them again.
    """
    batch = models.Batch
    after = literal(context.observed_after, UTCDateTime)
    copied = select(
        *(literal(context.run_id), batch.project_id, batch.batch_id, after, batch.changed_at, literal("added")),
        *(batch.images, batch.num_jobs, batch.images, batch.num_jobs, batch.name),
    ).where(batch.project_id == context.project_id)
    connection.execute(insert(models.BatchChange).from_select(_CHANGE, copied))


def bulk_for(dialect: str) -> Bulk:
    """The way of ``sqlite`` or ``postgresql``."""
    return SqliteBulk() if dialect == "sqlite" else PostgresBulk()


def microseconds(at: datetime | None) -> int | None:
    """Since 1970 UTC, exactly; None stays None."""
    if at is None:
        return None
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(maxsize=4096)
def _day_text(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


@lru_cache(maxsize=86_400)
def _time_text(second: int) -> str:
    minutes, second = divmod(second, 60)
    return f" {minutes // 60:02d}:{minutes % 60:02d}:{second:02d}."


def _text_of(microseconds: int | None) -> str | None:
    """As ``sqlite_text``, from cached pieces: the batches of a list have few different days and times."""
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, 1_000_000)
    days, second = divmod(seconds, 86_400)
    return f"{_day_text(days)}{_time_text(second)}{fraction:06d}"


def _counts_after(change: Change) -> tuple[int, int]:
    return (0, 0) if change.kind is ChangeKind.REMOVED else (change.images, change.num_jobs)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


_ROW: Final = models.Batch
_CURRENT: Final = (
    select(
        models.Batch.batch_id, models.Batch.name, models.Batch.uploaded_at, models.Batch.images, models.Batch.num_jobs
    )
    .where(models.Batch.project_id == bindparam("project_id"), models.Batch.removed_at.is_(None))
    .order_by(models.Batch.batch_id)
)
_UPDATED: Final = ("name", "uploaded_at", "images", "num_jobs", "changed_at", "removed_at")
_KEY: Final = ("of_project", "of_batch")


@cache
def _for_sqlite3(statement: Insert | Update, *columns: str) -> str:
    """The statement as sqlite3 takes it, with a ``?`` for each of these columns, in their order."""
    compiled = statement.compile(dialect=_SQLITE, column_keys=list(columns))
    assert compiled.positiontup == list(columns)  # noqa: S101 the rows are made for just these
    return str(compiled)


class SqliteBulk:
    """One prepared statement for all rows, executed by the driver's own loop."""

    # In SQL: parsing the text in Python takes longer. Not unixepoch(), which SQLite has only since 3.38.
    _UPLOADED_US: Final = cast(func.strftime("%s", models.Batch.uploaded_at), BigInteger) * 1_000_000 + cast(
        func.substr(models.Batch.uploaded_at, 21), BigInteger
    )
    _CURRENT: Final = _CURRENT.with_only_columns(
        models.Batch.batch_id, models.Batch.name, _UPLOADED_US, models.Batch.images, models.Batch.num_jobs
    )
    _ADD: Final = insert(models.Batch)
    _APPEND: Final = insert(models.BatchChange)
    _UPDATE: Final = update(models.Batch).where(
        models.Batch.project_id == bindparam("of_project"), models.Batch.batch_id == bindparam("of_batch")
    )

    def current(self, connection: Connection, project_id: int) -> Iterator[Batch]:
        """Streams the driver's own rows: SQLAlchemy's would be taken apart again at once."""
        rows: Any = connection.execute(self._CURRENT, {"project_id": project_id}).cursor
        return starmap(Batch, rows)

    def add(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.add``."""
        project, at = context.project_id, sqlite_text(context.observed_at)
        rows = ((project, c.batch_id, c.name, _text_of(c.uploaded_us), c.images, c.num_jobs, at, at) for c in changes)
        _driver(connection).executemany(_for_sqlite3(self._ADD, *_BATCH), rows)

    def update(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.update``."""
        project, at = context.project_id, sqlite_text(context.observed_at)
        rows = (
            (
                *(c.name, _text_of(c.uploaded_us), c.images, c.num_jobs, at),
                *(at if c.kind is ChangeKind.REMOVED else None, project, c.batch_id),
            )
            for c in changes
        )
        _driver(connection).executemany(_for_sqlite3(self._UPDATE, *_UPDATED, *_KEY), rows)

    def append(self, connection: Connection, context: LedgerContext, changes: Iterable[Change]) -> None:
        """See ``Bulk.append``."""
        run, project, at = context.run_id, context.project_id, sqlite_text(context.observed_at)
        after = None if context.observed_after is None else sqlite_text(context.observed_after)
        rows = (
            (
                *(run, project, c.batch_id, after, at, c.kind.value),
                *(*_counts_after(c), c.images_delta, c.num_jobs_delta, c.name),
            )
            for c in changes
        )
        _driver(connection).executemany(_for_sqlite3(self._APPEND, *_CHANGE), rows)


# A timestamptz travels in binary as whole microseconds since 2000-01-01 UTC (PostgreSQL's documentation, "Date/Time
# Types" and src/include/datatype/timestamp.h), and can be read and written as the 64-bit number that it is.
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000


def _postgres_us(us: int | None) -> int | None:
    return None if us is None else us - _POSTGRES_EPOCH_US


@cache
def _copy_types(model: type[models.Base], columns: tuple[str, ...]) -> list[str]:
    """The names of the types in which a row of these columns is copied."""
    table = model.__table__.c
    return ["text" if isinstance(table[name].type, Text) else "int8" for name in columns]


def _copy_in(
    connection: Connection, model: type[models.Base], columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]
) -> None:
    """Copies rows into the model's table in binary, with instants as microseconds since 2000."""
    statement = f"COPY {model.__tablename__} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
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
    update(_ROW)
    .where(_ROW.project_id == bindparam("of_project"), _ROW.batch_id == _NEW.c.batch_id)
    .values(
        **{name: _NEW.c[name] for name in ("name", "uploaded_at", "images", "num_jobs")},
        changed_at=bindparam("at", type_=UTCDateTime),
        removed_at=case((cast(_NEW.c.gone, Boolean), bindparam("at", type_=UTCDateTime)), else_=null()),
    )
)


class PostgresBulk:
    """Binary throughout: a cursor on the server, COPY for new rows, an array for each column of rows that are there."""

    def current(self, connection: Connection, project_id: int) -> Iterator[Batch]:
        """Streams the rows through a cursor on the server, which neither side has to hold as a whole."""
        from psycopg.types.numeric import Int8BinaryLoader

        with _driver(connection).cursor(name="batches") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.adapters.register_loader("timestamptz", Int8BinaryLoader)
            cursor.execute(str(_CURRENT.compile(dialect=_PSYCOPG)), {"project_id": project_id}, binary=True)
            for batch_id, name, us, images, num_jobs in cursor:
                yield Batch(batch_id, name, None if us is None else us + _POSTGRES_EPOCH_US, images, num_jobs)

    def add(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.add``."""
        project, at = context.project_id, _postgres_us(microseconds(context.observed_at))
        # What the triggers look at fits into memory; the setting ends with the transaction.
        connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
        rows = (
            (project, c.batch_id, c.name, _postgres_us(c.uploaded_us), c.images, c.num_jobs, at, at) for c in changes
        )
        _copy_in(connection, models.Batch, _BATCH, rows)

    def update(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.update``."""
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

    def append(self, connection: Connection, context: LedgerContext, changes: Iterable[Change]) -> None:
        """See ``Bulk.append``."""
        run, project = context.run_id, context.project_id
        after = _postgres_us(microseconds(context.observed_after))
        at = _postgres_us(microseconds(context.observed_at))
        rows = (
            (
                *(run, project, c.batch_id, after, at, c.kind.value),
                *(*_counts_after(c), c.images_delta, c.num_jobs_delta, c.name),
            )
            for c in changes
        )
        _copy_in(connection, models.BatchChange, _CHANGE, rows)


def _offset_text(microseconds: int | None) -> str | None:
    text = _text_of(microseconds)
    return None if text is None else text + "+00"
