"""A copy from its beginning to its proof. Killed at any moment, the next one goes on where it was."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeAlias

from sqlalchemy import Connection, Table

from rfsync.copy.rows import ROWS_AT_ONCE, Checksum, Row, checksum, copied_tables
from rfsync.copy.source import STOP_SYNCS, Source, Survey
from rfsync.copy.target import Stage, Target
from rfsync.errors import CopyError
from rfsync.ledger.verify import Verdict, check

log = logging.getLogger("rfsync.copy")

#: Called with what is being done, how much has been done of all, and how much that is: each row is copied, and read
#: once more on either side.
Progress: TypeAlias = Callable[[str, int, int], None]


def copy(
    source: Source, target: Target, progress: Progress = lambda *_: None, *, rows_at_once: int = ROWS_AT_ONCE
) -> int:
    """Copies all rows, and proves that both databases are equal and balanced.

    Args:
        progress: told how far it is.
        rows_at_once: how many rows a transaction writes.

    Returns:
        The number of rows.

    Raises:
        CopyError: the source was written meanwhile, or the two are not equal; the target stays unusable.
        ConfigError: the target is not empty, and has no unfinished copy of this source.
        DatabaseError: one of the two can't be used.
    """
    with source.snapshot("reading") as connection:
        source.require_idle(connection)
        survey = source.survey(connection)
        if not survey.rows["sync_runs"]:
            raise CopyError(f"{source.name} has no history yet: there is nothing to copy")
        stage = target.begin(source.name, survey.fingerprint)
        if stage is Stage.ROWS:
            _copy_rows(source, connection, survey, target, progress, rows_at_once)
    if stage is Stage.ROWS:
        _require_unchanged(source, survey)  # here, too: the rest may take as long
        progress("building indexes", survey.total, 3 * survey.total)
        target.complete()
    _prove(source, survey, target, progress)
    target.release()
    return survey.total


def _copy_rows(
    source: Source, connection: Connection, survey: Survey, target: Target, progress: Progress, rows_at_once: int
) -> None:
    already = target.count()
    done = sum(already.values())
    if done:
        log.info("going on after %s of %s rows", f"{done:,}", f"{survey.total:,}")
    for table in copied_tables():
        if already[table.name] == survey.rows[table.name]:
            continue
        for chunk in source.side.read(connection, table, rows_at_once, already[table.name]):
            target.write(table, chunk)
            done += len(chunk)
            progress(f"copying {table.name}", done, 3 * survey.total)
        log.info("copied %s: %s rows", table.name, f"{survey.rows[table.name]:,}")


def _prove(source: Source, survey: Survey, target: Target, progress: Progress) -> None:
    """Passes if both databases have the same rows, and the books of both balance.

    Raises:
        CopyError: they don't, or the source is no longer what was copied.
    """
    done, of = survey.total, 3 * survey.total
    with closing(target.open_reader()) as reader, reader.begin(f"reading {target.name}") as connection:
        copied = _checksums(target, connection, lambda doing, rows: progress(doing, done + rows, of))
        done += survey.total
        progress(f"verifying {target.name}", done, of)
        wrong = _describe(target, check(connection))
    with source.snapshot("reading") as connection:
        original = _checksums(source, connection, lambda doing, rows: progress(doing, done + rows, of))
        progress(f"verifying {source.name}", of, of)
        wrong += _describe(source, check(connection))
    _require_unchanged(source, survey)
    differing = [
        f"{name}: {original[name].rows:,} rows in {source.name}, {copied[name].rows:,} in {target.name}, not all equal"
        for name in original
        if original[name] != copied[name]
    ]
    if differing or wrong:
        target.reject()
        raise CopyError(
            f"{target.name} is not proved to be equal to {source.name}, and stays unusable: look at the source with "
            "rfsync verify; the same rfsync copy begins anew",
            details=[*differing, *wrong],
        )


def _require_unchanged(source: Source, survey: Survey) -> None:
    """Passes if nothing was written to the source since its survey.

    Raises:
        CopyError: something was, or will be by a sync that is under way.
    """
    with source.snapshot("reading") as connection:
        source.require_idle(connection)
        if source.survey(connection).fingerprint != survey.fingerprint:
            raise CopyError(f"{source.name} was written while it was copied, so the copy is not whole: {STOP_SYNCS}")


def _checksums(
    end: Source | Target, connection: Connection, progress: Callable[[str, int], None]
) -> dict[str, Checksum]:
    checksums: dict[str, Checksum] = {}
    done = 0

    def counted(table: Table) -> Iterator[list[Row]]:
        nonlocal done
        for chunk in end.side.read(connection, table):
            yield chunk
            done += len(chunk)
            progress(f"comparing {table.name}", done)

    for table in copied_tables():
        checksums[table.name] = checksum(counted(table))
    return checksums


def _describe(end: Source | Target, verdict: Verdict) -> list[str]:
    if verdict.ok:
        return []
    findings = [f"{end.name}: {finding}" for finding in verdict.findings]
    return [*findings, f"{end.name}: {verdict.total:,} findings in all"]
