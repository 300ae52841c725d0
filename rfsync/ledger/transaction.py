"""What can be done to one project between BEGIN and COMMIT."""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, bindparam, select

from rfsync import records
from rfsync.ledger.bulk import Bulk, LedgerContext, append_all, microseconds
from rfsync.ledger.changes import Change, ChangeKind, Tally
from rfsync.ledger.daily import roll_up
from rfsync.ledger.diff import Stored
from rfsync.ledger.missing import Missing, load_missing, write_missing
from rfsync.ledger.observed import keep_observed
from rfsync.ledger.projects import ProjectState, write_state
from rfsync.ledger.renames import is_free, rename
from rfsync.ledger.runs import Run, RunRow, write_end
from rfsync.schema.models import Batch
from rfsync.schema.types import UTCDateTime

_BATCHES: Final = select(
    *(Batch.batch_id, Batch.name, Batch.uploaded_at, Batch.images, Batch.num_jobs, Batch.removed_at)
).where(Batch.project_id == bindparam("project_id"))
_REMOVED: Final = _BATCHES.where(Batch.removed_at.is_not(None))
_DEPARTED: Final = (
    select(Batch.batch_id)
    .where(Batch.project_id == bindparam("project_id"), Batch.removed_at == bindparam("departed_at", type_=UTCDateTime))
    .order_by(Batch.batch_id)
)
_SOME: Final = _BATCHES.where(Batch.batch_id.in_(bindparam("ids", expanding=True)))


class _Applied(NamedTuple):
    changes: list[Change]
    tally: Tally
    #: The project's state before them.
    before: ProjectState
    #: The instant of the observation.
    at: datetime


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
        self._applied: _Applied | None = None
        self._current: Generator[records.Batch] | None = None
        #: Rows of ``missing_batches`` before and after, and the instant of the change; None: they stay as they are.
        self._missing: tuple[Mapping[str, Missing], Mapping[str, Missing], datetime] | None = None

    def close(self) -> None:
        """Ends the reading of batches, if it was left halfway: its cursor must not outlive the transaction."""
        if self._current is not None:
            self._current.close()

    def load(self) -> Stored:
        """All batches; the current ones are streamed, and have to be read to their end."""
        if self.state.id is None or self.state.written_at is None:
            return Stored(())

        @cache
        def removed() -> dict[str, records.Batch]:
            return {batch.id: batch for batch, _ in self._select(_REMOVED)}

        self._current = self._bulk.current(self._connection, self.state.id, self.state.batches)
        return Stored(self._current, lambda batch_id: removed().get(batch_id))

    def load_some(self, ids: Iterable[str]) -> Stored:
        """Only the batches of these ids."""
        if self.state.id is None:
            return Stored(())
        rows = self._select(_SOME, ids=list(ids))
        current = sorted((b for b, removed in rows if not removed), key=lambda b: b.id)
        return Stored(current, {b.id: b for b, removed in rows if removed}.get)

    def load_missing(self) -> dict[str, Missing]:
        """What the last observation lacked, by the id of the batch."""
        if self.state.id is None or not self.state.missing:
            return {}
        return load_missing(self._connection, self.state.id)

    def can_follow_rename(self) -> bool:
        """Tells whether the run's project is what it was when the run found that it is a renamed one, or needs nothing.

        Another run may have found the same meanwhile, or have observed the new id as a project of its own.
        """
        if self._run.old is None:
            return True
        path = (self.state.workspace, self.state.project)
        return path == self._run.path or (path == self._run.old and is_free(self._connection, self._run.path))

    def is_renaming(self) -> bool:
        """Tells whether the run gives its project the new id under which it found it."""
        return self._run.old == (self.state.workspace, self.state.project)

    def load_departed(self) -> list[str]:
        """The ids of the batches that were removed when the project departed; empty: it has not."""
        if self.state.departed_at is None:
            return []
        values = {"project_id": self.state.id, "departed_at": self.state.departed_at}
        return list(self._connection.execute(_DEPARTED, values).scalars())

    def keep_missing(self, before: Mapping[str, Missing], after: Mapping[str, Missing], at: datetime) -> None:
        """Takes over what the observation lacks: ``state`` counts it, and ``finish`` writes it."""
        self._missing = (before, after, at)
        asked = [row.asked_at for row in after.values() if row.unlisted and row.asked_at is not None]
        self.state = replace(self.state, missing=len(after), recheck_from=min(asked, default=None))

    def _select(self, query: Select[*tuple[Any, ...]], **values: object) -> list[tuple[records.Batch, bool]]:
        return [
            (records.Batch(id_, name, microseconds(uploaded), images, num_jobs), removed is not None)
            for id_, name, uploaded, images, num_jobs, removed in self._connection.execute(
                query, {"project_id": self.state.id, **values}
            )
        ]

    def apply(self, changes: list[Change], observed_at: datetime) -> Tally:
        """Takes over what changed: ``state`` has the new totals, and ``finish`` writes it all."""
        tally = Tally.of(changes)
        self._applied = _Applied(changes, tally, self.state, observed_at)
        self.state = replace(
            self.state,
            batches=self.state.batches + tally.added + tally.restored - tally.removed,
            images=self.state.images + tally.images_delta,
            num_jobs=self.state.num_jobs + tally.num_jobs_delta,
        )
        return tally

    def finish(self, state: ProjectState, row: RunRow, at: datetime) -> None:
        """Writes what was applied (batches, ledger and the day's roll-up), the project's row and the end of the run.

        If the run found that the project was renamed, and changes it, it has the new id from then on.
        """
        run_id, project_id = self._run.id, state.id
        if self._dry or project_id is None or run_id is None:
            return
        if row.outcome == "changed" and self.is_renaming():
            rename(self._connection, state, self._run.path, at)
            state = replace(state, workspace=self._run.path.workspace, project=self._run.path.project)
        self._write_all(run_id, project_id, state, row, at)
        self.finished = True

    def _write_all(self, run_id: int, project_id: int, state: ProjectState, row: RunRow, at: datetime) -> None:
        applied = self._applied
        with self._bulk.pipeline(self._connection, len(applied.changes) if applied else 0):
            if applied and applied.changes:
                self._write(LedgerContext(run_id, project_id, applied.before.observed_at, applied.at), applied)
            write_state(self._connection, state)
            write_end(self._connection, run_id, row, at)
        if self._missing is not None:
            write_missing(self._connection, self._bulk, project_id, *self._missing)
        if row.outcome == "changed" and applied and not applied.changes:
            # No row of the ledger says that the project was observed then.
            keep_observed(self._connection, project_id, [applied.at])

    def _write(self, context: LedgerContext, applied: _Applied) -> None:
        changes = applied.changes
        new = [c for c in changes if c.kind is ChangeKind.ADDED]
        if new:
            self._bulk.add(self._connection, context, new)
        if len(new) < len(changes):
            self._bulk.update(self._connection, context, [c for c in changes if c.kind is not ChangeKind.ADDED])
        # Nothing was ever written: then there are no removed batches either.
        if applied.before.written_at is None and len(new) == len(changes):
            append_all(self._connection, context)
        else:
            self._bulk.append(self._connection, context, changes)
        totals = (self.state.batches, self.state.images, self.state.num_jobs)
        roll_up(self._connection, context.project_id, applied.at.astimezone(UTC).date(), applied.tally, totals)
