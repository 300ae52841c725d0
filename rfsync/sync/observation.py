"""A project's whole list: fetched, compared with the stored state, judged, and applied completely or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from rfsync.api.answers import Answer, parse, parse_one
from rfsync.api.client import Response
from rfsync.api.lenient import Rejected
from rfsync.batch import Batch
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.changes import Change
from rfsync.ledger.diff import Diff, diff
from rfsync.ledger.projects import ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.sync.ordering import is_superseded, observed_at, sent_us
from rfsync.sync.removals import Refused, judge
from rfsync.sync.result import Result, finish
from rfsync.sync.task import SyncContext, SyncTask, log
from rfsync.text import printable

#: Rejected records that are logged one by one; for the others, their number is.
_MAX_LOGGED: Final = 20

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The API's answers about batches that its list lacked."""

    removed: frozenset[str] = frozenset()
    #: They exist, though they are not listed.
    existing: tuple[Batch, ...] = ()
    #: Id -> why it is not known whether it exists.
    doubtful: dict[str, str] = field(default_factory=dict)
    #: A request for one of them had to be tried again.
    troubled: bool = False


@dataclass(frozen=True, slots=True)
class AskFirst:
    """Nothing was written: the API has to be asked for these batches first."""

    missing: Sequence[Batch]


def observe(context: SyncContext, run: Run, task: SyncTask) -> Result:
    """Fetches the list and applies its changes.

    Raises:
        FetchError: there was no valid list.
        DatabaseError: the database refused or vanished.
    """
    with context.timer("fetch"):
        response = context.fetcher.get(task.workspace, task.project, "batches", key=task.key, etag=run.etag)
    if response.not_modified or response.fingerprint == run.fingerprint:
        result = _write(context, run, partial(_write_unchanged, context, run, response))
        if result is not None:
            return result
        if response.not_modified:
            # Meanwhile an older list was applied, and a 304 has no body to correct that.
            response = context.fetcher.get(task.workspace, task.project, "batches", key=task.key, attempts=1)
    answer = response.parse(parse)
    log_rejected(task, answer.rejected)
    response.body.clear()  # it may be hundreds of megabytes
    observation = Observation(context, run, response, answer, f"rfsync sync {task} --allow-removals")
    written = _write(context, run, observation.write)
    confirmation = Confirmation()
    while isinstance(written, AskFirst):
        confirmation = _confirm(context, task, written.missing, confirmation)
        written = _write(context, run, partial(observation.write_confirmed, confirmation=confirmation))
    return written


def _write(context: SyncContext, run: Run, work: Callable[[Transaction], _T]) -> _T:
    with context.timer("write"):
        return context.store.write(run, work)


def _write_unchanged(context: SyncContext, run: Run, response: Response, transaction: Transaction) -> Result | None:
    """Ends a run whose answer is the one applied last; None: under the lock, it turns out that it is not."""
    state = transaction.state
    row = RunRow("unchanged", response.attempts, response.status, response.response_bytes, batches=state.listed)
    if is_superseded(run, state, response):
        return finish(context, run, transaction, state, replace(row, outcome="superseded", batches=None))
    if state.etag != run.etag if response.not_modified else state.fingerprint != response.fingerprint:
        return None
    at = observed_at(run, state, response)
    state = replace(
        state, observed_at=at, written_at=at, sent_us=sent_us(run, response),
        etag=response.etag or state.etag, missing_digest=None, missing_streak=0,
    )  # fmt: skip
    return finish(context, run, transaction, state, row)


def _confirm(context: SyncContext, task: SyncTask, missing: Sequence[Batch], before: Confirmation) -> Confirmation:
    """Asks for each missing batch at its own address; earlier answers are kept."""
    removed, existing, doubtful = set(before.removed), [*before.existing], dict(before.doubtful)
    troubled = before.troubled
    for batch in missing:
        # An API in trouble is not asked several times for each of the others.
        attempts = 1 if troubled else None
        try:
            response = context.fetcher.get(
                task.workspace, task.project, "batches", batch.id, key=task.key, attempts=attempts
            )
            tried = response.attempts
            existing.append(parse_one(response.body, batch.id))
        except FetchError as error:
            tried = error.attempts
            if error.kind is ErrorKind.NOT_FOUND:
                removed.add(batch.id)
            else:
                doubtful[batch.id] = str(error)
        troubled = troubled or tried > 1
    return Confirmation(frozenset(removed), tuple(existing), doubtful, troubled)


@dataclass(frozen=True, slots=True)
class Observation:
    """A valid list, ready to be written. It never changes, since writing it may be tried more than once."""

    _context: SyncContext
    _run: Run
    _response: Response
    _answer: Answer
    #: The command that applies it despite all that is missing.
    _accept: str

    def write(self, transaction: Transaction) -> Result | AskFirst:
        """Writes the observation, unless there are batches to ask for first."""
        state = transaction.state
        if is_superseded(self._run, state, self._response):
            return self.supersede(transaction)
        difference = self._diff(transaction, Confirmation())
        missing = difference.missing
        if not missing:
            return self._apply(transaction, difference, Confirmation())
        verdict = judge(
            missing,
            nothing_listed=not self._answer.batches and not self._answer.rejected,
            before=(state.missing_digest, state.missing_streak),
            settings=self._context.removals,
            allow=self._context.allow_removals,
        )
        if isinstance(verdict, Refused):
            reason = f"{verdict.reason}, or at once with: {self._accept}"
            state = replace(state, missing_digest=verdict.digest, missing_streak=verdict.streak)
            return self._finish(transaction, state, RunRow("refused", error=reason))
        return AskFirst(missing) if verdict.ask else self._write_without_asking(transaction, missing)

    def write_confirmed(self, transaction: Transaction, confirmation: Confirmation) -> Result | AskFirst:
        """Writes the observation with what the API answered about missing batches.

        There may be more to ask for, if an older observation was written meanwhile.
        """
        if is_superseded(self._run, transaction.state, self._response):
            return self.supersede(transaction)
        difference = self._diff(transaction, confirmation)
        more = [batch for batch in difference.missing if batch.id not in confirmation.doubtful]
        asked = len(confirmation.removed) + len(confirmation.existing) + len(confirmation.doubtful)
        if more and asked + len(more) <= self._context.removals.confirm_limit:
            return AskFirst(more)
        return self._apply(transaction, difference, confirmation)

    def write_offline(self, transaction: Transaction) -> Result:
        """Writes the observation when the API can't be asked: missing batches are removed."""
        written = self.write(transaction)
        return self._write_without_asking(transaction, written.missing) if isinstance(written, AskFirst) else written

    def supersede(self, transaction: Transaction) -> Result:
        """Ends the run without applying the observation, since a newer one was written."""
        return self._finish(transaction, transaction.state, RunRow("superseded"))

    def _write_without_asking(self, transaction: Transaction, missing: Sequence[Batch]) -> Result:
        """Applies the observation when missing batches are too many to ask for, or the API can't be asked."""
        without_id = sum(rejected.id is None for rejected in self._answer.rejected)
        if without_id and not self._context.allow_removals:
            # Each of these records may be one of the missing batches.
            why = f"{without_id} rejected records have no usable id"
            confirmation = Confirmation(doubtful={batch.id: why for batch in missing})
        else:
            confirmation = Confirmation(removed=frozenset(batch.id for batch in missing))
        return self._apply(transaction, self._diff(transaction, confirmation), confirmation)

    def _diff(self, transaction: Transaction, confirmation: Confirmation) -> Diff:
        observed = self._answer.batches
        if confirmation.existing:
            observed = sorted((*observed, *confirmation.existing), key=lambda batch: batch.id)
        return diff(transaction.load(), observed, gone=confirmation.removed, kept=self._answer.rejected_ids)

    def _apply(self, transaction: Transaction, difference: Diff, confirmation: Confirmation) -> Result:
        at = observed_at(self._run, transaction.state, self._response)
        tally = transaction.apply(difference.changes, at)
        doubtful = {b.id: confirmation.doubtful.get(b.id, "not asked for") for b in difference.missing}
        # If the list does not describe the whole state, each poll has to compare it, and to ask for what it lacks.
        complete = not doubtful and not self._answer.rejected and not confirmation.existing
        last = (self._response.etag, self._response.fingerprint, len(self._answer.batches))
        etag, fingerprint, listed = last if complete else (None, None, None)
        # A saved answer was not requested now, and must not overtake a request that is under way.
        sent = sent_us(self._run, self._response) if self._response.attempts else transaction.state.sent_us
        state = replace(
            transaction.state, observed_at=at, written_at=at, sent_us=sent, etag=etag, fingerprint=fingerprint,
            listed=listed, missing_digest=None, missing_streak=0,
        )  # fmt: skip
        error = self._context.redact(_describe_doubtful(doubtful)) if doubtful else None
        row = RunRow("changed" if difference.changes else "unchanged", tally=tally, error=error)
        return self._finish(transaction, state, row, difference.changes)

    def _finish(
        self, transaction: Transaction, state: ProjectState, row: RunRow, changes: Sequence[Change] = ()
    ) -> Result:
        """Ends the run with this row, to which it adds what is known of the answer."""
        response, answer = self._response, self._answer
        # A saved answer has no attempts and no status, since this run did not request it.
        status = response.status if response.attempts else None
        row = replace(
            row, attempts=response.attempts, http_status=status, response_bytes=response.response_bytes,
            batches=len(answer.batches), rejected=len(answer.rejected),
        )  # fmt: skip
        return finish(self._context, self._run, transaction, state, row, changes)


def log_rejected(task: SyncTask, rejected: Sequence[Rejected]) -> None:
    """Logs a warning for each of the first rejected records, and one with the number of the others."""
    for record in rejected[:_MAX_LOGGED]:
        log.warning("%s: record %d rejected: %s", task, record.position, record.reason)
    if len(rejected) > _MAX_LOGGED:
        log.warning("%s: and %d more records rejected", task, len(rejected) - _MAX_LOGGED)


def _describe_doubtful(doubtful: dict[str, str]) -> str:
    shown = "; ".join(f"{printable(batch_id)}: {why}" for batch_id, why in list(doubtful.items())[:3])
    more = f"; and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
    noun = "batch is" if len(doubtful) == 1 else "batches are"
    return (
        f"{len(doubtful)} {noun} no longer listed, and left as before since asking gave no clear answer: {shown}{more}"
    )
