"""Some batches alone, by their own addresses: quicker than the list, and no observation of the project."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rfsync.api.answers import parse_one
from rfsync.ledger.changes import Change
from rfsync.ledger.diff import diff
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.sync.task import (
    Result,
    SyncContext,
    SyncTask,
    is_superseded,
    log_outcome,
    observed_at,
    result_of,
    sent_us,
)


def refresh(context: SyncContext, run: Run, task: SyncTask) -> Result:
    """Asks for ``task.batch_ids`` and writes what they show: all of it, or nothing.

    Raises:
        FetchError: one of them gave no valid answer; a 404 removes nothing, since no list stands beside it.
        DatabaseError: the database refused or vanished.
    """
    ids = task.batch_ids
    responses = [context.fetcher.get(task.workspace, task.project, "batches", i, key=task.key) for i in ids]
    seen = [r.parse(partial(parse_one, batch_id=batch_id)) for r, batch_id in zip(responses, ids, strict=True)]
    seen.sort(key=lambda batch: batch.id)
    first, last = responses[0], responses[-1]
    row = RunRow("superseded", last.attempts, last.status, last.response_bytes, batches=len(seen))

    def write(transaction: Transaction) -> tuple[RunRow, list[Change]]:
        state = transaction.state
        # By the first request: what was written after it may be newer than its answer.
        if is_superseded(run, state, first):
            transaction.finish(state, row, context.clock())
            return row, []
        at = observed_at(run, state, first)
        changes = diff(transaction.load_some(ids), seen).changes
        tally = transaction.apply(changes, at)
        applied = replace(row, outcome="changed" if changes else "unchanged", tally=tally)
        # No observation of the project, so ``observed_at`` stays. But the state is no longer the one that the last
        # list showed: a list that is the same again would have something to put right.
        state = replace(transaction.state, written_at=at, sent_us=sent_us(run, first))
        if changes:
            state = replace(state, etag=None, fingerprint=None, listed=None)
        transaction.finish(state, applied, context.clock())
        return applied, changes

    with context.metrics.time("write"):
        row, changes = context.store.write(run, write)
    log_outcome(task, row)
    return result_of(task, run.id, row, changes if context.keep_changes else ())
