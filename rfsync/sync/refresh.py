"""Some batches only, from their own addresses: quicker than the list, and no observation of the project."""

import shlex
from dataclasses import replace
from functools import partial
from typing import Final

from rfsync.api.answers import parse_one
from rfsync.api.client import Response
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.diff import diff
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.records import Kind
from rfsync.sync.ordering import is_superseded, observed_at, sent_us, warn_of_clock
from rfsync.sync.renames import FoundRename, Search
from rfsync.sync.result import Result, finish
from rfsync.sync.task import SyncContext, SyncTask

#: Batches of the same name that a message names.
_MAX_NAMED: Final = 5


def refresh(context: SyncContext, run: Run, task: SyncTask) -> Result:
    """Fetches ``task.batch_ids`` and writes their changes: all of them, or nothing.

    Raises:
        FetchError: one of them had no valid answer; a 404 removes nothing, since there is no list beside it.
        DatabaseError: the database refused or vanished.
    """
    if run.departed:
        text = f"it had departed: look for all of it first, rfsync sync {task}"
        raise FetchError(ErrorKind.NOT_FOUND, text)
    ids = task.batch_ids
    responses = [_fetch(context, run, task, batch_id) for batch_id in ids]
    seen = [r.parse(partial(parse_one, record_id=batch_id)) for r, batch_id in zip(responses, ids, strict=True)]
    seen.sort(key=lambda batch: batch.id)
    first, last = responses[0], responses[-1]
    row = RunRow("superseded", last.attempts, last.status, last.response_bytes, batches=len(seen))
    # It may be the new id of a project that had these batches before.
    found = FoundRename(run)
    if not run.observed:
        owners = context.store.projects.find_owners(run, {Kind.BATCH: [batch.id for batch in seen]})
        found = Search(context, run, task, first).among(owners)
    run = found.run

    def write(transaction: Transaction) -> Result:
        # By the first request: what was written after it may be newer than its answer.
        if is_superseded(run, transaction.state, first) or not transaction.can_follow_rename():
            return finish(context, run, transaction, transaction.state, row)
        at = observed_at(transaction.state, first)
        warn_of_clock(run, transaction.state, first)
        changes = diff(transaction.load_some(Kind.BATCH, ids), seen).changes
        transaction.apply(Kind.BATCH, changes, at)
        # ``observed_at`` stays, since the project was not observed.
        state = replace(transaction.state, written_at=at).with_list(Kind.BATCH, sent_us=sent_us(run, first))
        if changes:
            # The state is no longer that of the last list: if the same list comes again, it has to be compared.
            state = state.with_list(Kind.BATCH, etag=None, fingerprint=None, listed=None)
        outcome = "changed" if changes or transaction.is_renaming() else "unchanged"
        applied = replace(row, outcome=outcome, error=found.note)
        return finish(context, run, transaction, state, applied, {Kind.BATCH: changes})

    with context.timer("write"):
        return context.store.write(run, write)


def _fetch(context: SyncContext, run: Run, task: SyncTask, batch_id: str) -> Response:
    """Raises ``FetchError``, which tells the ids of the batches that have this name: it may have been taken for one."""
    try:
        return context.fetcher.get(task.workspace, task.project, "batches", batch_id, key=task.key)
    except FetchError as error:
        named = context.store.projects.batches_of_name(run, batch_id) if error.kind is ErrorKind.NOT_FOUND else []
        if not named:
            raise
        shown = " ".join(f"--batch {shlex.quote(one)}" for one in named[:_MAX_NAMED])
        more = f" (and {len(named) - _MAX_NAMED} more)" if len(named) > _MAX_NAMED else ""
        text = f"no batch has the id {batch_id!r}, which is a name: write the id, {shown}{more}; {error}"
        raise error.reworded(text) from None
