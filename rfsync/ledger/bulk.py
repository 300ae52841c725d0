"""Reading and writing a project's batches by the hundred thousand: what has to be fast, in each database's own way.

Here a layer more for each row costs a second a million rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import starmap
from typing import Final, NamedTuple, Protocol

from rfsync.batch import Batch
from rfsync.database.drivers import Connection, sqlite_text
from rfsync.ledger.diff import Change, ChangeKind

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
        """The batches that exist, in the order of their ids by code point."""

    def add(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        """Writes the rows of batches never seen before."""

    def update(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        """Brings the rows of known batches up to date: changed, removed and restored ones."""

    def append(self, connection: Connection, mark: LedgerContext, changes: Iterable[Change]) -> None:
        """Writes the ledger's rows."""


# A project's first batches: their ledger rows say nothing that their own rows don't, and inside the database they are
# copied in a third of the time that sending them again would take.
_APPEND_ALL: Final = """INSERT INTO batch_changes (run_id, project_id, batch_id, observed_after, observed_at, change,
    images, num_jobs, images_delta, num_jobs_delta, name)
SELECT :run_id, project_id, batch_id, {after}, changed_at, 'added', images, num_jobs, images, num_jobs, name
FROM batches WHERE project_id = :project_id"""


def append_all(connection: Connection, mark: LedgerContext) -> None:
    """Writes the ledger's rows of a project all of whose batches were added just now."""
    after = {"sqlite": ":observed_after", "postgresql": "CAST(:observed_after AS timestamptz)"}[connection.dialect]
    values = {"run_id": mark.run_id, "project_id": mark.project_id, "observed_after": mark.observed_after}
    connection.execute(_APPEND_ALL.format(after=after), values)


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
    """As ``database.sqlite_text``, from the pieces: a list of batches has few days and times again and again."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    days, second = divmod(seconds, 86_400)
    return f"{_day_text(days)}{_time_text(second)}{rest:06d}"


class SqliteBulk:
    """The standard library's driver, by itself."""

    # Not unixepoch(), which SQLite has only since 3.38.
    _CURRENT: Final = """SELECT batch_id, name,
    CAST(strftime('%s', uploaded_at) AS INTEGER) * 1000000 + CAST(substr(uploaded_at, 21) AS INTEGER), images, num_jobs
FROM batches WHERE project_id = ? AND removed_at IS NULL ORDER BY batch_id"""

    def current(self, connection: Connection, project_id: int) -> Iterator[Batch]:
        """Streams the rows: only one of them is in memory at a time."""
        return starmap(Batch, connection.driver.execute(self._CURRENT, (project_id,)))

    def add(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        """One prepared statement, executed by the driver's own loop."""
        project, at = mark.project_id, sqlite_text(mark.observed_at)
        connection.driver.executemany(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            ((project, c.batch_id, c.name, _text_of(c.uploaded_us), c.images, c.num_jobs, at, at) for c in changes),
        )

    def update(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        """One prepared statement, executed by the driver's own loop."""
        project, at = mark.project_id, sqlite_text(mark.observed_at)
        connection.driver.executemany(
            "UPDATE batches SET name = ?, uploaded_at = ?, images = ?, num_jobs = ?, changed_at = ?, removed_at = ? "
            "WHERE project_id = ? AND batch_id = ?",
            (
                (
                    *(c.name, _text_of(c.uploaded_us), c.images, c.num_jobs, at),
                    *(at if c.kind is ChangeKind.REMOVED else None, project, c.batch_id),
                )
                for c in changes
            ),
        )

    def append(self, connection: Connection, mark: LedgerContext, changes: Iterable[Change]) -> None:
        """One prepared statement, executed by the driver's own loop."""
        shared = (mark.run_id, mark.project_id)
        after = None if mark.observed_after is None else sqlite_text(mark.observed_after)
        at = sqlite_text(mark.observed_at)
        connection.driver.executemany(
            "INSERT INTO batch_changes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *shared,
                    c.batch_id,
                    after,
                    at,
                    c.kind.value,
                    *_counts_after(c),
                    c.images_delta,
                    c.num_jobs_delta,
                    c.name,
                )
                for c in changes
            ),
        )


def _counts_after(change: Change) -> tuple[int, int]:
    return (0, 0) if change.kind is ChangeKind.REMOVED else (change.images, change.num_jobs)


# A timestamptz travels in binary as whole microseconds since 2000-01-01 UTC (PostgreSQL's documentation, "Date/Time
# Types" and src/include/datatype/timestamp.h), and can be read as the 64-bit number that it is.
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000


class PostgresBulk:
    """psycopg's COPY for rows that are new, one array-valued statement for rows that are there."""

    def current(self, connection: Connection, project_id: int) -> Iterator[Batch]:
        """Streams the rows through COPY in binary, which neither side has to hold as a whole."""
        query = (
            "COPY (SELECT batch_id, name, uploaded_at, images, num_jobs FROM batches "
            "WHERE project_id = %s AND removed_at IS NULL ORDER BY batch_id) TO STDOUT (FORMAT binary)"
        )
        with connection.driver.cursor() as cursor, cursor.copy(query, (project_id,)) as copy:
            copy.set_types(["text", "text", "int8", "int8", "int8"])
            for batch_id, name, us, images, num_jobs in copy.rows():
                yield Batch(batch_id, name, None if us is None else us + _POSTGRES_EPOCH_US, images, num_jobs)

    def add(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        """COPY in binary, with timestamps as the numbers that they are there."""
        project, at = mark.project_id, _postgres_us(microseconds(mark.observed_at))
        with connection.driver.cursor() as cursor:
            # Of a first load, what the triggers look at fits into memory; the setting ends with the transaction.
            cursor.execute("SET LOCAL work_mem = '256MB'")
            with cursor.copy(
                "COPY batches (project_id, batch_id, name, uploaded_at, images, num_jobs, first_seen_at, changed_at) "
                "FROM STDIN (FORMAT binary)"
            ) as copy:
                copy.set_types(["int8", "text", "text", "int8", "int8", "int8", "int8", "int8"])
                write = copy.write_row
                for c in changes:
                    write((project, c.batch_id, c.name, _postgres_us(c.uploaded_us), c.images, c.num_jobs, at, at))

    def update(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        """One statement, whose arrays hold a column each."""
        with connection.driver.cursor() as cursor:
            cursor.execute(
                """UPDATE batches SET name = n.name, uploaded_at = n.uploaded_at, images = n.images,
                num_jobs = n.num_jobs, changed_at = %(at)s, removed_at = CASE WHEN n.removed THEN %(at)s END
                FROM unnest(%(ids)s::text[], %(names)s::text[], %(uploaded)s::timestamptz[], %(images)s::bigint[],
                %(jobs)s::bigint[], %(removed)s::boolean[]) AS n(batch_id, name, uploaded_at, images, num_jobs, removed)
                WHERE batches.project_id = %(project)s AND batches.batch_id = n.batch_id""",
                {
                    "project": mark.project_id,
                    "at": mark.observed_at,
                    "ids": [c.batch_id for c in changes],
                    "names": [c.name for c in changes],
                    "uploaded": [_offset_text(c.uploaded_us) for c in changes],
                    "images": [c.images for c in changes],
                    "jobs": [c.num_jobs for c in changes],
                    "removed": [c.kind is ChangeKind.REMOVED for c in changes],
                },
            )

    def append(self, connection: Connection, mark: LedgerContext, changes: Iterable[Change]) -> None:
        """COPY."""
        after = None if mark.observed_after is None else mark.observed_after.isoformat()
        at = mark.observed_at.isoformat()
        self._copy(
            connection,
            "COPY batch_changes (run_id, project_id, batch_id, observed_after, observed_at, change, images, num_jobs, "
            "images_delta, num_jobs_delta, name) FROM STDIN",
            (
                (
                    *(mark.run_id, mark.project_id, c.batch_id, after, at, c.kind.value, *_counts_after(c)),
                    *(c.images_delta, c.num_jobs_delta, c.name),
                )
                for c in changes
            ),
        )

    def _copy(self, connection: Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        with connection.driver.cursor() as cursor, cursor.copy(statement) as copy:
            write = copy.write_row
            for row in rows:
                write(row)


def _postgres_us(us: int | None) -> int | None:
    return None if us is None else us - _POSTGRES_EPOCH_US


def _offset_text(microseconds: int | None) -> str | None:
    text = _text_of(microseconds)
    return None if text is None else text + "+00"
