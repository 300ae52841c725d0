"""A project's lists: fetched, compared with the stored state, judged, and applied completely or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from rfsync.api.client import Response
from rfsync.ledger.projects import ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.records import Kind
from rfsync.sync.comparison import Compared, Comparer, removed_by_departure
from rfsync.sync.confirm import AskFirst, FoundOwners, ReadAgain, WritePeople, ask_within_limit
from rfsync.sync.lists import (
    DENIALS,
    REFUSED,
    JobsFailure,
    ListAnswer,
)
from rfsync.sync.ordering import is_older, is_superseded, observed_at, sent_us, warn_of_clock
from rfsync.sync.removals import (
    UNASKED,
    Confirmation,
    Confirmations,
    Refused,
    describe_doubtful,
    judge,
    rows_of_refused,
)
from rfsync.sync.result import Result, finish
from rfsync.sync.task import SyncContext, SyncTask


@dataclass(frozen=True)
class Observation:
    """Valid lists, ready to be written. It never changes, since writing it may be tried more than once."""

    context: SyncContext
    run: Run
    task: SyncTask
    #: None: a saved job list alone.
    batches: ListAnswer | None
    #: None: it was not asked for.
    jobs: ListAnswer | JobsFailure | None
    #: The command that applies it despite all that is missing.
    accept: str
    #: For people, beside the outcome; None: nothing.
    note: str | None = None
    #: Ids of its records whose other owners are to be looked for first; empty: they were, or need not be.
    unsought: Mapping[Kind, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def _answered(self) -> list[ListAnswer]:
        return [listed for listed in (self.batches, self.jobs) if isinstance(listed, ListAnswer)]

    @property
    def _response(self) -> Response:
        """The answer that the time of the observation is from."""
        return self._answered[0].response

    def write(
        self, transaction: Transaction, confirmations: Confirmations
    ) -> Result | AskFirst | WritePeople | ReadAgain | FoundOwners:
        """Writes the observation, unless there are records to ask for first.

        Args:
            confirmations: what the API has answered about missing records.
        """
        # In this transaction, since most new projects have no other owner.
        owners = transaction.find_owners(self.unsought) if any(self.unsought.values()) else []
        return FoundOwners(owners) if owners else self._write(transaction, confirmations, offline=False)

    def write_offline(self, transaction: Transaction) -> Result:
        """Writes the observation when the API can't be asked; see ``Compared.taken_for_removed``."""
        written = self._write(transaction, UNASKED, offline=True)
        assert isinstance(written, Result)  # noqa: S101 a saved answer is read, and asks nothing
        return written

    def supersede(self, transaction: Transaction) -> Result:
        """Ends the run without applying the observation, since a newer one was written."""
        return self._finish(transaction, transaction.state, RunRow("superseded"), {})

    def _write(
        self, transaction: Transaction, confirmations: Confirmations, *, offline: bool
    ) -> Result | AskFirst | WritePeople | ReadAgain:
        state = transaction.state
        if is_superseded(self.run, state, self._response) or not transaction.can_follow_rename():
            return self.supersede(transaction)
        at = observed_at(state, self._response)
        comparer = Comparer(self.run, transaction, self.context.removals, at)
        failure = self.jobs if isinstance(self.jobs, JobsFailure) else None
        if failure is not None and is_older(self.run, state, Kind.JOB, failure):
            failure = None  # a newer list was applied meanwhile
        compared: dict[Kind, Compared] = {}
        for listed in self._lists(state):
            found = self._compare(comparer, listed, confirmations[listed.kind], offline=offline)
            if isinstance(found, ReadAgain):
                return found
            if isinstance(found, _RefusedList):
                self._keep_refused(transaction, found)
                refuses_all = listed.kind is Kind.BATCH or self.batches is None
                # Once a saved batch list is applied, the job list of its time can't be.
                at_once = f", or at once with: {self.accept}" if refuses_all or not offline else ""
                if at_once and not refuses_all:
                    at_once += " (which takes unlisted batches for removed, too)"
                reason = f"{found.verdict.reason}{at_once}"
                if refuses_all:
                    state = self._with_jobs_failure(transaction.state, failure, at, applied=False)
                    return self._finish(transaction, state, self._with_failure("refused", reason, failure), {})
                failure = JobsFailure(REFUSED, reason, listed.response.sent_at, listed.response.sent_us)
                continue
            compared[listed.kind] = found
        if not offline and not self.context.allow_removals:
            # There may be more to ask for than at first, if an older observation was written meanwhile.
            questions = [q for c in compared.values() for q in c.questions(self.context.removals)]
            ask = ask_within_limit(self.context, questions, confirmations)
            if ask is not None:
                return ask
        people = compared[Kind.JOB].addresses() if Kind.JOB in compared else ()
        if not transaction.are_people_written(people):
            return WritePeople(people)
        return self._apply(transaction, comparer, compared, failure)

    def _lists(self, state: ProjectState) -> Iterator[ListAnswer]:
        if self.batches is not None:
            yield self.batches
        # A list that is older than the one that was applied last is left out.
        if isinstance(self.jobs, ListAnswer) and not is_older(self.run, state, Kind.JOB, self.jobs.response):
            yield self.jobs

    def _compare(
        self, comparer: Comparer, listed: ListAnswer, confirmation: Confirmation, *, offline: bool
    ) -> "Compared | ReadAgain | _RefusedList":
        compared = comparer.compare(listed, confirmation)
        if isinstance(compared, ReadAgain) or listed.answer is None:
            return compared
        if self.context.allow_removals:
            return comparer.without_asking(compared, Confirmation(removed=frozenset(compared.lacking)))
        streak = comparer.transaction.state.of(listed.kind).missing_streak
        verdict = judge(listed.kind, compared.lacking, compared.known, streak, self.context.removals)
        if verdict is not None:
            return _RefusedList(compared, verdict)
        return comparer.without_asking(compared, compared.taken_for_removed()) if offline else compared

    def _keep_refused(self, transaction: Transaction, refused: "_RefusedList") -> None:
        compared, streak = refused.compared, refused.verdict.streak
        rows = rows_of_refused(compared.lacking, compared.stored, streak, compared.at)
        transaction.keep_missing(compared.kind, compared.stored, rows, compared.at)
        transaction.state = transaction.state.with_list(compared.kind, missing_streak=streak)

    def _apply(
        self,
        transaction: Transaction,
        comparer: Comparer,
        compared: dict[Kind, Compared],
        failure: JobsFailure | None,
    ) -> Result:
        at = comparer.at
        warn_of_clock(self.run, transaction.state, self._response)
        for kind in Kind:
            if kind not in compared:
                self._keep_departed(transaction, kind, at)
        warnings = {kind: self._apply_list(transaction, c) for kind, c in compared.items()}
        state = replace(transaction.state, written_at=at, departed_at=None)
        state = self._with_jobs_failure(state, failure, at, applied=Kind.JOB in compared)
        changed = any(c.changes for c in compared.values()) or transaction.is_renaming()
        notes = [self.note if transaction.is_renaming() else None, warnings.get(Kind.BATCH)]
        row = self._with_failure("changed" if changed else "unchanged", self._text(notes), failure)
        if Kind.JOB in warnings and failure is None:
            row = replace(row, jobs_error=self._text([warnings[Kind.JOB]]))
        return self._finish(transaction, state, row, compared)

    def _apply_list(self, transaction: Transaction, compared: Compared) -> str | None:
        """Takes over what a list shows; returns a warning about what is in doubt."""
        kind, response, answer = compared.kind, compared.listed.response, compared.listed.answer
        transaction.apply(kind, [*compared.changes], compared.at)
        settled = compared.settled()
        # Listed, but in a record that breaks the rules: everything about it stays as it was.
        rejected = frozenset() if answer is None else answer.rejected_ids
        kept = {i: row for i, row in compared.stored.items() if i in rejected}
        if compared.stored or settled.rows:
            transaction.keep_missing(kind, compared.stored, settled.rows | kept, compared.at)
        before = transaction.state.of(kind)
        # If the list does not describe the whole state, each poll has to compare it, and to ask for what it lacks.
        known: tuple[Any, ...] = (None, None, None)
        if not settled.doubtful and answer is None:
            known = (response.etag or before.etag, before.fingerprint, before.listed)
        elif not settled.doubtful and answer is not None and not answer.rejected:
            known = (response.etag, response.fingerprint, len(answer.records))
        # A saved answer was not requested now, and must not overtake a request that is under way.
        sent = sent_us(self.run, response) if response.attempts else before.sent_us
        transaction.state = transaction.state.with_list(
            kind, observed_at=compared.at, sent_us=sent, missing_streak=0,
            **dict(zip(("etag", "fingerprint", "listed"), known, strict=True)),
        )  # fmt: skip
        return describe_doubtful(kind, settled.doubtful) if settled.doubtful else None

    def _keep_departed(self, transaction: Transaction, kind: Kind, at: datetime) -> None:
        """Of a project that is back without this list: the next one is asked for what it lacks."""
        rows = removed_by_departure(transaction, kind, at)
        if rows:
            stored = transaction.load_missing(kind)
            transaction.keep_missing(kind, stored, rows | stored, at)

    def _with_jobs_failure(
        self, state: ProjectState, failure: JobsFailure | None, at: datetime, *, applied: bool
    ) -> ProjectState:
        """The state with how the job list went, where it was asked for."""
        if applied:
            return replace(state, jobs_error_kind=None, jobs_asked_at=None, jobs_key=None)
        if failure is None:
            return state
        state = replace(state, jobs_error_kind=failure.kind)
        if failure.kind in DENIALS:
            state = replace(state, jobs_asked_at=at, jobs_key=self.task.key.digest)
        return state

    def _with_failure(self, outcome: str, error: str | None, failure: JobsFailure | None) -> RunRow:
        if failure is None:
            return RunRow(outcome, error=error)
        return RunRow(outcome, error=error, jobs_error_kind=failure.kind, jobs_error=self._text([failure.text]))

    def _text(self, notes: Sequence[str | None]) -> str | None:
        given = [note for note in notes if note]
        return self.context.redact("; ".join(given)) if given else None

    def _finish(
        self, transaction: Transaction, state: ProjectState, row: RunRow, compared: Mapping[Kind, Compared]
    ) -> Result:
        """Ends the run with this row, to which it adds what is known of the answers."""
        rejected = sum(len(listed.answer.rejected) for listed in self._answered if listed.answer is not None)
        numbers = {kind: self._number(state, c.listed) for kind, c in compared.items()}
        if self.batches is not None:
            response = self.batches.response
            # A saved answer has no attempts and no status, since this run did not request it.
            row = replace(
                row,
                attempts=response.attempts,
                http_status=response.status if response.attempts else None,
                response_bytes=response.response_bytes,
                batches=self._number(state, self.batches),
            )
        row = replace(row, rejected=rejected, jobs=numbers.get(Kind.JOB))
        return finish(self.context, self.run, transaction, state, row, {k: c.changes for k, c in compared.items()})

    def _number(self, state: ProjectState, listed: ListAnswer) -> int | None:
        """The valid records of a list, each counted once."""
        return state.of(listed.kind).listed if listed.answer is None else len(listed.answer.records)


@dataclass(frozen=True, slots=True)
class _RefusedList:
    """A list that does not count yet."""

    compared: Compared
    verdict: Refused
