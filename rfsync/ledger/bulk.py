"""Reading and writing a project's batches in bulk, in the fastest way of each database.

It goes past SQLAlchemy's execution to the driver, over the connection and in the transaction that SQLAlchemy has open:
a layer more for each row costs seconds a million rows. Columns and their types are the models'. ``docs/performance.md``
has what each of these is worth.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, bindparam, insert, literal, select, update

from rfsync.ledger.changes import Change, ChangeKind
from rfsync.records import Batch
from rfsync.schema import models
from rfsync.schema.types import UTCDateTime

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TWO_DIGITS: Final = [f"{number:02d}" for number in range(60)]

#: What is written of a batch that is new, and of each ledger row.
BATCH_COLUMNS: Final = (
    "project_id",
    "batch_id",
    "name",
    "uploaded_at",
    "images",
    "num_jobs",
    "first_seen_at",
    "changed_at",
)
CHANGE_COLUMNS: Final = (
    *("run_id", "project_id", "batch_id", "observed_after", "observed_at", "change"),
    *("images", "num_jobs", "images_delta", "num_jobs_delta", "name"),
)

#: What is written of a batch that an observation lacks.
MISSING_COLUMNS: Final = ("project_id", "batch_id", "missing_at", "refusal", "asked_at")

CURRENT: Final = (
    select(
        models.Batch.batch_id, models.Batch.name, models.Batch.uploaded_at, models.Batch.images, models.Batch.num_jobs
    )
    .where(models.Batch.project_id == bindparam("project_id"), models.Batch.removed_at.is_(None))
    .order_by(models.Batch.batch_id)
)

#: Brings one batch's row up to date.
UPDATE: Final = update(models.Batch).where(
    models.Batch.project_id == bindparam("of_project"), models.Batch.batch_id == bindparam("of_batch")
)


#: A row of ``MISSING_COLUMNS``.
MissingRow = tuple[int, str, datetime, int, datetime | None]


class LedgerContext(NamedTuple):
    """What all ledger rows of one observation share."""

    run_id: int
    project_id: int
    #: The project's observation before; None: this is its first.
    observed_after: datetime | None
    observed_at: datetime


class Bulk(Protocol):
    """One database's way. All calls happen inside the transaction of ``connection``."""

    def current(self, connection: Connection, project_id: int, number: int) -> Generator[Batch]:
        """Streams the batches that exist, in the order of their ids by code point.

        A generator that is not read to its end has to be closed before its transaction ends.

        Args:
            number: how many there are.
        """

    def pipeline(self, connection: Connection, number: int) -> AbstractContextManager[object]:
        """In the block, statements without rows may be sent without waiting for each to be answered.

        Args:
            number: how many changes they write.
        """

    def add(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """Writes the rows of batches never seen before."""

    def update(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """Brings the rows of known batches up to date: changed, removed and restored ones."""

    def append(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """Writes the ledger's rows."""

    def add_missing(self, connection: Connection, rows: Sequence[MissingRow]) -> None:
        """Writes rows of ``missing_batches``; a broken answer may lack hundreds of thousands."""


def bulk_for(dialect: str) -> Bulk:
    """The implementation for ``sqlite`` or ``postgresql``; the other is not even imported."""
    if dialect == "sqlite":
        from rfsync.ledger.bulk_sqlite import SqliteBulk

        return SqliteBulk()
    from rfsync.ledger.bulk_postgres import PostgresBulk

    return PostgresBulk()


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
    connection.execute(insert(models.BatchChange).from_select(CHANGE_COLUMNS, copied))


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
    context: LedgerContext, changes: Iterable[Change], after: object, at: object
) -> Iterator[tuple[object, ...]]:
    """The ledger's rows, in the order of ``CHANGE_COLUMNS``.

    Args:
        after: ``context.observed_after`` as the statement takes it.
        at: ``context.observed_at``, likewise.
    """
    run, project = context.run_id, context.project_id
    return (
        (
            *(run, project, c.batch_id, after, at, c.kind.value),
            *(*counts_after(c), c.images_delta, c.num_jobs_delta, c.name),
        )
        for c in changes
    )


def counts_after(change: Change) -> tuple[int, int]:
    """Images and jobs of the batch from then on."""
    return (0, 0) if change.kind is ChangeKind.REMOVED else (change.images, change.num_jobs)
