"""Whatever happens, in whatever order: the database has what a plain model has, now, then and day by day.

Observations of batches and jobs with all that the contract allows, refreshes of single batches, a project that is
renamed, departs and comes back, keys that may see no jobs, people who are known by pseudonyms or forgotten, an API that
fails, a database that fails at any step, killed processes, two machines whose clocks are set at will and whose runs
overtake each other.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from faults import inject
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from model import DAY, LIMIT, NOTHING, REPEAT, Listed, Model, Observed, Said, State, moved
from rig import START, Rig, job, record
from sqlalchemy import Engine

from rfsync.config import RemovalsConfig
from rfsync.database.engine import open_engine
from rfsync.database.sqlite import instant, sqlite_text
from rfsync.database.url import parse_url
from rfsync.errors import DatabaseError, ErrorKind, FetchError, TransientDatabaseError
from rfsync.ledger.people import PeopleMode
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.verify import verify
from rfsync.records import Kind
from rfsync.schema.job_models import JOB_COUNTS
from rfsync.schema.models import LABELER_FLOWS
from rfsync.sync.result import Result

IDS = ("a", "B", "é", "🐙", "zz", "y")
JOB_IDS = ("a", "J", "ü", "k")
#: As the API writes them; the second is the first.
PEOPLE = ("Ann@example.com", "ann@EXAMPLE.com", "bob@example.com")
TABLES = (
    *("batch_changes", "job_changes", "missing_batches", "missing_jobs", "batches", "jobs", "project_daily"),
    *("labeler_daily", "workspace_daily", "project_observed", "project_renames", "sync_runs", "projects", "people"),
    *("people_key", "workspace_labeler_daily", "workspace_quarter_hours"),
)

COUNTS = st.one_of(st.none(), st.integers(0, 9), st.just(2**53 - 1))
WORDS = st.sampled_from([None, "x", "y"])
PERSONS = st.sampled_from([None, "", *PEOPLE])
SAID = {
    Kind.BATCH: st.tuples(COUNTS, COUNTS, WORDS),
    Kind.JOB: st.tuples(*[COUNTS] * len(JOB_COUNTS), WORDS, st.sampled_from([None, "a", "y"]), PERSONS, PERSONS),
}
#: What a record's own address says where the list lacks it.
BY_ID = {kind: st.one_of(st.sampled_from(["gone", "in doubt"]), said) for kind, said in SAID.items()}


#: No record that breaks the rules.
NONE = st.just(())


def lists(kind: Kind, ids: Sequence[str]) -> st.SearchStrategy[Listed]:
    """Answers of a list."""
    return st.builds(
        Listed,
        st.fixed_dictionaries({}, optional=dict.fromkeys(ids, SAID[kind])),
        st.fixed_dictionaries(dict.fromkeys(ids, BY_ID[kind])),
        st.one_of(NONE, NONE, st.lists(st.one_of(st.none(), st.sampled_from(ids)), max_size=2, unique=True).map(tuple)),
    )


JOBS = lists(Kind.JOB, JOB_IDS)
SELDOM = st.sampled_from([False, False, False, True])
SECOND_US = 1_000_000
#: What is wrong with the job list, as the run's row names it.
NO_JOBS = ("auth", "not_found", "server", "bad_response")
OBSERVED_WITH_JOBS = st.builds(Observed, lists(Kind.BATCH, IDS), JOBS, SELDOM)
OBSERVED = st.one_of(
    *(OBSERVED_WITH_JOBS, OBSERVED_WITH_JOBS, OBSERVED_WITH_JOBS),
    st.builds(Observed, lists(Kind.BATCH, IDS), st.sampled_from(NO_JOBS), SELDOM),
)
#: In the order of the model.
JOB_COLUMNS = ", ".join(f"c.{name}" for name in (*JOB_COUNTS, "status", "batch_id", "labeler_id", "reviewer_id"))


#: What is done to a machine between two runs.
ADJUSTMENTS = st.one_of(
    st.tuples(st.just("clock"), st.sampled_from([-525_600, -1440, -5, 5, 60, 1440, 525_600])),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("etags"), st.booleans()),
    st.tuples(st.just("jobs"), st.sampled_from(["auto", "auto", True, False])),
    st.tuples(st.just("key"), st.sampled_from(["key", "another"])),
    st.tuples(st.just("people"), st.sampled_from(["address", "pseudonym"])),
    st.tuples(st.just("forget"), st.sampled_from(PEOPLE)),
)


@dataclass(frozen=True)
class Failure:
    """The database fails at a step of the run."""

    step: int
    transient: bool
    for_ever: bool


FAILURES = st.one_of(st.none(), st.none(), st.builds(Failure, st.integers(0, 35), st.booleans(), st.booleans()))


@dataclass
class Day:
    """A row of ``project_totals_daily``."""

    changes: int = 0
    added: int = 0
    removed: int = 0
    gained: list[int] = field(default_factory=lambda: [0, 0])
    lost: list[int] = field(default_factory=lambda: [0, 0])
    totals: tuple[int, int, int] = (0, 0, 0)


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
            rig.sync_jobs = "auto"
        self.machines[1].key = "another"
        with self.rig.database.begin("clearing") as connection:
            for table in TABLES:
                connection.exec_driver_sql(f"DELETE FROM {table}")
        self.model = Model()
        #: Batches and jobs at each observation.
        self.past: dict[datetime, tuple[State, State]] = {}
        self.days: dict[date, Day] = {}
        #: By day, person and column.
        self.labelers: dict[tuple[date, str, str], int] = {}
        #: People by their numbers, in lower case.
        self.people: dict[object, str] = {0: "", None: ""}
        self.forgotten: set[str] = set()
        self.killed = 0
        self.names = 0

    def teardown(self) -> None:
        for rig in self.machines:
            rig.close()

    # What happens

    @rule(machine=st.integers(0, 1), observed=OBSERVED, failure=FAILURES)
    def observe(self, machine: int, observed: Observed, failure: Failure | None) -> None:
        rig = self.machines[machine]
        observed = self.asked_for(rig, observed)
        if self.model.renamed and not self.model.is_recognised(observed):
            return  # it would be a project of its own, with a history that begins here
        self.answer(rig, observed)
        expected = self.model.copy()
        outcome = expected.observe(observed, self.next_instant(rig))
        self.run(rig, expected, outcome, lambda: rig.sync(allow_removals=observed.allow_removals, insist=True), failure)

    @rule(machine=st.integers(0, 1), observed=OBSERVED)
    def observe_the_same_twice(self, machine: int, observed: Observed) -> None:
        self.observe(machine, observed, None)
        self.observe(1 - machine, observed, None)

    @rule(machine=st.integers(0, 1), days=st.sampled_from([0.5, 1, 3]), observed=OBSERVED)
    def observe_the_same_much_later(self, machine: int, days: float, observed: Observed) -> None:
        self.observe(machine, observed, None)
        self.machines[machine].jump(int(days * 24 * 60))
        self.observe(machine, observed, None)

    @precondition(lambda self: self.model.observed and not self.model.renamed)
    @rule(machine=st.integers(0, 1), observed=OBSERVED, failure=FAILURES)
    def rename(self, machine: int, observed: Observed, failure: Failure | None) -> None:
        if not self.model.is_recognised(self.asked_for(self.machines[machine], observed)):
            return
        self.model.renamed = True
        self.names += 1
        for rig in self.machines:
            rig.project = f"p{self.names}"
            rig.projects = [rig.project, "others"]
        self.observe(machine, observed, failure)

    @precondition(lambda self: self.model.observed and not self.model.departed and not self.model.renamed)
    @rule(machine=st.integers(0, 1), failure=FAILURES)
    def depart(self, machine: int, failure: Failure | None) -> None:
        rig = self.machines[machine]
        self.go_away(rig)
        expected = self.model.copy()
        expected.depart()
        self.run(rig, expected, "changed", lambda: rig.sync(insist=True), failure)
        for rig in self.machines:
            rig.projects = [rig.project, "others"]

    @precondition(lambda self: self.model.departed and not self.model.renamed)
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
        answers = {i: data.draw(BY_ID[Kind.BATCH]) for i in sorted(batch_ids)}
        rig.by_id = answers_by_id(Kind.BATCH, answers)
        expected = self.model.copy()
        outcome = expected.refresh(answers)
        self.run(rig, expected, outcome, lambda: rig.sync(batch_ids=tuple(answers), insist=True), None)

    @rule(older=OBSERVED, newer=OBSERVED)
    def overtake(self, older: Observed, newer: Observed) -> None:
        """The newer one is asked for later and written first, by a machine whose clock is anything."""
        slow, quick = self.machines
        older, newer = self.asked_for(slow, older), self.asked_for(quick, newer)
        if self.model.renamed and not (self.model.is_recognised(older) and self.model.is_recognised(newer)):
            return
        self.answer(slow, older)
        outcome, at = "", START

        def meanwhile() -> None:
            nonlocal outcome, at
            outcome, at = self.run_within(quick, newer)

        slow.meanwhile = meanwhile
        changes = self.rig.rows("SELECT count(*) FROM batch_changes")
        result = slow.sync(allow_removals=older.allow_removals, insist=True)
        if outcome in {"changed", "unchanged"} and not older.batches.is_bad:
            assert result.outcome == "superseded", result.row
        elif result.outcome != "superseded":
            # The newer answer was of no use, so the older one is the newest there is.
            later = self.model.copy()
            assert result.outcome == later.observe(older, at), result.row
            self.applied(later, result.outcome)
            return
        assert self.rig.rows("SELECT count(*) FROM batch_changes") >= changes

    @precondition(lambda self: not self.model.renamed)
    @rule(older=OBSERVED_WITH_JOBS, newer=OBSERVED)
    def overtake_the_job_list_alone(self, older: Observed, newer: Observed) -> None:
        """The other machine asks for the batches before and for the jobs after, and writes first."""
        slow, quick = self.machines
        older, newer = self.asked_for(slow, older), self.asked_for(quick, newer)
        if not isinstance(older.jobs, Listed) or older.jobs.is_bad or older.batches.is_bad:
            return
        self.answer(slow, older)
        outcome, at = "", START

        def meanwhile() -> None:
            nonlocal outcome, at
            quick.shift_us = {"batches": -SECOND_US, "jobs": SECOND_US}
            outcome, at = self.run_within(quick, newer)
            quick.shift_us = {}

        slow.meanwhile, slow.meanwhile_at = meanwhile, "jobs"
        result = slow.sync(allow_removals=older.allow_removals, insist=True)
        slow.meanwhile_at = "batches"
        for rig in self.machines:
            rig.ahead_us += SECOND_US
        was_applied = outcome in {"changed", "unchanged"} and newer.jobs is not None and self.model.jobs_error is None
        later = self.model.copy()
        assert result.outcome == later.observe(replace(older, jobs=None) if was_applied else older, at), result.row
        self.applied(later, result.outcome)

    @rule(machine=st.integers(0, 1), body=st.sampled_from([None, b"{}", b"<html>", b'{"batches": [{}]}']))
    def the_api_fails(self, machine: int, body: bytes | None) -> None:
        rig = self.machines[machine]
        rig.listed = body or FetchError(ErrorKind.NETWORK, "no connection")
        self.run(rig, self.model.copy(), "failed", lambda: rig.sync(insist=True), None)

    # One rule for all of these: as many rules of their own would leave little time for runs.
    @rule(machine=st.integers(0, 1), what=ADJUSTMENTS)
    def adjust(self, machine: int, what: tuple[str, Any]) -> None:
        rig, (name, value) = self.machines[machine], what
        match name:
            case "clock":
                rig.jump(value)
            case "restart":
                rig.restart()
            case "etags":
                rig.etags = value
            case "jobs":
                rig.sync_jobs = value
            case "key":
                rig.key = value
            case "people":
                self.switch_people(value)
            case _:
                self.forget(rig, value)

    def switch_people(self, mode: PeopleMode) -> None:
        """Both machines begin again with another configuration."""
        self.model.jobs.shown = set()
        for rig in self.machines:
            rig.people = mode
            rig.restart()
        if mode == "pseudonym":
            self.rig.store.addresses.switch(mode)  # as the next run would

    def forget(self, rig: Rig, person: str) -> None:
        key = person.casefold()
        known = {self.person(number) for (number,) in self.rig.rows("SELECT id FROM people")}
        assert (rig.store.addresses.forget(person, rig.now) is not None) == (key in known)
        self.forgotten |= {key} & known

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

    def asked_for(self, rig: Rig, observed: Observed) -> Observed:
        """What a run of this machine would be told."""
        now = rig.now + timedelta(minutes=5)
        if rig.sync_jobs is False or (rig.sync_jobs == "auto" and self.model.is_denied(rig.key, now)):
            observed = replace(observed, jobs=None)
        return replace(observed, key=rig.key)

    def answer(self, rig: Rig, observed: Observed) -> None:
        batches, jobs = observed.batches, observed.jobs
        rig.listed = answer_of(Kind.BATCH, batches)
        rig.jobs = answer_of(Kind.JOB, jobs) if isinstance(jobs, Listed) else no_jobs(jobs or "server")
        rig.by_id = answers_by_id(Kind.BATCH, batches.by_id)
        # Where the job list is no good, a project with a new id asks for jobs, and fails if it can't be told.
        if isinstance(jobs, Listed) and not jobs.is_bad:
            rig.by_id |= answers_by_id(Kind.JOB, jobs.by_id)

    def run_within(self, quick: Rig, observed: Observed) -> tuple[str, datetime]:
        """A run while another one is under way; its outcome, and the instant of the other one."""
        ((living,),) = self.rig.rows("SELECT max(id) FROM sync_runs")
        self.answer(quick, observed)
        expected = self.model.copy()
        outcome = expected.observe(observed, self.next_instant(quick))
        self.run(
            quick, expected, outcome, partial(quick.sync, allow_removals=observed.allow_removals, insist=True), None
        )
        # The other one lives, and nobody takes it for dead.
        assert self.rig.rows("SELECT outcome FROM sync_runs WHERE id = :id", id=living) == [("running",)]
        return outcome, self.instant_of(next(rig for rig in self.machines if rig is not quick).now)

    def run(self, rig: Rig, expected: Model, outcome: str, sync: Callable[[], Result], failure: Failure | None) -> None:
        """One run, after which the model is what is expected, or as it was if the database failed."""
        if failure is None:
            result = sync()
            assert result.outcome == outcome, result.row
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
                assert result.outcome == outcome, result.row
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
        self.past[written_at] = expected.state()
        if before.batches.current != expected.batches.current:
            self.note(written_at.date(), before.batches.current, expected.batches.current)
        if before.jobs.observed:
            for (labeler, flow), number in moved(before.jobs, expected.jobs).items():
                key = (written_at.date(), labeler, flow)
                self.labelers[key] = self.labelers.get(key, 0) + number

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
                delta = (new or NOTHING[Kind.BATCH])[place] - (old or NOTHING[Kind.BATCH])[place]
                row.gained[place] += max(delta, 0)
                row.lost[place] += max(-delta, 0)
        row.totals = (len(after), sum(c[0] for c in after.values()), sum(c[1] for c in after.values()))

    def person(self, number: object) -> str:
        """Whom a number means, in lower case; 0 and None: nobody."""
        if number not in self.people:
            keys = {name.casefold() for name in PEOPLE}
            ((secret,),) = self.rig.rows("SELECT secret FROM people_key")
            digests = {hmac.new(bytes.fromhex(str(secret)), k.encode(), hashlib.sha256).hexdigest(): k for k in keys}
            self.people |= {
                number: digests[str(digest)] for number, digest in self.rig.rows("SELECT id, digest FROM people")
            }
        return self.people[number]

    def job_rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows whose last nine columns are a job's, as the model has them."""
        return [(*row[:-2], self.person(row[-2]), self.person(row[-1])) for row in self.rig.rows(query)]

    # What holds after each step

    @invariant()
    def the_present_is_the_models(self) -> None:
        current = self.rig.rows("SELECT batch_id, images, num_jobs, name FROM current_batches")
        assert {row[0]: row[1:] for row in current} == self.model.batches.current
        jobs = self.job_rows(f"SELECT job_id, {JOB_COLUMNS} FROM jobs c WHERE removed_at IS NULL")
        assert {row[0]: row[1:] for row in jobs} == self.model.jobs.current

    @invariant()
    def the_past_is_what_it_was(self) -> None:
        # Of all moments at once: a question for each would take half of the test's time.
        batches = self.rig.rows("SELECT valid_from, valid_to, batch_id, images, num_jobs, name FROM batch_history")
        # The people of the view are texts, those of its rows in the ledger are numbers.
        jobs = self.job_rows(
            f"""SELECT h.valid_from, h.valid_to, h.job_id, {JOB_COLUMNS} FROM job_history h
            JOIN job_changes c ON c.job_id = h.job_id AND c.observed_at = h.valid_from"""
        )
        for rows, states in (
            (batches, {at: batches for at, (batches, _) in self.past.items()}),
            (jobs, {at: jobs for at, (_, jobs) in self.past.items()}),
        ):
            self.check_past(rows, states)

    def check_past(self, rows: Sequence[tuple[Any, ...]], states: dict[datetime, State]) -> None:
        for moment, state in states.items():
            at: Any = sqlite_text(moment) if self.rig.file else moment
            valid = [row[2:] for row in rows if row[0] <= at and (row[1] is None or row[1] > at)]
            assert sorted(valid, key=repr) == sorted(((i, *values) for i, values in state.items()), key=repr), moment
        assert [row for row in rows if row[1] is not None and row[1] <= row[0]] == []

    @invariant()
    def each_labelers_day_is_what_moved(self) -> None:
        rows = self.rig.rows(f"SELECT day, labeler_id, {', '.join(LABELER_FLOWS)} FROM labeler_daily")
        found = {
            (str(day), self.person(labeler), flow): number
            for day, labeler, *flows in rows
            for flow, number in zip(LABELER_FLOWS, flows, strict=True)
            if number
        }
        expected = {(str(day), labeler, flow): n for (day, labeler, flow), n in self.labelers.items()}
        assert found == expected, found.items() ^ expected.items()

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
        for books, key in ((self.model.batches, "batch_id"), (self.model.jobs, "job_id")):
            rows = self.rig.rows(
                f"""SELECT m.{key}, m.refusal, r.unlisted_at IS NOT NULL, r.removed_at IS NOT NULL
                FROM missing_{books.kind} m JOIN {books.kind} r USING (project_id, {key})"""
            )
            expected = {i: (row.refusal, row.unlisted, row.removed) for i, row in books.missing.items()}
            assert {i: (refusal, bool(unlisted), bool(removed)) for i, refusal, unlisted, removed in rows} == expected

    @invariant()
    def each_person_is_there_once_and_known_by_address_where_that_may_be(self) -> None:
        rows = self.rig.rows("SELECT id, address, forgotten_at IS NOT NULL FROM people")
        known = [self.person(number) for number, _, _ in rows]
        # Those of a run that was not written may be there, too.
        assert len(known) == len({*known})
        assert self.model.jobs.people <= {*known}
        for key, (_, address, forgotten) in zip(known, rows, strict=True):
            assert bool(forgotten) == (key in self.forgotten)
            if self.rig.people == "pseudonym" or forgotten:
                assert address is None
            elif address is not None or key in self.model.jobs.shown:
                assert str(address).casefold() == key

    @invariant()
    def there_is_one_project_with_one_history(self) -> None:
        names = self.rig.rows("SELECT project, departed_at IS NOT NULL FROM projects WHERE observed_at IS NOT NULL")
        if self.model.observed:
            known = self.names - self.model.renamed
            name = f"p{known}" if known else "widgets"
            assert [(n, bool(departed)) for n, departed in names] == [(name, self.model.departed)]
            assert self.rig.rows("SELECT count(*) FROM project_renames") == [(known,)]
            errors = self.rig.rows("SELECT jobs_error_kind FROM projects WHERE observed_at IS NOT NULL")
            assert errors == [(self.model.jobs_error,)], errors

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


def answer_of(kind: Kind, listed: Listed) -> list[dict[str, object]]:
    """A list as the API writes it."""
    good = [RECORD[kind](i, *said) for i, said in listed.seen.items()]
    count = "images" if kind is Kind.BATCH else "numImages"
    return [*good, *({"id": 7 if i is None else i, count: -1} for i in listed.broken)]


def no_jobs(what: str) -> bytes | FetchError:
    """An answer that is no job list."""
    return b"{}" if what == "bad_response" else FetchError(ErrorKind(what), "no", attempts=1)


def answers_by_id(kind: Kind, by_id: dict[str, str | Said]) -> dict[str, dict[str, object] | FetchError]:
    """What the records' own addresses answer."""
    answers: dict[str, dict[str, object] | FetchError] = {}
    for record_id, said in by_id.items():
        if isinstance(said, str):
            error = ErrorKind.NOT_FOUND if said == "gone" else ErrorKind.SERVER
            answers[f"{kind}/{record_id}"] = FetchError(error, "no", attempts=1)
        else:
            answers[f"{kind}/{record_id}"] = RECORD[kind](record_id, *said)
    return answers


def job_record(job_id: str, *said: Any) -> dict[str, object]:
    """A job as the API writes it; None is not said, and an empty labeler or reviewer is nobody."""
    *counts, status, batch, labeler, reviewer = said
    fields: dict[str, object] = {"status": status, "sourceBatch": batch and f"internal/{batch}"}
    if labeler is not None:
        fields["labeler"] = labeler or None
    if reviewer is not None:
        fields["reviewer"] = reviewer
    names = ("unannotated", "approved", "rejected")
    return job(job_id, *counts[:2], **dict(zip(names, counts[2:], strict=True)), **fields)


#: A record as the API writes it.
RECORD: dict[Kind, Callable[..., dict[str, object]]] = {Kind.BATCH: record, Kind.JOB: job_record}


@pytest.mark.usefixtures("quick_retries")
def test_whatever_happens_in_whatever_order(database_url: str) -> None:
    assert START.year == 2026
    url = parse_url(database_url)
    # The same for all examples: what an engine has compiled is of no matter to what happens.
    writers = [open_engine(url, read_only=False) for _ in range(2)]
    reader = open_engine(url, read_only=True)
    run_state_machine_as_test(
        lambda: Machine(database_url, writers, reader),
        settings=settings(max_examples=16, stateful_step_count=20, deadline=None),
    )
    for engine in (*writers, reader):
        engine.dispose()
