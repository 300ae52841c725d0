"""What can be done to one project between BEGIN and COMMIT."""

from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from operator import add
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, select

from rfsync.ledger.bulk import Bulk, LedgerContext, append_all, microseconds, record_columns
from rfsync.ledger.changes import Change, ChangeKind, Tally
from rfsync.ledger.daily import flows_of_tally, roll_up
from rfsync.ledger.diff import Stored
from rfsync.ledger.labelers import flows_of, roll_up_labelers
from rfsync.ledger.missing import Missing, load_missing, write_missing
from rfsync.ledger.observed import keep_observed
from rfsync.ledger.people import People, PeopleMode
from rfsync.ledger.projects import ProjectState, write_state
from rfsync.ledger.quarter_hours import add_quarter_hours, start_of
from rfsync.ledger.record_types import BATCHES, RECORD_TYPES, RecordType
from rfsync.ledger.renames import Owner, find_owners, is_free, rename
from rfsync.ledger.runs import Run, RunRow, write_end
from rfsync.records import Kind, Record
from rfsync.schema.types import UTCDateTime


@cache
def _records(type_: RecordType) -> Select[*tuple[Any, ...]]:
    removed_at = type_.column("removed_at")
    return select(*record_columns(type_), removed_at).where(type_.project_column == bindparam("project_id"))


@cache
def _removed(type_: RecordType) -> Select[*tuple[Any, ...]]:
    return _records(type_).where(type_.column("removed_at").is_not(None))


@cache
def _some(type_: RecordType) -> Select[*tuple[Any, ...]]:
    return _records(type_).where(type_.key_column.in_(bindparam("ids", expanding=True)))


@cache
def _departed(type_: RecordType) -> Select[*tuple[Any, ...]]:
    departed_at = bindparam("departed_at", type_=UTCDateTime)
    of_project = type_.project_column == bindparam("project_id")
    return select(type_.key_column).where(of_project, type_.column("removed_at") == departed_at)


class _Applied(NamedTuple):
    changes: list[Change]
    tally: Tally
    #: The project's state before them.
    before: ProjectState
    #: The instant of the observation.
    at: datetime


#: Rows of what is missing before and after, and the instant of the change.
_Missing = tuple[Mapping[str, Missing], Mapping[str, Missing], datetime]


class Transaction:
    """What can be done to a project between BEGIN and COMMIT.

    Attributes:
        state: the project's row as the lock found it; after ``apply`` with the new totals.
        finished: whether the run's end was written.
    """

    def __init__(
        self, connection: Connection, bulk: Bulk, run: Run, state: ProjectState, people: PeopleMode, *, dry: bool
    ) -> None:
        self._connection = connection
        self._bulk = bulk
        self._run = run
        self._dry = dry
        self.state = state
        self.finished = False
        self._applied: dict[Kind, _Applied] = {}
        self._current: list[Generator[Record]] = []
        self._missing: dict[Kind, _Missing] = {}
        self._people = People(connection, people, dry=True)

    def close(self) -> None:
        """Ends the reading of records, if it was left halfway: its cursor must not outlive the transaction."""
        for current in self._current:
            current.close()

    def load(self, kind: Kind) -> Stored:
        """All records of a kind; the current ones are streamed, and have to be read to their end."""
        type_, state = RECORD_TYPES[kind], self.state
        if state.id is None or not self._has_any(kind):
            return Stored(type_, ())

        @cache
        def removed() -> dict[str, Record]:
            return {record.id: record for record, _ in self._select(type_, _removed(type_))}

        current = self._bulk.current(self._connection, type_, state.id, state.of(kind).number)
        self._current.append(current)
        return Stored(type_, current, lambda record_id: removed().get(record_id))

    def _has_any(self, kind: Kind) -> bool:
        state = self.state
        return (state.written_at if kind is Kind.BATCH else state.jobs.observed_at) is not None

    def load_some(self, kind: Kind, ids: Iterable[str]) -> Stored:
        """Only the records of these ids."""
        type_ = RECORD_TYPES[kind]
        if self.state.id is None:
            return Stored(type_, ())
        rows = self._select(type_, _some(type_), ids=list(ids))
        current = sorted((r for r, removed in rows if not removed), key=lambda r: r.id)
        return Stored(type_, current, {r.id: r for r, removed in rows if removed}.get)

    def load_missing(self, kind: Kind) -> dict[str, Missing]:
        """What the last observation lacked, by the id of the record."""
        if self.state.id is None or not self.state.of(kind).missing:
            return {}
        return load_missing(self._connection, RECORD_TYPES[kind], self.state.id)

    def number_people(self, addresses: Collection[str]) -> Mapping[str, int]:
        """The numbers of people by their addresses; below 0 of those who are not known."""
        return self._people.resolve(addresses)

    def are_people_written(self, addresses: Collection[str]) -> bool:
        """Tells whether there is nothing to write about people; see ``Store.write_people``."""
        self._people.resolve(addresses)
        return self._dry or self._people.are_written(addresses)

    def can_follow_rename(self) -> bool:
        """Tells whether the run's project is what it was when the run found that it is a renamed one, or needs nothing.

        Another run may have found the same meanwhile, or have observed the new id as a project of its own.
        """
        if self._run.old is None:
            return True
        path = (self.state.workspace, self.state.project)
        return path == self._run.path or (path == self._run.old and is_free(self._connection, self._run.path))

    def find_owners(self, ids: Mapping[Kind, Sequence[str]]) -> list[Owner]:
        """Other projects that have some of these records; see ``renames.find_owners``."""
        return find_owners(self._connection, ids, but=self._run.project_id)

    def is_renaming(self) -> bool:
        """Tells whether the run gives its project the new id under which it found it."""
        return self._run.old == (self.state.workspace, self.state.project)

    def load_departed(self, kind: Kind) -> list[str]:
        """The ids of the records that were removed when the project departed; empty: it has not."""
        if self.state.departed_at is None:
            return []
        values = {"project_id": self.state.id, "departed_at": self.state.departed_at}
        return list(self._connection.execute(_departed(RECORD_TYPES[kind]), values).scalars())

    def keep_missing(
        self, kind: Kind, before: Mapping[str, Missing], after: Mapping[str, Missing], at: datetime
    ) -> None:
        """Takes over what the observation lacks: ``state`` counts it, and ``finish`` writes it."""
        self._missing[kind] = (before, after, at)
        asked = [row.asked_at for row in after.values() if row.unlisted and row.asked_at is not None]
        self.state = self.state.with_list(kind, missing=len(after), recheck_from=min(asked, default=None))

    def _select(
        self, type_: RecordType, query: Select[*tuple[Any, ...]], **values: object
    ) -> list[tuple[Record, bool]]:
        make: Any = type_.make
        place = 1 + type_.columns.index(type_.instant)
        rows = self._connection.execute(query, {"project_id": self.state.id, **values})
        return [
            (make(*row[:place], microseconds(row[place]), *row[place + 1 : -1]), row[-1] is not None) for row in rows
        ]

    def apply(self, kind: Kind, changes: list[Change], observed_at: datetime) -> Tally:
        """Takes over what changed: ``state`` has the new totals, and ``finish`` writes it all."""
        tally = Tally.of(RECORD_TYPES[kind], changes)
        self._applied[kind] = _Applied(changes, tally, self.state, observed_at)
        before = self.state.of(kind)
        number = before.number + tally.added + tally.restored - tally.removed
        self.state = self.state.with_list(kind, number=number, sums=tuple(map(add, before.sums, tally.deltas)))
        return tally

    def tallies(self) -> dict[Kind, Tally]:
        """The sums over what was applied, of each kind of record."""
        return {kind: self._applied[kind].tally if kind in self._applied else Tally() for kind in Kind}

    def finish(self, state: ProjectState, row: RunRow, at: datetime) -> None:
        """Writes what was applied (batches, ledger and the day's roll-up), the project's row and the end of the run.

        If the run found that the project was renamed, and changes it, it has the new id from then on.
        """
        run_id, project_id = self._run.id, state.id
        if self._dry or project_id is None or run_id is None:
            return
        if row.outcome == "changed" and self.is_renaming():
            rename(self._connection, state, self._run.path, at)
            state = replace(state, workspace=self._run.path.workspace, project=self._run.path.project)
        self._write_all(run_id, project_id, state, row, at)
        self.finished = True

    def _write_all(self, run_id: int, project_id: int, state: ProjectState, row: RunRow, at: datetime) -> None:
        changed = {RECORD_TYPES[kind]: a for kind, a in self._applied.items() if a.changes}
        with self._bulk.pipeline(self._connection, sum(len(a.changes) for a in changed.values())):
            for type_, applied in changed.items():
                after = applied.before.of(type_.kind).observed_at
                self._write(type_, LedgerContext(run_id, project_id, after, applied.at), applied)
            # Last, since all projects of a workspace meet in rows of its own.
            quarter_hours: defaultdict[datetime, Counter[str]] = defaultdict(Counter)
            for type_, applied in changed.items():
                quarter_hours[start_of(applied.at.astimezone(UTC))] += self._roll_up(type_, project_id, applied)
            moved = {start: sums for start, sums in quarter_hours.items() if sums}
            add_quarter_hours(self._connection, state.workspace, moved)
            write_state(self._connection, state)
            write_end(self._connection, run_id, row, at)
        for kind, missing in self._missing.items():
            write_missing(self._connection, self._bulk, RECORD_TYPES[kind], project_id, *missing)
        if row.outcome == "changed":
            # No row of the ledger says that the list was observed then.
            silent = {kind: [a.at] for kind, a in self._applied.items() if not a.changes}
            keep_observed(self._connection, project_id, silent.get(Kind.BATCH, ()), silent.get(Kind.JOB, ()))

    def _write(self, type_: RecordType, context: LedgerContext, applied: _Applied) -> None:
        changes = applied.changes
        new = [c for c in changes if c.kind is ChangeKind.ADDED]
        if new:
            self._bulk.add(self._connection, type_, context, new)
        if len(new) < len(changes):
            others = [c for c in changes if c.kind is not ChangeKind.ADDED]
            self._bulk.update(self._connection, type_, context, others)
        # Nothing was ever written: then there are no removed ones either.
        first = applied.before.written_at if type_ is BATCHES else applied.before.jobs.observed_at
        if first is None and len(new) == len(changes):
            append_all(self._connection, type_, context)
        else:
            self._bulk.append(self._connection, type_, context, changes)

    def _roll_up(self, type_: RecordType, project_id: int, applied: _Applied) -> Counter[str]:
        """Adds what was applied to its day, and returns its sums by the columns of the roll-ups."""
        day = applied.at.astimezone(UTC).date()
        if type_ is BATCHES:
            sums = flows_of_tally(applied.tally)
            totals = (self.state.batches.number, *self.state.batches.sums)
            roll_up(self._connection, project_id, day, sums, totals)
            return Counter(sums)
        if applied.before.jobs.observed_at is None:
            return Counter()
        flows = flows_of(applied.changes)
        roll_up_labelers(self._connection, project_id, day, flows)
        return sum((Counter(moved) for moved in flows.values()), Counter())
