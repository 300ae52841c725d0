"""Reading and writing a project's records in bulk, in the fastest way of each database.

It goes past SQLAlchemy's execution to the driver, over the connection and in the transaction that SQLAlchemy has open:
a layer more for each row costs seconds a million rows. Columns and their types are the models'. ``docs/performance.md``
has what each of these is worth.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, Select, Update, bindparam, func, insert, literal, literal_column, select, update

from rfsync.ledger.changes import Change
from rfsync.ledger.record_types import Instant, RecordType
from rfsync.records import Record
from rfsync.schema import models
from rfsync.schema.types import UTCDateTime

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TWO_DIGITS: Final = [f"{number:02d}" for number in range(60)]


def new_columns(type_: RecordType) -> tuple[str, ...]:
    """What is written of a record that is new."""
    return ("project_id", type_.key, *type_.columns, "first_seen_at", "changed_at")


def change_columns(type_: RecordType) -> tuple[str, ...]:
    """What is written of each ledger row."""
    deltas = (f"{name}_delta" for name in type_.counts)
    context = ("run_id", "project_id", type_.key, "observed_after", "observed_at", "change")
    return (*context, *type_.counts, *deltas, *type_.logged)


def missing_columns(type_: RecordType) -> tuple[str, ...]:
    """What is written of a record that an observation lacks."""
    return ("project_id", type_.key, "missing_at", "refusal", "asked_at")


def record_columns(type_: RecordType) -> list[Any]:
    """The columns from which a record is made, in the order of its fields."""
    own = (
        func.coalesce(type_.column(c), literal_column("0")).label(c) if c in type_.people else type_.column(c)
        for c in type_.columns
    )
    return [type_.key_column, *own]


def current(type_: RecordType) -> Select[*tuple[Any, ...]]:
    """The records of the project ``:project_id`` that exist."""
    model: Any = type_.model
    return (
        select(*record_columns(type_))
        .where(model.project_id == bindparam("project_id"), model.removed_at.is_(None))
        .order_by(type_.key_column)
    )


def update_one(type_: RecordType) -> Update:
    """Brings one record's row up to date."""
    return update(type_.model).where(
        type_.project_column == bindparam("of_project"), type_.key_column == bindparam("of_record")
    )


#: A row of ``missing_columns``.
MissingRow = tuple[int, str, datetime, int, datetime | None]


class LedgerContext(NamedTuple):
    """What all ledger rows of one observation share."""

    run_id: int
    project_id: int
    #: The observation before that had this list; None: this is the first.
    observed_after: datetime | None
    observed_at: datetime


class Bulk(Protocol):
    """One database's way. All calls happen inside the transaction of ``connection``."""

    def current(self, connection: Connection, type_: RecordType, project_id: int, number: int) -> Generator[Record]:
        """Streams the records that exist, in the order of their ids by code point.

        A generator that is not read to its end has to be closed before its transaction ends.

        Args:
            number: how many there are.
        """

    def pipeline(self, connection: Connection, number: int) -> AbstractContextManager[object]:
        """In the block, statements without rows may be sent without waiting for each to be answered.

        Args:
            number: how many changes they write.
        """

    def add(self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]) -> None:
        """Writes the rows of records never seen before."""

    def update(
        self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]
    ) -> None:
        """Brings the rows of known records up to date: changed, removed and restored ones."""

    def append(
        self, connection: Connection, type_: RecordType, context: LedgerContext, changes: Sequence[Change]
    ) -> None:
        """Writes the ledger's rows."""

    def add_missing(self, connection: Connection, type_: RecordType, rows: Sequence[MissingRow]) -> None:
        """Writes rows of ``missing_batches`` or ``missing_jobs``; a broken answer may lack hundreds of thousands."""


def bulk_for(dialect: str) -> Bulk:
    """The implementation for ``sqlite`` or ``postgresql``; the other is not even imported."""
    if dialect == "sqlite":
        from rfsync.ledger.bulk_sqlite import SqliteBulk

        return SqliteBulk()
    from rfsync.ledger.bulk_postgres import PostgresBulk

    return PostgresBulk()


@cache
def _copied(type_: RecordType) -> Select[*tuple[Any, ...]]:
    model: Any = type_.model
    counts = [type_.column(name) for name in type_.counts]
    return select(
        *(bindparam("run_id", type_=models.SyncRun.id.type), model.project_id, type_.key_column),
        *(bindparam("observed_after", type_=UTCDateTime), model.changed_at, literal("added")),
        *(*counts, *counts, *(type_.column(name) for name in type_.logged)),
    ).where(model.project_id == bindparam("project_id"))


def append_all(connection: Connection, type_: RecordType, context: LedgerContext) -> None:
    """Writes the ledger's rows of a project all of whose records of the kind were added just now.

    They say nothing that the records' own rows don't, and copying them inside the database takes a third of the time of
    sending them again.
    """
    statement = insert(type_.changes).from_select(change_columns(type_), _copied(type_))
    connection.execute(statement, context._asdict())


def driver_of(connection: Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.driver_connection


def microseconds(at: datetime | None) -> int | None:
    """Converts an instant to microseconds since 1970 UTC, exactly; None stays None."""
    if at is None:
        return None
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant_of(us: int | None) -> datetime | None:
    """Converts microseconds since 1970 UTC to an instant; None stays None."""
    return None if us is None else _EPOCH + timedelta(microseconds=us)


@lru_cache(maxsize=4096)
def _day_text(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def text_of(microseconds: int | None) -> str | None:
    """As ``sqlite_text``, in a third of its time: the batches of a list have few different days."""
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, 1_000_000)
    days, second = divmod(seconds, 86_400)
    minutes, second = divmod(second, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{_day_text(days)} {_TWO_DIGITS[hours]}:{_TWO_DIGITS[minutes]}:{_TWO_DIGITS[second]}.{fraction:06d}"


def change_rows(
    type_: RecordType, context: LedgerContext, changes: Iterable[Change], instant: Instant
) -> Iterator[tuple[object, ...]]:
    """The ledger's rows, in the order of ``change_columns``."""
    run, project = context.run_id, context.project_id
    after, at = instant(microseconds(context.observed_after)), instant(microseconds(context.observed_at))
    return (
        (
            *(run, project, c.record.id, after, at, c.kind.value),
            *(*c.counts(type_), *c.deltas(type_), *type_.logged_of(c.record)),
        )
        for c in changes
    )
