"""Whatever happens, in whatever order: the database has what a plain model has, now, then and day by day.

Observations with all that the contract allows, refreshes of single batches, a project that is renamed, departs and
comes back, an API that fails, a database that fails at any step, killed processes, two machines whose clocks are set at
will and whose runs overtake each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from faults import inject
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from rig import START, Rig, record
from sqlalchemy import Engine

from rfsync.config import RemovalsConfig
from rfsync.database.engine import open_engine
from rfsync.database.sqlite import instant, sqlite_text
from rfsync.database.url import parse_url
from rfsync.errors import DatabaseError, ErrorKind, FetchError, TransientDatabaseError
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.verify import verify
from rfsync.sync.result import Result

IDS = ("a", "B", "é", "🐙", "zz", "y")
LIMIT, REPEAT = 2, 2
DAY = timedelta(days=1)
TABLES = (
    *("batch_changes", "missing_batches", "batches", "project_daily", "workspace_daily", "project_observed"),
    *("project_renames", "sync_runs", "projects"),
)

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
class Missing:
    """A batch that the last observation lacked."""

    since: datetime
    #: 0: an applied observation lacked it; else which of the refused ones in a row did first.
    refusal: int = 0
    asked: datetime | None = None
    unlisted: bool = False
    #: Removed by the project's departure.
    removed: bool = False


@dataclass
class Model:
    """What has to be stored, kept in the simplest way."""

    current: State = field(default_factory=dict)
    #: Removed ones too.
    known: State = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)
    #: Observations in a row that were refused.
    streak: int = 0
    #: What the project had when it departed; None: it is there.
    departed: State | None = None
    observed: bool = False
    #: The project has a new id that the database does not know yet.
    renamed: bool = False

    def copy(self) -> Model:
        return deepcopy(self)

    def take(self, batch_id: str, said: Said) -> None:
        old = self.known.get(batch_id, (0, 0, None))
        images, jobs, name = (o if s is None else s for o, s in zip(old, said, strict=True))
        assert isinstance(images, int)
        assert isinstance(jobs, int)
        assert not isinstance(name, int)
        self.current[batch_id] = self.known[batch_id] = (images, jobs, name)

    def is_recognised(self, listed: Listed) -> bool:
        """Whether the list shows, under a new id, that it is this project's."""
        return bool((self.current if self.departed is None else self.departed).keys() & listed.seen.keys())

    def observe(self, listed: Listed, at: datetime) -> str:
        """Applies a list as the contract says; the outcome that it has to have."""
        before, seen = dict(self.current), listed.seen
        if 2 * len(listed.broken) > len(seen) + len(listed.broken):
            return "failed"
        back = {i for i, row in self.missing.items() if row.removed} | {*(self.departed or ())}
        lacking = sorted(i for i in self.current if i not in seen and i not in listed.broken)
        back = {i for i in back if i not in seen and i not in listed.broken}
        if not listed.allow_removals and self.refuses(lacking, at):
            return "refused"
        rows = {i: Missing(at, removed=True) for i in back} | {i: Missing(at) for i in lacking} | self.missing
        asked = [] if listed.allow_removals else self.in_order([*lacking, *back], rows, at)[:LIMIT]
        self.missing = {i: row for i, row in self.missing.items() if i in listed.broken}
        self.streak, self.departed, self.observed, renamed, self.renamed = 0, None, True, self.renamed, False
        if listed.allow_removals:
            for batch_id in lacking:
                del self.current[batch_id]
        else:
            self.ask(lacking, back, asked, rows, listed, at)
        for batch_id, told in seen.items():
            self.take(batch_id, told)
        return "changed" if self.current != before or renamed else "unchanged"

    def refuses(self, lacking: list[str], at: datetime) -> bool:
        vanished: dict[int, int] = {}
        for batch_id in lacking:
            refusal = self.missing[batch_id].refusal if batch_id in self.missing else self.streak + 1
            vanished[refusal] = vanished.get(refusal, 0) + 1
        if not any(r and number > LIMIT and self.streak + 2 - r < REPEAT for r, number in vanished.items()):
            return False
        self.streak += 1
        kept = {i: row for i, row in self.missing.items() if not row.refusal or i in lacking}
        self.missing = {i: Missing(at, self.streak) for i in lacking} | kept
        return True

    def in_order(self, ids: list[str], rows: dict[str, Missing], at: datetime) -> list[str]:
        """Those to ask for."""
        due = [i for i in ids if not rows[i].unlisted or (rows[i].asked or START) + DAY <= at]
        return sorted(due, key=lambda i: (rows[i].unlisted, rows[i].since, rows[i].asked or START - DAY, i))

    def ask(
        self,
        lacking: list[str],
        back: set[str],
        asked: list[str],
        rows: dict[str, Missing],
        listed: Listed,
        at: datetime,
    ) -> None:
        for batch_id in [*lacking, *back]:
            said, row = listed.by_id[batch_id], rows[batch_id]
            row.refusal = 0
            if batch_id in asked and said == "gone":
                self.current.pop(batch_id, None)
                continue
            if batch_id in asked and not isinstance(said, str):
                self.take(batch_id, said)
                row.unlisted, row.asked, row.removed = True, at, False
            elif batch_id in asked and not row.unlisted:
                row.asked = at
            self.missing[batch_id] = row

    def depart(self) -> None:
        self.departed, self.current, self.missing, self.streak = self.current, {}, {}, 0


class Machine(RuleBasedStateMachine):
    """One project, two machines that sync it, and the model.

    Args:
        writers: the two machines' engines.
    """

    def __init__(self, url: str, writers: Sequence[Engine], reader: Engine) -> None:
        super().__init__()
        self.machines = [Rig(url, engine) for engine in writers]
        self.rig = self.machines[0]
        self.reader = reader
        for rig in self.machines:
            rig.removals = RemovalsConfig(confirm_limit=LIMIT, repeat=REPEAT)
        with self.rig.database.begin("clearing") as connection:
            for table in TABLES:
                connection.exec_driver_sql(f"DELETE FROM {table}")
        self.model = Model()
        self.past: dict[datetime, State] = {}
        self.days: dict[date, Day] = {}
        self.killed = 0
        self.names = 0

    def teardown(self) -> None:
        for rig in self.machines:
            rig.close()

    # What happens

    @rule(machine=st.integers(0, 1), listed=LISTED, failure=FAILURES)
    def observe(self, machine: int, listed: Listed, failure: Failure | None) -> None:
        if self.model.renamed and not self.model.is_recognised(listed):
            return  # it would be a project of its own, with a history that begins here
        rig = self.machines[machine]
        self.answer(rig, listed)
        expected = self.model.copy()
        at = self.next_instant(rig)
        outcome = expected.observe(listed, at)
        self.run(rig, expected, outcome, lambda: rig.sync(allow_removals=listed.allow_removals, insist=True), failure)

    @rule(machine=st.integers(0, 1), listed=LISTED)
    def observe_the_same_twice(self, machine: int, listed: Listed) -> None:
        self.observe(machine, listed, None)
        self.observe(1 - machine, listed, None)

    @rule(machine=st.integers(0, 1), days=st.sampled_from([0.5, 1, 3]), listed=LISTED)
    def observe_the_same_much_later(self, machine: int, days: float, listed: Listed) -> None:
        self.observe(machine, listed, None)
        self.machines[machine].jump(int(days * 24 * 60))
        self.observe(machine, listed, None)

    @precondition(lambda self: self.model.observed and not self.model.renamed)
    @rule(machine=st.integers(0, 1), listed=LISTED, failure=FAILURES)
    def rename(self, machine: int, listed: Listed, failure: Failure | None) -> None:
        if not self.model.is_recognised(listed):
            return
        self.model.renamed = True
        self.names += 1
        for rig in self.machines:
            rig.project = f"p{self.names}"
            rig.projects = [rig.project, "others"]
        self.observe(machine, listed, failure)

    @precondition(lambda self: self.model.observed and self.model.departed is None and not self.model.renamed)
    @rule(machine=st.integers(0, 1), failure=FAILURES)
    def depart(self, machine: int, failure: Failure | None) -> None:
        rig = self.machines[machine]
        self.go_away(rig)
        expected = self.model.copy()
        expected.depart()
        self.run(rig, expected, "changed", lambda: rig.sync(insist=True), failure)
        for rig in self.machines:
            rig.projects = [rig.project, "others"]

    @precondition(lambda self: self.model.departed is not None and not self.model.renamed)
    @rule(machine=st.integers(0, 1), insist=st.booleans())
    def look_for_the_departed(self, machine: int, insist: bool) -> None:
        rig = self.machines[machine]
        (observed_at,) = self.instants("SELECT observed_at FROM projects WHERE observed_at IS NOT NULL")
        due = not observed_at <= rig.now + timedelta(minutes=5) < observed_at + DAY
        self.go_away(rig)
        if insist or due:
            self.run(rig, self.model.copy(), "unchanged", lambda: rig.sync(insist=insist), None)
        else:
            runs = self.rig.rows("SELECT count(*) FROM sync_runs")
            assert rig.sync().skipped
            assert self.rig.rows("SELECT count(*) FROM sync_runs") == runs
        rig.projects = [rig.project, "others"]

    @rule(machine=st.integers(0, 1), batch_ids=st.sets(st.sampled_from(IDS), min_size=1, max_size=2), data=st.data())
    def refresh(self, machine: int, batch_ids: set[str], data: st.DataObject) -> None:
        if self.model.renamed:
            return
        rig = self.machines[machine]
        answers = {i: data.draw(BY_ID) for i in sorted(batch_ids)}
        rig.by_id = {i: _by_id(i, said) for i, said in answers.items()}
        expected = self.model.copy()
        outcome = "failed"
        if self.model.departed is None and not any(isinstance(said, str) for said in answers.values()):
            for batch_id, said in answers.items():
                assert not isinstance(said, str)
                expected.take(batch_id, said)
                if batch_id in expected.missing and expected.missing[batch_id].removed:
                    expected.missing[batch_id].removed = False
            outcome = "changed" if expected.current != self.model.current else "unchanged"
        self.run(rig, expected, outcome, lambda: rig.sync(batch_ids=tuple(answers), insist=True), None)

    @rule(older=LISTED, newer=LISTED)
    def overtake(self, older: Listed, newer: Listed) -> None:
        """The newer one is asked for later and written first, by a machine whose clock is anything."""
        if self.model.renamed and not (self.model.is_recognised(older) and self.model.is_recognised(newer)):
            return
        slow, quick = self.machines
        self.answer(slow, older)
        outcome, at = "", START

        def meanwhile() -> None:
            nonlocal outcome, at
            ((living,),) = self.rig.rows("SELECT max(id) FROM sync_runs")
            self.answer(quick, newer)
            expected = self.model.copy()
            outcome = expected.observe(newer, self.next_instant(quick))
            sync = partial(quick.sync, allow_removals=newer.allow_removals, insist=True)
            self.run(quick, expected, outcome, sync, None)
            at = self.instant_of(slow.now)
            # The slow one lives, and nobody takes it for dead.
            assert self.rig.rows("SELECT outcome FROM sync_runs WHERE id = :id", id=living) == [("running",)]

        slow.meanwhile = meanwhile
        changes = self.rig.rows("SELECT count(*) FROM batch_changes")
        result = slow.sync(allow_removals=older.allow_removals, insist=True)
        if outcome in {"changed", "unchanged"} and Model().observe(older, START) != "failed":
            assert result.outcome == "superseded"
        elif result.outcome != "superseded":
            # The newer answer was of no use, so the older one is the newest there is.
            later = self.model.copy()
            assert result.outcome == later.observe(older, at)
            self.applied(later, result.outcome)
            return
        assert self.rig.rows("SELECT count(*) FROM batch_changes") >= changes

    @rule(machine=st.integers(0, 1), body=st.sampled_from([None, b"{}", b"<html>", b'{"batches": [{}]}']))
    def the_api_fails(self, machine: int, body: bytes | None) -> None:
        rig = self.machines[machine]
        rig.listed = body or FetchError(ErrorKind.NETWORK, "no connection")
        self.run(rig, self.model.copy(), "failed", lambda: rig.sync(insist=True), None)

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
        rig.store.begin_run(ProjectPath("acme", rig.project), None, "cli", rig.now)
        rig.restart()
        self.killed = 1

    # How it is done

    def next_instant(self, rig: Rig) -> datetime:
        """The time of the next observation: by the machine's clock, but after the last one."""
        return self.instant_of(min(rig.now + timedelta(minutes=5), rig.now.max.replace(tzinfo=rig.now.tzinfo)))

    def instant_of(self, now: datetime) -> datetime:
        written = self.instants("SELECT max(written_at) FROM projects WHERE written_at IS NOT NULL")
        return max(now, *(at + timedelta(microseconds=1) for at in written)) if written else now

    def instants(self, query: str) -> list[datetime]:
        found = [instant(at) for (at,) in self.rig.rows(query)]  # type: ignore[arg-type]
        return [at for at in found if at is not None]

    def go_away(self, rig: Rig) -> None:
        rig.listed = FetchError(ErrorKind.NOT_FOUND, "HTTP 404", http_status=404, attempts=1)
        rig.projects = ["others"]

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
            self.model = expected
        if outcome not in {"changed", "unchanged"}:
            return
        before, self.model = self.model, expected
        (written_at,) = self.instants("SELECT max(written_at) FROM projects WHERE written_at IS NOT NULL")
        assert not self.past or written_at > max(self.past)
        self.past[written_at] = dict(expected.current)
        if outcome == "changed" and before.current != expected.current:
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
        # Of all moments at once: a question for each would take half of the test's time.
        rows: list[tuple[Any, ...]] = self.rig.rows(
            "SELECT valid_from, valid_to, batch_id, images, num_jobs, name FROM batch_history"
        )
        for moment, state in self.past.items():
            at: Any = sqlite_text(moment) if self.rig.file else moment
            valid = [row[2:] for row in rows if row[0] <= at and (row[1] is None or row[1] > at)]
            assert sorted(valid) == sorted((i, *counts) for i, counts in state.items()), moment
        assert [row for row in rows if row[1] is not None and row[1] <= row[0]] == []

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
    def what_is_missing_is_the_models(self) -> None:
        rows = self.rig.rows(
            """SELECT m.batch_id, m.refusal, b.unlisted_at IS NOT NULL, b.removed_at IS NOT NULL
            FROM missing_batches m JOIN batches b USING (project_id, batch_id)"""
        )
        expected = {i: (row.refusal, row.unlisted, row.removed) for i, row in self.model.missing.items()}
        assert {i: (refusal, bool(unlisted), bool(removed)) for i, refusal, unlisted, removed in rows} == expected

    @invariant()
    def there_is_one_project_with_one_history(self) -> None:
        names = self.rig.rows("SELECT project, departed_at IS NOT NULL FROM projects WHERE observed_at IS NOT NULL")
        if self.model.observed:
            known = self.names - self.model.renamed
            name = f"p{known}" if known else "widgets"
            assert [(n, bool(departed)) for n, departed in names] == [(name, self.model.departed is not None)]
            assert self.rig.rows("SELECT count(*) FROM project_renames") == [(known,)]

    @invariant()
    def the_books_balance(self) -> None:
        verdict = verify(self.reader)
        assert verdict.ok, verdict.findings

    @invariant()
    def only_a_killed_run_goes_on(self) -> None:
        running = self.rig.rows("SELECT count(*) FROM sync_runs WHERE outcome = 'running'")[0][0]
        assert isinstance(running, int)
        # One more may have been of the project before it was renamed.
        assert running <= 2 + self.killed


def _by_id(batch_id: str, said: str | Said) -> dict[str, object] | FetchError:
    if isinstance(said, str):
        return FetchError(ErrorKind.NOT_FOUND if said == "gone" else ErrorKind.SERVER, "no", attempts=1)
    return record(batch_id, *said)


@pytest.mark.usefixtures("quick_retries")
def test_whatever_happens_in_whatever_order(database_url: str) -> None:
    assert START.year == 2026
    url = parse_url(database_url)
    # The same for all examples: what an engine has compiled is of no matter to what happens.
    writers = [open_engine(url, read_only=False) for _ in range(2)]
    reader = open_engine(url, read_only=True)
    run_state_machine_as_test(
        lambda: Machine(database_url, writers, reader),
        settings=settings(max_examples=25, stateful_step_count=12, deadline=None),
    )
    for engine in (*writers, reader):
        engine.dispose()
