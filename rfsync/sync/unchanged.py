"""A list that is the one applied last: two rows, unless something unlisted is due to be asked for."""

from collections.abc import Mapping
from dataclasses import replace

from rfsync.api.client import Response
from rfsync.ledger.diff import diff
from rfsync.ledger.missing import Missing
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.sync.confirm import AskFirst, ask_within_limit
from rfsync.sync.ordering import is_superseded, observed_at, sent_us, warn_of_clock
from rfsync.sync.removals import Confirmation, describe_doubtful, settle, to_ask
from rfsync.sync.result import Result, finish
from rfsync.sync.task import SyncContext


def write_unchanged(
    context: SyncContext, run: Run, response: Response, transaction: Transaction, confirmation: Confirmation
) -> Result | AskFirst | None:
    """Ends a run whose answer is the one applied last; None: under the lock, it turns out that it is not."""
    state = transaction.state
    row = RunRow("unchanged", response.attempts, response.status, response.response_bytes, batches=state.listed)
    if is_superseded(run, state, response):
        return finish(context, run, transaction, state, replace(row, outcome="superseded", batches=None))
    if state.etag != run.etag if response.not_modified else state.fingerprint != response.fingerprint:
        return None
    at = observed_at(state, response)
    rows: Mapping[str, Missing] = {}
    if state.missing_streak or (state.recheck_from and state.recheck_from + context.removals.recheck <= at):
        rows = transaction.load_missing()
    # What only refused observations lacked is listed again.
    unlisted = {batch_id: known for batch_id, known in rows.items() if not known.refusal}
    due = to_ask(unlisted, unlisted, at, context.removals)
    ask = ask_within_limit(context, due, confirmation)
    if ask is not None:
        return ask
    warn_of_clock(run, state, response)
    settled = settle(unlisted, unlisted, confirmation, at)
    existing = sorted(confirmation.existing, key=lambda batch: batch.id)
    stored = transaction.load_some([*confirmation.removed, *(batch.id for batch in existing)])
    changes = diff(stored, existing, gone=confirmation.removed).changes
    if changes:
        row = replace(row, outcome="changed", tally=transaction.apply(changes, at))
    if rows:
        transaction.keep_missing(rows, settled.rows, at)
    state = replace(
        transaction.state, observed_at=at, written_at=at, sent_us=sent_us(run, response),
        etag=response.etag or state.etag, missing_streak=0,
    )  # fmt: skip
    if settled.doubtful:
        state = replace(state, etag=None, fingerprint=None, listed=None)
        row = replace(row, error=context.redact(describe_doubtful(settled.doubtful)))
    return finish(context, run, transaction, state, row, changes)
