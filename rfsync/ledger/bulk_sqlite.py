"""SQLite's way of reading and writing many batches: one prepared statement for all rows."""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cache
from itertools import starmap
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Insert, Update, cast, func, insert
from sqlalchemy.dialects import sqlite

from rfsync.database.sqlite import sqlite_text
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
    text_of,
)
from rfsync.ledger.changes import Change, ChangeKind
from rfsync.records import Batch
from rfsync.schema import models

_SQLITE: Final = sqlite.dialect()
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

    # In SQL: parsing the text in Python takes longer. Not unixepoch(), which SQLite has only since 3.38. Without the
    # fraction, which strftime() rounds to milliseconds, and from .9995 on to the next second.
    _UPLOADED_US: Final = cast(
        func.strftime("%s", func.substr(models.Batch.uploaded_at, 1, 19)), BigInteger
    ) * 1_000_000 + cast(func.substr(models.Batch.uploaded_at, 21), BigInteger)
    _CURRENT: Final = CURRENT.with_only_columns(
        models.Batch.batch_id, models.Batch.name, _UPLOADED_US, models.Batch.images, models.Batch.num_jobs
    )
    _ADD: Final = insert(models.Batch)
    _APPEND: Final = insert(models.BatchChange)
    _ADD_MISSING: Final = insert(models.MissingBatch)

    def current(self, connection: Connection, project_id: int, number: int) -> Generator[Batch]:
        """Streams the driver's own rows: SQLAlchemy's would be taken apart again at once."""
        with closing(connection.execute(self._CURRENT, {"project_id": project_id})) as result:
            rows: Any = result.cursor
            yield from starmap(Batch, rows)

    def pipeline(self, connection: Connection, number: int) -> AbstractContextManager[object]:
        """See ``Bulk.pipeline``: there is nobody to wait for."""
        return nullcontext()

    def add(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.add``."""
        project, at = context.project_id, sqlite_text(context.observed_at)
        rows = ((project, c.batch_id, c.name, text_of(c.uploaded_us), c.images, c.num_jobs, at, at) for c in changes)
        driver_of(connection).executemany(_for_sqlite3(self._ADD, *BATCH_COLUMNS), rows)

    def update(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.update``."""
        project, at = context.project_id, sqlite_text(context.observed_at)
        rows = (
            (
                *(c.name, text_of(c.uploaded_us), c.images, c.num_jobs, at),
                *(at if c.kind is ChangeKind.REMOVED else None, project, c.batch_id),
            )
            for c in changes
        )
        driver_of(connection).executemany(_for_sqlite3(UPDATE, *_UPDATED, *_KEY), rows)

    def append(self, connection: Connection, context: LedgerContext, changes: Sequence[Change]) -> None:
        """See ``Bulk.append``."""
        after = None if context.observed_after is None else sqlite_text(context.observed_after)
        rows = change_rows(context, changes, after, sqlite_text(context.observed_at))
        driver_of(connection).executemany(_for_sqlite3(self._APPEND, *CHANGE_COLUMNS), rows)

    def add_missing(self, connection: Connection, rows: Sequence[MissingRow]) -> None:
        """See ``Bulk.add_missing``."""
        texts = (
            (project, batch_id, sqlite_text(at), refusal, None if asked is None else sqlite_text(asked))
            for project, batch_id, at, refusal, asked in rows
        )
        driver_of(connection).executemany(_for_sqlite3(self._ADD_MISSING, *MISSING_COLUMNS), texts)
