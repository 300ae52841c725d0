"""Whatever happens, in whatever order: the database has what a plain model has, now, then and day by day.

Observations with all that the contract allows, refreshes of single batches, an API that fails, a database that fails at
any step, killed processes, two machines whose clocks are set at will and whose runs overtake each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from faults import inject
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from rig import START, Rig, record

from rfsync.config import RemovalsConfig
from rfsync.database.engine import open_engine
from rfsync.database.sqlite import instant, sqlite_text
from rfsync.errors import DatabaseError, ErrorKind, FetchError, TransientDatabaseError
from rfsync.ledger.verify import verify
from rfsync.sync.result import Result

IDS = ("a", "B", "é", "🐙", "zz", "y")
LIMIT, REPEAT = 2, 2
TABLES = ("batch_changes", "batches", "project_daily", "workspace_daily", "project_observed", "sync_runs", "projects")

Counts = tuple[int, int, str | None]
State = dict[str, Counts]
#: As the API says it: None is not reported.
Said = tuple[int | None, int | None, str | None]

COUNTS = st.one_of(st.none(), st.integers(0, 9), st.just(2**53 - 1))
SAID = st.tuples(COUNTS, COUNTS, st.sampled_from([None, "x", "y"]))
#: What a batch's own address says where the list lacks it.
BY_ID = st.one_of(st.sampled_from(["gone", "in doubt"]), SAID)


@dataclass(frozen=True)
class Listed:
    """An answer of the list, and what the API says of the batches that it lacks."""

    records: dict[str, Said]
    by_id: dict[str, str | Said]
    #: Ids of records that break the rules; None: a record without any usable id.
    broken: tuple[str | None, ...] = ()
    allow_removals: bool = False

    @property
    def seen(self) -> dict[str, Said]:
        return {i: said for i, said in self.records.items() if i not in self.broken}

    def answer(self) -> list[dict[str, object]]:
        good = [record(i, *said) for i, said in self.seen.items()]
        return [*good, *({"id": 7 if i is None else i, "images": -1} for i in self.broken)]


LISTED = st.builds(
    Listed,
    st.dictionaries(st.sampled_from(IDS), SAID),
    st.fixed_dictionaries(dict.fromkeys(IDS, BY_ID)),
    st.lists(st.one_of(st.none(), st.sampled_from(IDS)), max_size=2, unique=True).map(tuple),
    st.booleans(),
)


@dataclass(frozen=True)
class Failure:
    """The database fails at a step of the run."""

    step: int
    transient: bool
    for_ever: bool


FAILURES = st.one_of(st.none(), st.builds(Failure, st.integers(0, 25), st.booleans(), st.booleans()))


@dataclass
class Day:
    """A row of ``project_totals_daily``."""

    changes: int = 0
    added: int = 0
    removed: int = 0
    gained: list[int] = field(default_factory=lambda: [0, 0])
    lost: list[int] = field(default_factory=lambda: [0, 0])
    totals: tuple[int, int, int] = (0, 0, 0)


@dataclass
class Model:
    """What has to be stored, kept in the simplest way."""

    current: State = field(default_factory=dict)
    #: Removed ones too.
    known: State = field(default_factory=dict)
    vanished: tuple[tuple[str, ...], int] = ((), 0)

    def copy(self) -> Model:
        return Model(dict(self.current), dict(self.known), self.vanished)

    def take(self, batch_id: str, said: Said) -> None:
        old = self.known.get(batch_id, (0, 0, None))
        images, jobs, name = (o if s is None else s for o, s in zip(old, said, strict=True))
        assert isinstance(images, int)
        assert isinstance(jobs, int)
        assert not isinstance(name, int)
        self.current[batch_id] = self.known[batch_id] = (images, jobs, name)

    def observe(self, listed: Listed) -> str:
        """Applies a list as the contract says; the outcome that it has to have."""
        before = dict(self.current)
        seen = listed.seen
        if 2 * len(listed.broken) > len(seen) + len(listed.broken):
            return "failed"
        missing = tuple(sorted(i for i in self.current if i not in seen and i not in listed.broken))
        few = len(missing) <= LIMIT
        empty = not seen and not listed.broken
        if missing and not listed.allow_removals and not (few and not empty):
            streak = self.vanished[1] + 1 if self.vanished[0] == missing else 1
            if streak < REPEAT:
                self.vanished = (missing, streak)
                return "refused"
        self.vanished = ((), 0)
        for batch_id in missing:
            said = listed.by_id[batch_id]
            if not few:
                said = "in doubt" if None in listed.broken and not listed.allow_removals else "gone"
            if said == "gone":
                del self.current[batch_id]
            elif not isinstance(said, str):
                self.take(batch_id, said)
        for batch_id, told in seen.items():
            self.take(batch_id, told)
        return "changed" if self.current != before else "unchanged"


class Machine(RuleBasedStateMachine):
    """One project, two machines that sync it, and the model."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.machines = [Rig(url), Rig(url)]
        self.rig = self.machines[0]
        self.reader = open_engine(self.rig.url, read_only=True)
        for rig in self.machines:
            rig.removals = RemovalsConfig(confirm_limit=LIMIT, repeat=REPEAT)
        with self.rig.database.begin("clearing") as connection:
            for table in TABLES:
                connection.exec_driver_sql(f"DELETE FROM {table}")
        self.model = Model()
        self.past: dict[datetime, State] = {}
        self.days: dict[date, Day] = {}
        self.killed = 0

    def teardown(self) -> None:
        for rig in self.machines:
            rig.close()
        self.reader.dispose()

    # What happens

    @rule(machine=st.integers(0, 1), listed=LISTED, failure=FAILURES)
    def observe(self, machine: int, listed: Listed, failure: Failure | None) -> None:
        rig = self.machines[machine]
        self.answer(rig, listed)
        expected = self.model.copy()
        outcome = expected.observe(listed)
        self.run(rig, expected, outcome, lambda: rig.sync(allow_removals=listed.allow_removals), failure)

    @rule(machine=st.integers(0, 1), listed=LISTED)
    def observe_the_same_twice(self, machine: int, listed: Listed) -> None:
        self.observe(machine, listed, None)
        self.observe(1 - machine, listed, None)

    @rule(machine=st.integers(0, 1), batch_ids=st.sets(st.sampled_from(IDS), min_size=1, max_size=2), data=st.data())
    def refresh(self, machine: int, batch_ids: set[str], data: st.DataObject) -> None:
        rig = self.machines[machine]
        answers = {i: data.draw(BY_ID) for i in sorted(batch_ids)}
        rig.by_id = {i: _by_id(i, said) for i, said in answers.items()}
        expected = self.model.copy()
        outcome = "failed"
        if not any(isinstance(said, str) for said in answers.values()):
            for batch_id, said in answers.items():
                assert not isinstance(said, str)
                expected.take(batch_id, said)
            outcome = "changed" if expected.current != self.model.current else "unchanged"
        self.run(rig, expected, outcome, lambda: rig.sync(batch_ids=tuple(answers)), None)

    @rule(older=LISTED, newer=LISTED)
    def overtake(self, older: Listed, newer: Listed) -> None:
        """The newer one is asked for later and written first, by a machine whose clock is anything."""
        slow, quick = self.machines
        self.answer(slow, older)
        expected = self.model.copy()
        outcome = expected.observe(newer)

        def meanwhile() -> None:
            self.answer(quick, newer)
            self.run(quick, expected, outcome, lambda: quick.sync(allow_removals=newer.allow_removals), None)
            # The slow one lives, and nobody takes it for dead.
            assert self.rig.rows("SELECT count(*) FROM sync_runs WHERE outcome = 'running'") == [(1,)]

        slow.meanwhile = meanwhile
        changes = self.rig.rows("SELECT count(*) FROM batch_changes")
        result = slow.sync(allow_removals=older.allow_removals)
        if outcome in {"changed", "unchanged"} and Model().copy().observe(older) != "failed":
            assert result.outcome == "superseded"
        elif result.outcome != "superseded":
            # The newer answer was of no use, so the older one is the newest there is.
            later = self.model.copy()
            assert result.outcome == later.observe(older)
            self.applied(later, result.outcome)
            return
        assert self.rig.rows("SELECT count(*) FROM batch_changes") >= changes

    @rule(machine=st.integers(0, 1), body=st.sampled_from([None, b"{}", b"<html>", b'{"batches": [{}]}']))
    def the_api_fails(self, machine: int, body: bytes | None) -> None:
        rig = self.machines[machine]
        rig.listed = body or FetchError(ErrorKind.NETWORK, "no connection")
        self.run(rig, self.model.copy(), "failed", rig.sync, None)

    @rule(machine=st.integers(0, 1), minutes=st.sampled_from([-525_600, -1440, -5, 5, 60, 1440, 525_600]))
    def set_the_clock(self, machine: int, minutes: int) -> None:
        self.machines[machine].jump(minutes)

    @rule(machine=st.integers(0, 1))
    def restart(self, machine: int) -> None:
        self.machines[machine].restart()

    @precondition(lambda self: self.killed == 0)
    @rule(machine=st.integers(0, 1))
    def kill(self, machine: int) -> None:
        """In the middle of a fetch; all that it leaves behind is a run that says it is running."""
        rig = self.machines[machine]
        rig.store.begin_run("acme", rig.project, None, "cli", rig.now)
        rig.restart()
        self.killed = 1

    # How it is done

    def answer(self, rig: Rig, listed: Listed) -> None:
        rig.listed = listed.answer()
        rig.by_id = {i: _by_id(i, said) for i, said in listed.by_id.items()}

    def run(self, rig: Rig, expected: Model, outcome: str, sync: Callable[[], Result], failure: Failure | None) -> None:
        """One run, after which the model is what is expected, or as it was if the database failed."""
        if failure is None:
            result = sync()
            assert result.outcome == outcome, result
        else:
            kind = TransientDatabaseError if failure.transient else DatabaseError
            (before,) = self.rig.rows("SELECT coalesce(max(id), 0) FROM sync_runs")
            rig.restart(retry_seconds=0.0 if failure.for_ever else 5.0)
            inject(rig).begin(
                lambda n, _: kind("injected") if n == failure.step or (failure.for_ever and n > failure.step) else None
            )
            result = sync()
            rig.restart()
            if failure.transient and not failure.for_ever:
                assert result.outcome == outcome, result
            # By the row of the last run, and not by what was said: the word of a commit may have been lost.
            rows = self.rig.rows(f"SELECT outcome FROM sync_runs WHERE id > {before[0]} ORDER BY id DESC LIMIT 1")
            outcome = str(rows[0][0]) if rows else "running"
        if outcome != "running":
            self.killed = 0
        self.applied(expected, outcome)

    def applied(self, expected: Model, outcome: str) -> None:
        """Brings the model to what is expected, where the run came to its end."""
        if outcome == "refused":
            self.model.vanished = expected.vanished
        if outcome not in {"changed", "unchanged"}:
            return
        before, self.model = self.model, expected
        written_at = instant(self.rig.value("SELECT written_at FROM projects WHERE project = :project"))
        assert written_at is not None
        assert not self.past or written_at > max(self.past)
        self.past[written_at] = dict(expected.current)
        if outcome == "changed":
            self.note(written_at.date(), before.current, expected.current)

    def note(self, day: date, before: State, after: State) -> None:
        row = self.days.setdefault(day, Day())
        for batch_id in {*before, *after}:
            old, new = before.get(batch_id), after.get(batch_id)
            if old == new:
                continue
            row.changes += 1
            row.added += old is None
            row.removed += new is None
            for place in (0, 1):
                delta = (new or (0, 0, None))[place] - (old or (0, 0, None))[place]
                row.gained[place] += max(delta, 0)
                row.lost[place] += max(-delta, 0)
        row.totals = (len(after), sum(c[0] for c in after.values()), sum(c[1] for c in after.values()))

    # What holds after each step

    @invariant()
    def the_present_is_the_models(self) -> None:
        current = self.rig.rows("SELECT batch_id, images, num_jobs, name FROM current_batches")
        assert {row[0]: row[1:] for row in current} == self.model.current

    @invariant()
    def the_past_is_what_it_was(self) -> None:
        for at, state in self.past.items():
            rows = self.rig.rows(
                """SELECT batch_id, images, num_jobs, name FROM batch_history
                WHERE valid_from <= :at AND (valid_to > :at OR valid_to IS NULL)""",
                at=sqlite_text(at) if self.rig.file else at,
            )
            assert {row[0]: row[1:] for row in rows} == state, at
        assert self.rig.rows("SELECT 1 FROM batch_history WHERE valid_to <= valid_from") == []

    @invariant()
    def each_day_is_the_sum_of_its_changes(self) -> None:
        rows: list[tuple[Any, ...]] = self.rig.rows(
            """SELECT day, changes, batches_added, batches_removed, images_gained, jobs_gained, images_lost, jobs_lost,
            batches, images, num_jobs FROM project_totals_daily"""
        )
        expected = {
            str(day): (row.changes, row.added, row.removed, *row.gained, *row.lost, *row.totals)
            for day, row in self.days.items()
        }
        assert {str(row[0]): tuple(map(int, row[1:])) for row in rows} == expected

    @invariant()
    def the_books_balance(self) -> None:
        verdict = verify(self.reader)
        assert verdict.ok, verdict.findings

    @invariant()
    def only_a_killed_run_goes_on(self) -> None:
        running = self.rig.rows("SELECT count(*) FROM sync_runs WHERE outcome = 'running'")[0][0]
        assert isinstance(running, int)
        assert running <= 1 + self.killed


def _by_id(batch_id: str, said: str | Said) -> dict[str, object] | FetchError:
    if isinstance(said, str):
        return FetchError(ErrorKind.NOT_FOUND if said == "gone" else ErrorKind.SERVER, "no", attempts=1)
    return record(batch_id, *said)


def test_whatever_happens_in_whatever_order(database_url: str) -> None:
    assert START.year == 2026
    run_state_machine_as_test(
        lambda: Machine(database_url), settings=settings(max_examples=25, stateful_step_count=12, deadline=None)
    )
