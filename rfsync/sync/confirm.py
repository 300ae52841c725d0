"""Asking the API for records that its lists lack, each at its own address, between two transactions."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from rfsync.api.answers import parse_one
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.renames import Owner
from rfsync.ledger.runs import Run
from rfsync.ledger.transaction import Transaction
from rfsync.records import Kind
from rfsync.sync.removals import Confirmation, Confirmations, Question
from rfsync.sync.result import Result
from rfsync.sync.task import SyncContext, SyncTask


@dataclass(frozen=True, slots=True)
class AskFirst:
    """Nothing was written: the API has to be asked for these records first."""

    questions: Sequence[Question]


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """Nothing was written: a list is not the one that was applied last, as it seemed, and its body is needed."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class FoundOwners:
    """Nothing was written: other projects have some of the records, and it may be one of them under a new id."""

    owners: Sequence[Owner]


@dataclass(frozen=True, slots=True)
class WritePeople:
    """Nothing was written: people have to be written down first."""

    addresses: Collection[str]


def write_asking(
    context: SyncContext,
    run: Run,
    task: SyncTask,
    work: Callable[[Transaction, Confirmations], Result | ReadAgain | FoundOwners | AskFirst | WritePeople],
    confirmations: Confirmations,
) -> Result | ReadAgain | FoundOwners:
    """Writes what an observation shows, and asks the API as long as that has to be done first.

    Args:
        work: see ``Store.write``; its second argument is what the API answered until then.
        confirmations: what it has answered before.
    """
    while True:
        with context.timer("write"):
            known = confirmations
            written = context.store.write(run, lambda transaction: work(transaction, known))  # noqa: B023 done by then
        if isinstance(written, WritePeople):
            context.store.write_people(written.addresses)
            continue
        if not isinstance(written, AskFirst):
            return written
        confirmations = {
            kind: confirm(context, task, kind, [q.record_id for q in written.questions if q.kind is kind], known)
            for kind in Kind
        }


def confirm(
    context: SyncContext, task: SyncTask, kind: Kind, record_ids: Sequence[str], before: Confirmations
) -> Confirmation:
    """Asks for each record at its own address; earlier answers are kept."""
    known = before[kind]
    removed, existing, doubtful = set(known.removed), [*known.existing], dict(known.doubtful)
    troubled = any(confirmation.troubled for confirmation in before.values())
    for record_id in record_ids:
        # An API in trouble is not asked several times for each of the others.
        attempts = 1 if troubled else None
        try:
            response = context.fetcher.get(
                task.workspace, task.project, kind.value, record_id, key=task.key, attempts=attempts
            )
            tried = response.attempts
            existing.append(response.parse(partial(parse_one, record_id=record_id, kind=kind)))
        except FetchError as error:
            tried = error.attempts
            if error.kind is ErrorKind.NOT_FOUND:
                removed.add(record_id)
            else:
                doubtful[record_id] = str(error)
        troubled = troubled or tried > 1
    return Confirmation(frozenset(removed), tuple(existing), doubtful, troubled)


def ask_within_limit(
    context: SyncContext, questions: Iterable[Question], confirmations: Confirmations
) -> AskFirst | None:
    """The records to ask for next, as many as the limit leaves; None: there are none, or it is reached."""
    left = context.removals.confirm_limit - sum(map(len, confirmations.values()))
    asked = [q for q in sorted(questions) if q.record_id not in confirmations[q.kind]][: max(left, 0)]
    return AskFirst(asked) if asked else None
