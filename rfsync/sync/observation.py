"""A project's whole list: fetched, compared with what is stored, judged, and applied whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from rfsync.api.answers import Answer, Rejected, parse, parse_one
from rfsync.api.client import Response
from rfsync.batch import Batch
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.changes import Change
from rfsync.ledger.diff import Diff, diff
from rfsync.ledger.projects import ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.sync.removals import Refused, judge
from rfsync.sync.task import (
    Result,
    SyncContext,
    SyncTask,
    is_superseded,
    log,
    log_outcome,
    observed_at,
    result_of,
    sent_us,
)
from rfsync.text import printable

#: Rejected records that are logged one by one; of the rest the number.
_LOGGED: Final = 20


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the API said of batches that its list lacked."""

    gone: frozenset[str] = frozenset()
    answered: tuple[Batch, ...] = ()
    #: Id -> why it is not known.
    doubtful: dict[str, str] = field(default_factory=dict)
    #: Whether the API had to be asked more than once for one of them.
    troubled: bool = False

    @property
    def asked(self) -> int:
        """How many batches were asked for."""
        return len(self.gone) + len(self.answered) + len(self.doubtful)


def observe(context: SyncContext, run: Run, task: SyncTask) -> Result:
    """Asks for the list and applies what it shows.

    Raises:
        FetchError: no valid list was answered.
        DatabaseError: the database refused or vanished.
    """
    with context.metrics.time("fetch"):
        response = context.fetcher.get(task.workspace, task.project, "batches", key=task.key, etag=run.etag)
    if response.not_modified or response.fingerprint == run.fingerprint:
        result = _unchanged(context, run, task, response)
        if result is not None:
            return result
        if response.not_modified:
            # Somebody applied an older answer in the meantime, and ours has no body to put that right.
            response = context.fetcher.get(task.workspace, task.project, "batches", key=task.key, attempts=1)
    answer = _parse(task, response)
    response.body.clear()  # a hundred megabytes that nobody reads again
    observation = Observation(context, run, task, response, answer)
    with context.metrics.time("write"):
        written = context.store.write(run, observation.judge_and_write)
    confirmed = Confirmation()
    while isinstance(written, list):
        confirmed = _confirm(context, task, written, confirmed)
        with context.metrics.time("write"):
            written = context.store.write(run, partial(observation.write, confirmed=confirmed))
    log_outcome(task, written.row)
    return result_of(task, run.id, written.row, written.changes if context.keep_changes else ())


def _unchanged(context: SyncContext, run: Run, task: SyncTask, response: Response) -> Result | None:
    """Ends a run whose answer is the one applied last; None: it is not, under the lock."""

    def write(transaction: Transaction) -> RunRow | None:
        state = transaction.state
        row = RunRow("unchanged", response.attempts, response.status, response.response_bytes, batches=state.listed)
        if is_superseded(run, state, response):
            row = replace(row, outcome="superseded", batches=None)
        elif state.etag != run.etag if response.not_modified else state.fingerprint != response.fingerprint:
            return None
        else:
            at = observed_at(run, state, response)
            state = replace(
                state, observed_at=at, written_at=at, sent_us=sent_us(run, response),
                etag=response.etag or state.etag, missing_digest=None, missing_streak=0,
            )  # fmt: skip
        transaction.finish(state, row, context.clock())
        return row

    with context.metrics.time("write"):
        row = context.store.write(run, write)
    if row is None:
        return None
    log_outcome(task, row)
    return result_of(task, run.id, row)


def _parse(task: SyncTask, response: Response) -> Answer:
    answer = response.parse(parse)
    log_rejected(task, answer.rejected)
    return answer


def _confirm(context: SyncContext, task: SyncTask, missing: Sequence[Batch], before: Confirmation) -> Confirmation:
    """Asks for each missing batch by its own address; what was known before stays."""
    gone, answered, doubtful = set(before.gone), [*before.answered], dict(before.doubtful)
    troubled = before.troubled
    for batch in missing:
        # An API that is in trouble is not asked again and again for each of the rest.
        attempts = 1 if troubled else None
        try:
            response = context.fetcher.get(
                task.workspace, task.project, "batches", batch.id, key=task.key, attempts=attempts
            )
            tried = response.attempts
            answered.append(parse_one(response.body, batch.id))
        except FetchError as error:
            tried = error.attempts
            if error.kind is ErrorKind.NOT_FOUND:
                gone.add(batch.id)
            else:
                doubtful[batch.id] = str(error)
        troubled = troubled or tried > 1
    return Confirmation(frozenset(gone), tuple(answered), doubtful, troubled)


@dataclass(frozen=True, slots=True)
class Written:
    """The end of a run, as it is in the database once the transaction is committed."""

    row: RunRow
    changes: Sequence[Change] = ()


class Observation:
    """One answered list on its way into the database. It never changes: writing it may be tried more than once.

    Args:
        accept: the command that applies it although suspiciously much is missing.
    """

    def __init__(
        self,
        context: SyncContext,
        run: Run,
        task: SyncTask,
        response: Response,
        answer: Answer,
        *,
        accept: str | None = None,
    ) -> None:
        self._context = context
        self._run = run
        self._task = task
        self._response = response
        self._answer = answer
        self._accept = accept or f"rfsync sync {task} --allow-removals"
        # What was saved long ago was not asked for by this run: it has no attempts, and no status.
        status = response.status if response.attempts else None
        self._row = RunRow(
            "unchanged", response.attempts, status, response.response_bytes,
            batches=len(answer.batches), rejected=len(answer.rejected),
        )  # fmt: skip

    def judge_and_write(self, transaction: Transaction) -> Written | list[Batch]:
        """Writes the observation, or says which batches have to be asked for first; then nothing is written."""
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
            row = replace(self._row, outcome="refused", error=reason)
            state = replace(state, missing_digest=verdict.digest, missing_streak=verdict.streak)
            return self._finish(transaction, state, row)
        if verdict.ask:
            return missing
        confirmed = self._believed(missing)
        return self._apply(transaction, self._diff(transaction, confirmed), confirmed)

    def write(self, transaction: Transaction, confirmed: Confirmation) -> Written | list[Batch]:
        """Writes the observation with what the API said of the batches that it lacks.

        Where an older observation was written meanwhile, there may be more to ask for.
        """
        if is_superseded(self._run, transaction.state, self._response):
            return self.supersede(transaction)
        difference = self._diff(transaction, confirmed)
        more = [batch for batch in difference.missing if batch.id not in confirmed.doubtful]
        if more and confirmed.asked + len(more) <= self._context.removals.confirm_limit:
            return more
        return self._apply(transaction, difference, confirmed)

    def settle(self, transaction: Transaction) -> Written:
        """Writes the observation where nobody can be asked: what it lacks is gone."""
        written = self.judge_and_write(transaction)
        if not isinstance(written, list):
            return written
        confirmed = self._believed(written)
        return self._apply(transaction, self._diff(transaction, confirmed), confirmed)

    def supersede(self, transaction: Transaction) -> Written:
        """Ends the run without the observation: a newer one stands."""
        return self._finish(transaction, transaction.state, replace(self._row, outcome="superseded"))

    def _believed(self, missing: list[Batch]) -> Confirmation:
        """What is made of missing batches that are too many to be asked for, or that nobody can be asked for."""
        nameless = sum(rejected.id is None for rejected in self._answer.rejected)
        if nameless and not self._context.allow_removals:
            # Each of those records may be one of the missing batches, and nobody can say of which.
            why = f"{nameless} rejected records have no usable id"
            return Confirmation(doubtful={batch.id: why for batch in missing})
        return Confirmation(frozenset(batch.id for batch in missing))

    def _diff(self, transaction: Transaction, confirmed: Confirmation) -> Diff:
        observed = self._answer.batches
        if confirmed.answered:
            observed = sorted((*observed, *confirmed.answered), key=lambda batch: batch.id)
        return diff(transaction.load(), observed, gone=confirmed.gone, kept=self._answer.rejected_ids)

    def _apply(self, transaction: Transaction, difference: Diff, confirmed: Confirmation) -> Written:
        at = observed_at(self._run, transaction.state, self._response)
        tally = transaction.apply(difference.changes, at)
        doubtful = {b.id: confirmed.doubtful.get(b.id, "not asked for") for b in difference.missing}
        # While a batch that exists is not listed, the list alone does not say all: each poll has to ask for it again.
        whole = not doubtful and not self._answer.rejected and not confirmed.answered
        state = replace(
            transaction.state,
            observed_at=at,
            written_at=at,
            sent_us=sent_us(self._run, self._response),
            etag=self._response.etag if whole else None,
            fingerprint=self._response.fingerprint if whole else None,
            listed=len(self._answer.batches) if whole else None,
            missing_digest=None,
            missing_streak=0,
        )
        row = replace(
            self._row,
            outcome="changed" if difference.changes else "unchanged",
            tally=tally,
            error=self._context.redact(_doubt(doubtful)) if doubtful else None,
        )
        return self._finish(transaction, state, row, difference.changes)

    def _finish(
        self, transaction: Transaction, state: ProjectState, row: RunRow, changes: Sequence[Change] = ()
    ) -> Written:
        transaction.finish(state, row, self._context.clock())
        return Written(row, changes)


def log_rejected(task: SyncTask, rejected: Sequence[Rejected]) -> None:
    """A warning for each of the first ones, and one for how many more there are."""
    for record in rejected[:_LOGGED]:
        log.warning("%s: record %d rejected: %s", task, record.position, record.reason)
    if len(rejected) > _LOGGED:
        log.warning("%s: and %d more records rejected", task, len(rejected) - _LOGGED)


def _doubt(doubtful: dict[str, str]) -> str:
    shown = "; ".join(f"{printable(batch_id)}: {why}" for batch_id, why in list(doubtful.items())[:3])
    more = f"; and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
    noun = "batch is" if len(doubtful) == 1 else "batches are"
    return (
        f"{len(doubtful)} {noun} no longer listed, and left as before since asking gave no clear answer: {shown}{more}"
    )
