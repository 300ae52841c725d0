"""Asking the API for batches that its list lacks, each at its own address, between two transactions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rfsync.api.answers import parse_one
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.runs import Run
from rfsync.ledger.transaction import Transaction
from rfsync.sync.removals import Confirmation
from rfsync.sync.task import SyncContext, SyncTask

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AskFirst:
    """Nothing was written: the API has to be asked for these batches first."""

    batch_ids: Sequence[str]


def write_asking(
    context: SyncContext,
    run: Run,
    task: SyncTask,
    work: Callable[[Transaction, Confirmation], _T | AskFirst],
    confirmation: Confirmation,
) -> _T:
    """Writes what an observation shows, and asks the API as long as that has to be done first.

    Args:
        work: see ``Store.write``; its second argument is what the API answered until then.
        confirmation: what it has answered before.
    """
    while True:
        with context.timer("write"):
            known = confirmation
            written = context.store.write(run, lambda transaction: work(transaction, known))  # noqa: B023 done by then
        if not isinstance(written, AskFirst):
            return written
        confirmation = confirm(context, task, written.batch_ids, confirmation)


def confirm(context: SyncContext, task: SyncTask, batch_ids: Sequence[str], before: Confirmation) -> Confirmation:
    """Asks for each batch at its own address; earlier answers are kept."""
    removed, existing, doubtful = set(before.removed), [*before.existing], dict(before.doubtful)
    troubled = before.troubled
    for batch_id in batch_ids:
        # An API in trouble is not asked several times for each of the others.
        attempts = 1 if troubled else None
        try:
            response = context.fetcher.get(
                task.workspace, task.project, "batches", batch_id, key=task.key, attempts=attempts
            )
            tried = response.attempts
            existing.append(parse_one(response.body, batch_id))
        except FetchError as error:
            tried = error.attempts
            if error.kind is ErrorKind.NOT_FOUND:
                removed.add(batch_id)
            else:
                doubtful[batch_id] = str(error)
        troubled = troubled or tried > 1
    return Confirmation(frozenset(removed), tuple(existing), doubtful, troubled)


def ask_within_limit(context: SyncContext, batch_ids: Sequence[str], confirmation: Confirmation) -> AskFirst | None:
    """The batches to ask for next, as many as the limit leaves; None: there are none, or it is reached."""
    left = context.removals.confirm_limit - len(confirmation)
    asked = [batch_id for batch_id in batch_ids if batch_id not in confirmation][: max(left, 0)]
    return AskFirst(asked) if asked else None
