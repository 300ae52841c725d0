"""A project's whole list: fetched, compared with the stored state, judged, and applied completely or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from rfsync.api.answers import Answer, parse
from rfsync.api.client import Response
from rfsync.api.lenient import Rejected
from rfsync.ledger.changes import Change
from rfsync.ledger.diff import Diff, diff
from rfsync.ledger.missing import Missing
from rfsync.ledger.projects import ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.records import Batch
from rfsync.sync.confirm import AskFirst, ask_within_limit, write_asking
from rfsync.sync.ordering import is_superseded, observed_at, sent_us, warn_of_clock
from rfsync.sync.removals import Confirmation, Refused, describe_doubtful, judge, rows_of_refused, settle, to_ask
from rfsync.sync.renames import find_rename
from rfsync.sync.result import Result, finish
from rfsync.sync.task import SyncContext, SyncTask, log
from rfsync.sync.unchanged import write_unchanged

#: Rejected records that are logged one by one; for the others, their number is.
_MAX_LOGGED: Final = 20


def observe(context: SyncContext, run: Run, task: SyncTask) -> Result:
    """Fetches the list and applies its changes.

    Raises:
        FetchError: there was no valid list, or it can't be told whose it is.
        DatabaseError: the database refused or vanished.
    """
    # An answer that nothing has changed does not say what is missing.
    etag = None if context.allow_removals else run.etag
    with context.timer("fetch"):
        response = context.fetcher.get(task.workspace, task.project, "batches", key=task.key, etag=etag)
    context.workspaces.answered.add(task.path)
    if response.not_modified or (response.fingerprint == run.fingerprint and not context.allow_removals):
        result = write_asking(context, run, task, partial(write_unchanged, context, run, response), Confirmation())
        if result is not None:
            return result
        if response.not_modified:
            # Meanwhile an older list was applied, and a 304 has no body to correct that.
            response = context.fetcher.get(task.workspace, task.project, "batches", key=task.key, attempts=1)
    answer = response.parse(parse)
    log_rejected(task, answer.rejected)
    response.body.clear()  # it may be hundreds of megabytes
    found = find_rename(context, run, task, response, answer.records)
    accept = f"rfsync sync {task} --allow-removals"
    observation = Observation(context, found.run, response, answer, accept, found.note)
    return write_asking(context, found.run, task, observation.write, found.confirmation)


@dataclass(frozen=True, slots=True)
class _Compared:
    """What a list shows to differ from the stored state, and what it lacks of it."""

    difference: Diff
    #: The batches that exist, as far as is known, and that it lacks.
    lacking: Sequence[str]
    #: The same, and those that were asked for; and, of a project that is back after it had departed, the ones that were
    #: removed by that.
    missing: Sequence[str]
    #: What the observation before lacked, and of a project that is back its removed batches.
    known: Mapping[str, Missing]
    #: The rows of ``known`` that the database has.
    stored: Mapping[str, Missing]


@dataclass(frozen=True, slots=True)
class Observation:
    """A valid list, ready to be written. It never changes, since writing it may be tried more than once."""

    _context: SyncContext
    _run: Run
    _response: Response
    _answer: Answer[Batch]
    #: The command that applies it despite all that is missing.
    _accept: str
    #: For people, beside the outcome; None: nothing.
    _note: str | None = None

    def write(self, transaction: Transaction, confirmation: Confirmation) -> Result | AskFirst:
        """Writes the observation, unless there are batches to ask for first.

        Args:
            confirmation: what the API has answered about missing batches.
        """
        state, context = transaction.state, self._context
        if is_superseded(self._run, state, self._response) or not transaction.can_follow_rename():
            return self.supersede(transaction)
        at = observed_at(state, self._response)
        compared = self._compare(transaction, confirmation)
        if context.allow_removals:
            return self._apply_without_asking(transaction, compared.lacking, Confirmation())
        verdict = judge(compared.lacking, compared.known, state.missing_streak, context.removals)
        if verdict is not None:
            return self._refuse(transaction, verdict, compared)
        # There may be more to ask for than at first, if an older observation was written meanwhile.
        asked = to_ask(compared.missing, compared.known, at, context.removals)
        return ask_within_limit(context, asked, confirmation) or self._apply(transaction, compared, confirmation)

    def write_offline(self, transaction: Transaction) -> Result:
        """Writes the observation when the API can't be asked: what is missing is removed, unless it was unlisted.

        A missing batch may be one of the rejected records, if those have no usable id: then it stays as it was.
        """
        written = self.write(transaction, Confirmation())
        if not isinstance(written, AskFirst):
            return written
        known = transaction.load_missing()
        lacking = self._compare(transaction, Confirmation()).lacking
        gone = [batch_id for batch_id in lacking if not (batch_id in known and known[batch_id].unlisted)]
        without_id = sum(rejected.id is None for rejected in self._answer.rejected)
        why = f"{without_id} rejected records have no usable id"
        doubtful = dict.fromkeys(gone, why) if without_id else {}
        return self._apply_without_asking(transaction, [] if without_id else gone, Confirmation(doubtful=doubtful))

    def supersede(self, transaction: Transaction) -> Result:
        """Ends the run without applying the observation, since a newer one was written."""
        return self._finish(transaction, transaction.state, RunRow("superseded"))

    def _compare(self, transaction: Transaction, confirmation: Confirmation) -> _Compared:
        observed: Iterable[Batch] = self._answer.records
        if confirmation.existing:
            observed = sorted((*observed, *confirmation.existing), key=lambda batch: batch.id)
        difference = diff(transaction.load(), observed, gone=confirmation.removed, kept=self._answer.rejected_ids)
        stored = transaction.load_missing()
        departed = transaction.load_departed()
        known = stored
        if departed:
            at = observed_at(transaction.state, self._response)
            known = {batch_id: Missing(at, removed=True) for batch_id in departed} | stored
        lacking = [batch.id for batch in difference.missing]
        missing = [*lacking, *confirmation.removed, *(batch.id for batch in confirmation.existing)]
        missing += self._removed_and_not_listed(known, missing)
        return _Compared(difference, lacking, missing, known, stored)

    def _removed_and_not_listed(self, known: Mapping[str, Missing], others: Iterable[str]) -> list[str]:
        """Of a project that is back, the batches that were removed when it departed and are not among its batches."""
        removed = {batch_id for batch_id, row in known.items() if row.removed}
        if not removed:
            return []
        removed -= {batch.id for batch in self._answer.records}
        return sorted(removed.difference(self._answer.rejected_ids, others))

    def _refuse(self, transaction: Transaction, verdict: Refused, compared: _Compared) -> Result:
        at = observed_at(transaction.state, self._response)
        rows = rows_of_refused(compared.lacking, compared.stored, verdict.streak, at)
        transaction.keep_missing(compared.stored, rows, at)
        state = replace(transaction.state, missing_streak=verdict.streak)
        reason = f"{verdict.reason}, or at once with: {self._accept}"
        return self._finish(transaction, state, RunRow("refused", error=reason))

    def _apply_without_asking(
        self, transaction: Transaction, gone: Sequence[str], confirmation: Confirmation
    ) -> Result:
        """Applies the observation with these missing batches removed.

        Args:
            confirmation: what is known of the others.
        """
        confirmation = replace(confirmation, removed=frozenset(gone))
        compared = self._compare(transaction, confirmation)
        # What was removed before stays so.
        return self._apply(transaction, replace(compared, missing=compared.lacking), confirmation)

    def _apply(self, transaction: Transaction, compared: _Compared, confirmation: Confirmation) -> Result:
        state, difference = transaction.state, compared.difference
        at = observed_at(state, self._response)
        warn_of_clock(self._run, state, self._response)
        tally = transaction.apply(difference.changes, at)
        settled = settle(compared.missing, compared.known, confirmation, at)
        # Listed, but in a record that breaks the rules: everything about it stays as it was.
        kept = {i: row for i, row in compared.stored.items() if i in self._answer.rejected_ids}
        if compared.stored or settled.rows:
            transaction.keep_missing(compared.stored, settled.rows | kept, at)
        # If the list does not describe the whole state, each poll has to compare it, and to ask for what it lacks.
        complete = not settled.doubtful and not self._answer.rejected
        last = (self._response.etag, self._response.fingerprint, len(self._answer.records))
        etag, fingerprint, listed = last if complete else (None, None, None)
        # A saved answer was not requested now, and must not overtake a request that is under way.
        sent = sent_us(self._run, self._response) if self._response.attempts else state.sent_us
        state = replace(
            transaction.state, observed_at=at, written_at=at, sent_us=sent, etag=etag, fingerprint=fingerprint,
            listed=listed, departed_at=None, missing_streak=0,
        )  # fmt: skip
        changed = bool(difference.changes) or transaction.is_renaming()
        note = self._note if transaction.is_renaming() else None
        row = RunRow("changed" if changed else "unchanged", tally=tally, error=self._warnings(note, settled.doubtful))
        return self._finish(transaction, state, row, difference.changes)

    def _warnings(self, note: str | None, doubtful: Mapping[str, str]) -> str | None:
        notes = [note] if note else []
        if doubtful:
            notes.append(describe_doubtful(doubtful))
        return self._context.redact("; ".join(notes)) if notes else None

    def _finish(
        self, transaction: Transaction, state: ProjectState, row: RunRow, changes: Sequence[Change] = ()
    ) -> Result:
        """Ends the run with this row, to which it adds what is known of the answer."""
        response, answer = self._response, self._answer
        # A saved answer has no attempts and no status, since this run did not request it.
        status = response.status if response.attempts else None
        row = replace(
            row, attempts=response.attempts, http_status=status, response_bytes=response.response_bytes,
            batches=len(answer.records), rejected=len(answer.rejected),
        )  # fmt: skip
        return finish(self._context, self._run, transaction, state, row, changes)


def log_rejected(task: SyncTask, rejected: Sequence[Rejected]) -> None:
    """Logs a warning for each of the first rejected records, and one with the number of the others."""
    for record in rejected[:_MAX_LOGGED]:
        log.warning("%s: record %d rejected: %s", task, record.position, record.reason)
    if len(rejected) > _MAX_LOGGED:
        log.warning("%s: and %d more records rejected", task, len(rejected) - _MAX_LOGGED)
