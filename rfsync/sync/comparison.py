"""One list compared with the stored state, under the project's lock: what differs, and what it lacks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rfsync.config import RemovalsConfig
from rfsync.ledger.changes import Change
from rfsync.ledger.diff import diff
from rfsync.ledger.missing import Missing
from rfsync.ledger.runs import Run
from rfsync.ledger.transaction import Transaction
from rfsync.records import Kind
from rfsync.sync.confirm import ReadAgain
from rfsync.sync.lists import ListAnswer
from rfsync.sync.people import addresses_of, with_numbers
from rfsync.sync.removals import Confirmation, Question, Settled, settle, to_ask


@dataclass(frozen=True, slots=True)
class Compared:
    """What a list shows to differ from the stored state, and what it lacks of it."""

    listed: ListAnswer
    #: What is known of what it lacks.
    confirmation: Confirmation
    #: The time of the observation.
    at: datetime
    changes: Sequence[Change]
    #: The records that exist, as far as is known, and that it lacks.
    lacking: Sequence[str]
    #: The same, and those that were asked for; and, of a project that is back after it had departed, the ones that were
    #: removed by that.
    missing: Sequence[str]
    #: What the observation before lacked, and of a project that is back its removed records.
    known: Mapping[str, Missing]
    #: The rows of ``known`` that the database has.
    stored: Mapping[str, Missing]

    @property
    def kind(self) -> Kind:
        """Of the list."""
        return self.listed.kind

    def addresses(self) -> set[str]:
        """All that names a person in what is compared."""
        return _addresses(self.listed, self.confirmation)

    def questions(self, settings: RemovalsConfig) -> list[Question]:
        """The records that the API has to be asked for."""
        return to_ask(self.kind, self.missing, self.known, self.at, settings)

    def taken_for_removed(self) -> Confirmation:
        """What is removed where nobody can be asked: all that is missing and was not unlisted.

        A missing record may be one of the rejected ones, if those have no usable id: then it is in doubt.
        """
        answer = self.listed.answer
        gone = [i for i in self.lacking if not (i in self.known and self.known[i].unlisted)]
        without_id = sum(rejected.id is None for rejected in answer.rejected) if answer is not None else 0
        if not without_id:
            return Confirmation(removed=frozenset(gone))
        return Confirmation(doubtful=dict.fromkeys(gone, f"{without_id} rejected records have no usable id"))

    def settled(self) -> Settled:
        """What is known of missing records once this is applied."""
        return settle(self.missing, self.known, self.confirmation, self.at)


@dataclass(frozen=True, slots=True)
class Comparer:
    """Compares the lists of an observation in one transaction."""

    run: Run
    transaction: Transaction
    settings: RemovalsConfig
    at: datetime

    def compare(self, listed: ListAnswer, confirmation: Confirmation) -> Compared | ReadAgain:
        """Compares a list with the stored state.

        Args:
            confirmation: what the API has answered about its missing records.
        """
        if listed.answer is None:
            return self._compare_unchanged(listed, confirmation)
        numbers = self.transaction.number_people(_addresses(listed, confirmation))
        return self._compare(listed, confirmation, numbers)

    def without_asking(self, compared: Compared, confirmation: Confirmation) -> Compared:
        """The same list, with those missing records removed that are so by ``confirmation``."""
        numbers = self.transaction.number_people(_addresses(compared.listed, confirmation))
        again = self._compare(compared.listed, confirmation, numbers)
        # What was removed before stays so.
        return replace(again, missing=again.lacking)

    def _compare_unchanged(self, listed: ListAnswer, confirmation: Confirmation) -> Compared | ReadAgain:
        """A list that is the one applied last: there is nothing to compare but what is asked for."""
        state, kept = self.transaction.state.of(listed.kind), self.run.kept[listed.kind]
        response = listed.response
        if state.etag != kept.etag if response.not_modified else state.fingerprint != response.fingerprint:
            return ReadAgain(listed.kind)
        rows: Mapping[str, Missing] = {}
        if state.missing_streak or (state.recheck_from and state.recheck_from + self.settings.recheck <= self.at):
            rows = self.transaction.load_missing(listed.kind)
        # What only refused observations lacked is listed again.
        unlisted = {record_id: known for record_id, known in rows.items() if not known.refusal}
        numbers = self.transaction.number_people(addresses_of(confirmation.existing))
        changes = self._changes_of_asked(listed.kind, confirmation, numbers)
        return Compared(listed, confirmation, self.at, changes, (), [*unlisted], unlisted, rows)

    def _changes_of_asked(self, kind: Kind, confirmation: Confirmation, numbers: Mapping[str, int]) -> Sequence[Change]:
        if not len(confirmation):
            return ()
        existing = [*with_numbers(kind, sorted(confirmation.existing, key=_id), numbers)]
        stored = self.transaction.load_some(kind, [*confirmation.removed, *(record.id for record in existing)])
        return diff(stored, existing, gone=confirmation.removed).changes

    def _compare(self, listed: ListAnswer, confirmation: Confirmation, numbers: Mapping[str, int]) -> Compared:
        kind, transaction, answer = listed.kind, self.transaction, listed.answer
        assert answer is not None  # noqa: S101 a list that is the one applied last is not compared like this
        reported = answer.records
        if confirmation.existing:
            reported = sorted((*reported, *confirmation.existing), key=_id)
        difference = diff(
            transaction.load(kind),
            with_numbers(kind, reported, numbers),
            gone=confirmation.removed,
            kept=answer.rejected_ids,
        )
        stored = transaction.load_missing(kind)
        known = removed_by_departure(transaction, kind, self.at) | stored
        lacking = [record.id for record in difference.missing]
        missing = [*lacking, *confirmation.removed, *(record.id for record in confirmation.existing)]
        missing += _removed_and_not_listed(listed, known, missing)
        return Compared(listed, confirmation, self.at, difference.changes, lacking, missing, known, stored)


def removed_by_departure(transaction: Transaction, kind: Kind, at: datetime) -> dict[str, Missing]:
    """The records that were removed when the project departed, as missing ones; empty: it has not.

    Args:
        at: the time of the observation that finds it back.
    """
    return {record_id: Missing(at, removed=True) for record_id in transaction.load_departed(kind)}


_id: Callable[..., str] = lambda record: record.id  # noqa: E731


def _addresses(listed: ListAnswer, confirmation: Confirmation) -> set[str]:
    if listed.kind is Kind.BATCH:
        return set()
    records = () if listed.answer is None else listed.answer.records
    return addresses_of((*records, *confirmation.existing))


def _removed_and_not_listed(listed: ListAnswer, known: Mapping[str, Missing], others: Iterable[str]) -> list[str]:
    """Of a project that is back, the records that were removed when it departed and are not in its list."""
    removed = {record_id for record_id, row in known.items() if row.removed}
    if not removed or listed.answer is None:
        return []
    removed -= {record.id for record in listed.answer.records}
    return sorted(removed.difference(listed.answer.rejected_ids, others))
