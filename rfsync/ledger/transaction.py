"""What can be done to one project between BEGIN and COMMIT."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select

from rfsync import batch as records
from rfsync.ledger.bulk import Bulk, LedgerContext, append_all, microseconds
from rfsync.ledger.changes import Change, ChangeKind, Tally
from rfsync.ledger.daily import roll_up
from rfsync.ledger.diff import Stored
from rfsync.ledger.projects import ProjectState, write_state
from rfsync.ledger.runs import Run, RunRow, write_end
from rfsync.schema.models import Batch

_BATCHES: Final = select(
    *(Batch.batch_id, Batch.name, Batch.uploaded_at, Batch.images, Batch.num_jobs, Batch.removed_at)
).where(Batch.project_id == bindparam("project_id"))
_REMOVED: Final = _BATCHES.where(Batch.removed_at.is_not(None))
_SOME: Final = _BATCHES.where(Batch.batch_id.in_(bindparam("ids", expanding=True)))


class Transaction:
    """What can be done to a project between BEGIN and COMMIT.

    Attributes:
        state: the project's row as the lock found it; after ``apply`` with the new totals.
        finished: whether the run's end was written.
    """

    def __init__(self, connection: Connection, bulk: Bulk, run: Run, state: ProjectState, *, dry: bool) -> None:
        self._connection = connection
        self._bulk = bulk
        self._run = run
        self._dry = dry
        self.state = state
        self.finished = False

    def load(self) -> Stored:
        """All batches; the current ones are streamed, and have to be read to their end."""
        if self.state.id is None or self.state.written_at is None:
            return Stored(())

        @cache
        def removed() -> dict[str, records.Batch]:
            return {batch.id: batch for batch, _ in self._select(_REMOVED)}

        current = self._bulk.current(self._connection, self.state.id, self.state.batches)
        return Stored(current, lambda batch_id: removed().get(batch_id))

    def load_some(self, ids: Iterable[str]) -> Stored:
        """Only the batches of these ids."""
        if self.state.id is None:
            return Stored(())
        rows = self._select(_SOME, ids=list(ids))
        current = sorted((b for b, removed in rows if not removed), key=lambda b: b.id)
        return Stored(current, {b.id: b for b, removed in rows if removed}.get)

    def _select(self, query: Select[*tuple[Any, ...]], **values: object) -> list[tuple[records.Batch, bool]]:
        return [
            (records.Batch(id_, name, microseconds(uploaded), images, num_jobs), removed is not None)
            for id_, name, uploaded, images, num_jobs, removed in self._connection.execute(
                query, {"project_id": self.state.id, **values}
            )
        ]

    def apply(self, changes: list[Change], observed_at: datetime) -> Tally:
        """Writes what changed: batches, ledger and the day's roll-up; ``state`` then has the new totals."""
        tally = Tally.of(changes)
        before = self.state
        self.state = replace(
            self.state,
            batches=self.state.batches + tally.added + tally.restored - tally.removed,
            images=self.state.images + tally.images_delta,
            num_jobs=self.state.num_jobs + tally.num_jobs_delta,
        )
        if changes and not self._dry and self._run.id is not None and self.state.id is not None:
            self._write(LedgerContext(self._run.id, self.state.id, before.observed_at, observed_at), changes, before)
            totals = (self.state.batches, self.state.images, self.state.num_jobs)
            roll_up(self._connection, self.state.id, observed_at.astimezone(UTC).date(), tally, totals)
        return tally

    def _write(self, mark: LedgerContext, changes: list[Change], before: ProjectState) -> None:
        new = [c for c in changes if c.kind is ChangeKind.ADDED]
        if new:
            self._bulk.add(self._connection, mark, new)
        if len(new) < len(changes):
            self._bulk.update(self._connection, mark, [c for c in changes if c.kind is not ChangeKind.ADDED])
        # Nothing was ever written: then there are no removed batches either.
        if before.written_at is None and len(new) == len(changes):
            append_all(self._connection, mark)
        else:
            self._bulk.append(self._connection, mark, changes)

    def finish(self, state: ProjectState, row: RunRow, at: datetime) -> None:
        """Writes the project's row and the end of the run."""
        if self._dry or state.id is None or self._run.id is None:
            return
        write_state(self._connection, state)
        write_end(self._connection, self._run.id, row, at)
        self.finished = True
