"""The daemon without HTTP, database and waiting: APScheduler runs as ever, but by a clock that the test sets."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED

from rfsync.api.client import Response
from rfsync.config import RemovalsConfig, WorkspaceConfig
from rfsync.daemon import daemon as daemon_module
from rfsync.daemon.daemon import Daemon, Plan, Project
from rfsync.errors import Cancelled, DatabaseError, ErrorKind, FetchError
from rfsync.ledger.runs import RunRow
from rfsync.ledger.store import Store
from rfsync.redaction import Secret
from rfsync.schedule import Cron, Interval, Schedule
from rfsync.sync.result import Result
from rfsync.sync.targets import Selection
from rfsync.sync.task import SyncContext, SyncTask

KEY = Secret("key")
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVERY = timedelta(minutes=5)
NOW = timedelta(0)
EACH_FIVE = Interval(EVERY)
#: For the end of what must have happened long before; nothing is decided by it.
LONG = 60.0

Act = Callable[[SyncContext, SyncTask], Result]


def ends(outcome: str, kind: str | None = None) -> Act:
    """A poll that ends like that."""
    return lambda _, task: Result(
        task.workspace, task.project, RunRow(outcome, error_kind=kind, error=kind and "it broke")
    )


GOOD, FAILED, REFUSED, ABANDONED = ends("unchanged"), ends("failed", "server"), ends("refused"), ends("abandoned")


def bug(_: SyncContext, __: SyncTask) -> Result:
    """A poll in which rfsync itself fails."""
    raise ZeroDivisionError("nobody thought of that")


class Gate:
    """A poll that goes on until it is let through."""

    def __init__(self, then: Act = GOOD) -> None:
        self.began, self.through = threading.Event(), threading.Event()
        self._then = then

    def __call__(self, context: SyncContext, task: SyncTask) -> Result:
        self.began.set()
        assert self.through.wait(LONG)
        return self._then(context, task)


class World:
    """The clock, the API, the database, and how polls end."""

    def __init__(self) -> None:
        self.now = START
        self.seconds = 0.0
        #: Seconds that go by whenever one of the clocks is looked at.
        self.creep = 0.0
        #: What is called of fetcher and store when the daemon stops.
        self.calls: list[str] = []
        self.cancelled, self.interrupted = threading.Event(), threading.Event()
        #: The projects of each workspace.
        self.listings: dict[str, Sequence[str] | Exception | Callable[[], Sequence[str]]] = {}
        self.names: dict[str, str] = {}
        self.pruned: list[datetime] = []
        self.prune_error: Exception | None = None
        self.prunable = 0
        self.listed = Counter[str]()
        self.known: dict[str, list[str] | Exception] = {}
        #: How the next polls of each project end; well, where there is none.
        self.acts: dict[str, list[Act]] = {}
        self.jobs: list[SyncTask] = []
        #: Those of which a poll began while another one was going on.
        self.doubled: list[str] = []
        self.ended: list[Result] = []
        self.driven: list[Driven] = []
        self.gates: list[Gate] = []
        self._busy: set[str] = set()
        self._guard = threading.Lock()

    # What the daemon works with

    def clock(self) -> datetime:
        self._go_on()
        return self.now

    def monotonic(self) -> float:
        self._go_on()
        return self.seconds

    def _go_on(self) -> None:
        self.now += timedelta(seconds=self.creep)
        self.seconds += self.creep

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        (workspace,) = segments
        self.listed[workspace] += 1
        listing = self.listings[workspace]
        if callable(listing):
            listing = listing()
        if isinstance(listing, Exception):
            raise listing
        projects = [{"id": f"{workspace}/{one}", "name": self.names.get(one, one)} for one in listing]
        body = json.dumps({"workspace": {"name": workspace, "projects": projects}}).encode()
        return Response(200, bytearray(body), None, "", self.now, 1, len(body))

    def cancel(self) -> None:
        self.calls.append("cancel")
        self.cancelled.set()

    def known_projects(self, workspace: str) -> list[str]:
        known = self.known.get(workspace, [])
        if isinstance(known, Exception):
            raise known
        return known

    def prune(self, before: datetime) -> int:
        self.pruned.append(before)
        if self.prune_error is not None:
            raise self.prune_error
        return self.prunable

    def stop(self) -> None:
        self.calls.append("stop")

    def interrupt(self) -> None:
        self.calls.append("interrupt")
        self.interrupted.set()

    def sync(self, context: SyncContext, task: SyncTask) -> Result:
        """In place of ``rfsync.sync.run.sync``."""
        key = str(task)
        with self._guard:
            self.jobs.append(task)
            if key in self._busy:
                self.doubled.append(key)
            self._busy.add(key)
            acts = self.acts.get(key)
            act = acts.pop(0) if acts else GOOD
        try:
            result = act(context, task)
        finally:
            with self._guard:
                self._busy.discard(key)
        if result.outcome == "failed":
            logging.getLogger("rfsync.sync").log(context.failure_level(task), "%s failed", key)
        return result

    # What the test does

    @property
    def polled(self) -> list[str]:
        """All polls so far, by workspace/project."""
        return [str(task) for task in self.jobs]

    def cancelled_then(self, event: threading.Event) -> None:
        assert self.cancelled.wait(LONG)
        event.set()

    def gate(self, key: str, then: Act = GOOD) -> Gate:
        """Lets the poll after those already told of go on until it is let through."""
        gate = Gate(then)
        self.gates.append(gate)
        self.acts.setdefault(key, []).append(gate)
        return gate

    def daemon(
        self,
        *wanted: Selection,
        schedule: Schedule | Callable[[str], Schedule] = EACH_FIVE,
        jitter: timedelta = NOW,
        concurrency: int = 4,
        previous: Driven | None = None,
        start: bool = True,
    ) -> Driven:
        context = SyncContext(self, cast("Store", self), RemovalsConfig(), self.clock, str, trigger="schedule")
        schedules = schedule if callable(schedule) else lambda _: schedule
        plan = Plan(
            context, wanted, schedules, jitter, concurrency, timedelta(days=30), self.monotonic, self.ended.append
        )  # fmt: skip
        driven = Driven(self, Daemon(plan, None if previous is None else previous.daemon))
        self.driven.append(driven)
        if start:
            driven.daemon.start()
        return driven

    def close(self) -> None:
        for gate in self.gates:
            gate.through.set()
        self.cancelled.set()
        self.interrupted.set()
        for driven in self.driven:
            if driven.daemon._scheduler.running:
                driven.settle()
                driven.daemon.stop()


class Driven:
    """A daemon, and how far it has come."""

    def __init__(self, world: World, daemon: Daemon) -> None:
        self.world, self.daemon = world, daemon
        self._finished = Counter[str]()
        self._changed = threading.Condition()
        daemon._scheduler.add_listener(self._note, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)

    def _note(self, event: Any) -> None:
        with self._changed:
            self._finished[event.job_id] += 1
            self._changed.notify_all()

    def done(self, key: str, times: int) -> None:
        """Waits until so many of its polls have ended, and the next one is on the schedule."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._finished[key] >= times, LONG), key
            assert self._finished[key] == times

    def discovered(self, times: int = 1) -> None:
        self.done("discovery", times)

    def advance(self, by: timedelta) -> None:
        """Lets time go by, and what is due then begin."""
        self.world.seconds += by.total_seconds()
        self.world.now += by  # by which the scheduler goes: last
        self.look()

    def look(self) -> None:
        """As the scheduler does when it wakes up."""
        self.daemon._scheduler._process_jobs()

    def settle(self) -> None:
        """Waits until nothing goes on, and nothing is due."""
        scheduler: Any = self.daemon._scheduler
        submitted, store = scheduler._executors["default"]._instances, scheduler._jobstores["default"]

        def is_settled() -> bool:
            # Without the scheduler's lock, which whoever tells us may hold; in this order, in which jobs go.
            due = [job for job in store.get_all_jobs() if job.next_run_time <= self.world.now]
            return not due and not any(list(submitted.values()))

        with self._changed:
            assert self._changed.wait_for(is_settled, LONG)
        self.look()

    def set_clock(self, by: timedelta) -> None:
        """Has the clock set, and the daemon notice it before the scheduler happens to wake up."""
        with self.daemon._changed, self.daemon._scheduler._jobstores_lock:
            self.world.now += by
            self.daemon.tick()

    def due_in(self, key: str) -> timedelta | None:
        """None: it is not on the schedule."""
        moment = self.daemon.next_run(key)
        return None if moment is None else moment - self.world.now

    def project(self, key: str) -> Project:
        return self.daemon.projects()[key]

    def run(self, key: str, times: int) -> list[timedelta]:
        """Lets so many polls begin when they are due; how long after the one before each of them was."""
        waits = []
        for _ in range(times):
            wait = self.due_in(key)
            assert wait is not None
            waits.append(wait)
            count = self._finished[key]
            self.advance(wait)
            self.done(key, count + 1)
        return waits


def workspace(*projects: str, id: str = "acme", exclude: tuple[str, ...] = ()) -> Selection:  # noqa: A002
    """One whose projects are named, or all of it where none is."""
    return Selection(WorkspaceConfig(id=id, exclude=exclude), KEY, projects, discover=not projects)


def minutes(*numbers: float) -> list[timedelta]:
    return [timedelta(minutes=number) for number in numbers]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr(daemon_module, "sync", world.sync)
    clock = SimpleNamespace(now=lambda zone: world.now.astimezone(zone))  # noqa: PLW0108 of that moment
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", clock)
    yield world
    world.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """All that was logged since it was asked last, from information on."""
    caplog.set_level(logging.INFO, "rfsync")

    def take() -> list[str]:
        taken = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
        caplog.clear()
        return taken

    return take


# When polls begin


def test_all_named_projects_are_polled_at_once_at_the_start(world: World) -> None:
    driven = world.daemon(workspace("a", "b"), workspace("c", id="other"), jitter=timedelta(hours=1))
    for key in ("acme/a", "acme/b", "other/c"):
        driven.done(key, 1)
    assert sorted(world.polled) == ["acme/a", "acme/b", "other/c"]
    assert [result.outcome for result in world.ended] == ["unchanged"] * 3
    assert driven.daemon.ready
    assert driven.daemon.alive
    assert world.listed == {}


def test_the_next_poll_is_due_after_the_interval_and_at_most_the_jitter(world: World) -> None:
    jitter = timedelta(seconds=10)
    keys = [f"acme/{number}" for number in range(20)]
    driven = world.daemon(workspace(*(key[5:] for key in keys)), jitter=jitter)
    for key in keys:
        driven.done(key, 1)
    waits = [driven.due_in(key) for key in keys]
    assert all(wait is not None and EVERY <= wait <= EVERY + jitter for wait in waits)
    assert len(set(waits)) > 1


def test_the_jitter_does_not_add_up(world: World) -> None:
    driven = world.daemon(workspace("a"), jitter=timedelta(seconds=10))
    driven.done("acme/a", 1)
    driven.run("acme/a", 10)
    wait = driven.due_in("acme/a")
    assert wait is not None
    assert START + 11 * EVERY <= world.now + wait <= START + 11 * EVERY + timedelta(seconds=10)


def test_nothing_begins_before_it_is_due(world: World) -> None:
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    driven.advance(EVERY - timedelta(microseconds=1))
    assert driven.due_in("acme/a") == timedelta(microseconds=1)
    driven.advance(timedelta(microseconds=1))
    driven.done("acme/a", 2)


def test_each_workspace_has_its_own_schedule(world: World) -> None:
    schedules: dict[str, Schedule] = {"acme": Interval(EVERY), "other": Cron("30 * * * *", UTC)}
    driven = world.daemon(workspace("a"), workspace("b", id="other"), schedule=schedules.__getitem__)
    driven.done("acme/a", 1)
    driven.done("other/b", 1)
    assert (driven.due_in("acme/a"), driven.due_in("other/b")) == (EVERY, timedelta(minutes=30))
    assert driven.run("other/b", 2) == minutes(30, 60)


def test_a_poll_that_took_longer_than_its_interval_is_followed_by_one_at_once_and_by_one_only(world: World) -> None:
    gate = world.gate("acme/a")
    driven = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    driven.advance(4 * EVERY + timedelta(minutes=1))
    assert (driven.due_in("acme/a"), driven.project("acme/a").running) == (None, True)
    gate.through.set()
    # That one has begun by itself, since it is due.
    driven.done("acme/a", 2)
    assert driven.due_in("acme/a") == EVERY
    assert world.doubled == []


def test_polls_that_began_late_are_made_up_by_one(world: World) -> None:
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    # As after a while in which the process was stopped, or no thread was free.
    gate = world.gate("acme/a")
    driven.advance(4 * EVERY + timedelta(minutes=1))
    assert gate.began.wait(LONG)
    second = world.gate("acme/a")
    gate.through.set()
    with driven._changed:
        driven._changed.wait_for(lambda: driven._finished["acme/a"] == 2, LONG)
    due = driven.due_in("acme/a")
    second.through.set()
    assert due is not None
    assert NOW < due <= EVERY


def test_there_are_never_two_of_a_project_at_a_time(world: World) -> None:
    gates = [world.gate("acme/a") for _ in range(3)]
    driven = world.daemon(workspace("a", "b"))
    for number, gate in enumerate(gates):
        assert gate.began.wait(LONG)
        for _ in range(5):
            driven.advance(EVERY)
            driven.daemon.tick()
        assert world.polled.count("acme/a") == number + 1
        gate.through.set()
    driven.done("acme/a", 4)
    assert world.doubled == []


def test_no_more_are_polled_at_once_than_there_are_threads(world: World) -> None:
    gates = [world.gate(f"acme/{name}") for name in "abc"]
    driven = world.daemon(workspace("a", "b", "c"), concurrency=2)
    assert gates[0].began.wait(LONG)
    assert gates[1].began.wait(LONG)
    assert not gates[2].began.is_set()
    gates[0].through.set()
    assert gates[2].began.wait(LONG)
    for gate in gates:
        gate.through.set()
    driven.done("acme/c", 1)


# Failures


def test_consecutive_failures_stretch_the_interval_up_to_twelve_times_and_success_restores_it(world: World) -> None:
    world.acts["acme/a"] = [GOOD, *[FAILED] * 7]
    driven = world.daemon(workspace("a", "b"))
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    waits = driven.run("acme/a", 9)
    assert [wait / EVERY for wait in waits] == [1, 1, 2, 4, 8, 12, 12, 12, 1]
    assert driven.project("acme/a").failures == 0


def test_other_projects_keep_their_interval(world: World) -> None:
    world.acts["acme/a"] = [FAILED] * 3
    driven = world.daemon(workspace("a", "b"))
    driven.done("acme/b", 1)
    driven.done("acme/a", 1)
    # a is polled at 5 and 15 minutes.
    for number, of_a in ((2, 2), (3, 2), (4, 3)):
        driven.advance(EVERY)
        driven.done("acme/b", number)
        driven.done("acme/a", of_a)
        assert driven.due_in("acme/b") == EVERY
    assert driven.project("acme/a").failures == 3


def test_a_cron_line_is_stretched_to_a_time_of_its_own(world: World) -> None:
    world.acts["acme/a"] = [FAILED] * 5
    driven = world.daemon(workspace("a"), schedule=Cron("*/5 * * * *", UTC))
    driven.done("acme/a", 1)
    assert driven.run("acme/a", 5) == minutes(5, 10, 20, 40, 60)
    assert driven.due_in("acme/a") == EVERY


@pytest.mark.parametrize("act", [REFUSED, ABANDONED], ids=["refused", "abandoned"])
def test_what_was_refused_or_abandoned_does_not_stretch_it(world: World, act: Act) -> None:
    world.acts["acme/a"] = [act] * 4
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    assert driven.run("acme/a", 3) == [EVERY] * 3
    project = driven.project("acme/a")
    assert (project.failures, project.succeeded) == (0, None)


@pytest.mark.parametrize("outcome", ["changed", "unchanged", "superseded"])
def test_these_ends_are_a_success(world: World, outcome: str) -> None:
    world.acts["acme/a"] = [FAILED, FAILED, ends(outcome)]
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    driven.run("acme/a", 2)
    project = driven.project("acme/a")
    assert (project.failures, project.succeeded) == (0, START + 3 * EVERY)
    assert driven.daemon.age(project) == 0
    driven.advance(timedelta(seconds=7))
    assert driven.daemon.age(project) == 7


def test_a_bug_in_one_poll_is_told_with_its_traceback_and_polled_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.acts["acme/a"] = [bug]
    driven = world.daemon(workspace("a", "b"))
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("rfsync.daemon", "ERROR")
    assert "acme/a" in record.getMessage()
    assert "ZeroDivisionError: nobody thought of that" in caplog.text
    assert driven.project("acme/a").failures == 1
    assert driven.run("acme/a", 1) == [EVERY]
    assert driven.project("acme/a").failures == 0


def test_a_failure_that_lasts_is_an_error_first_then_a_warning_and_an_error_again_each_hour(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.acts["acme/a"] = [FAILED] * 8 + [GOOD, FAILED, FAILED]
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    assert lines() == ["ERROR acme/a failed"]
    # At 5, 15, 35 minutes; then an hour has gone by.
    driven.run("acme/a", 3)
    assert lines() == ["WARNING acme/a failed"] * 3
    driven.run("acme/a", 4)  # at 75, 135, 195, 255 minutes
    assert lines() == ["ERROR acme/a failed"] * 4
    driven.run("acme/a", 3)  # well, and then anew
    assert lines() == ["ERROR acme/a failed", "WARNING acme/a failed"]


def test_the_hour_between_two_errors_is_one_by_the_monotonic_clock(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.acts["acme/a"] = [FAILED] * 3
    driven = world.daemon(workspace("a"), schedule=Interval(timedelta(minutes=30)))
    driven.done("acme/a", 1)
    driven.set_clock(timedelta(days=30))
    lines()
    driven.run("acme/a", 2)
    assert lines() == ["WARNING acme/a failed", "ERROR acme/a failed"]


def test_each_project_has_failures_of_its_own(world: World, lines: Callable[[], list[str]]) -> None:
    world.acts = {"acme/a": [FAILED], "acme/b": [FAILED]}
    driven = world.daemon(workspace("a", "b"))
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    assert sorted(lines()) == ["ERROR acme/a failed", "ERROR acme/b failed"]


# Fresh or stale


def test_a_project_is_stale_after_three_intervals_and_the_jitter_without_success(world: World) -> None:
    world.acts["acme/a"] = [GOOD, FAILED, REFUSED, ABANDONED]
    jitter = timedelta(seconds=10)
    driven = world.daemon(workspace("a"), jitter=jitter)
    driven.done("acme/a", 1)
    project = driven.project("acme/a")
    world.seconds = (3 * EVERY + jitter).total_seconds() - 0.5
    assert not driven.daemon.is_stale(project)
    world.seconds += 0.5
    assert driven.daemon.is_stale(project)


def test_one_that_has_not_succeeded_yet_is_stale_three_intervals_after_the_start(world: World) -> None:
    world.acts["acme/a"] = [FAILED] * 9
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    assert driven.daemon.age(driven.project("acme/a")) is None
    driven.run("acme/a", 2)
    driven.done("acme/a", 3)
    assert not driven.daemon.is_stale(driven.project("acme/a")) or world.seconds >= 900
    world.seconds = 899.0
    assert not driven.daemon.is_stale(driven.project("acme/a"))
    world.seconds = 900.0
    assert driven.daemon.is_stale(driven.project("acme/a"))


def test_a_success_makes_it_fresh_again_and_clocks_that_are_set_make_nothing_stale(world: World) -> None:
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    driven.set_clock(timedelta(days=365))
    assert not driven.daemon.is_stale(driven.project("acme/a"))
    driven.set_clock(-timedelta(days=800))
    driven.run("acme/a", 1)
    world.seconds += 899
    assert not driven.daemon.is_stale(driven.project("acme/a"))
    world.seconds += 1
    assert driven.daemon.is_stale(driven.project("acme/a"))


def test_a_cron_line_is_stale_after_the_third_of_its_own_times(world: World) -> None:
    driven = world.daemon(workspace("a"), schedule=Cron("0 9 * * mon-fri", UTC))
    driven.done("acme/a", 1)
    # It is Thursday noon: Friday, Monday, Tuesday.
    world.seconds = timedelta(days=4, hours=21).total_seconds() - 1
    assert not driven.daemon.is_stale(driven.project("acme/a"))
    world.seconds += 1
    assert driven.daemon.is_stale(driven.project("acme/a"))


# The clock is set


@pytest.mark.parametrize("by", [timedelta(days=-1), timedelta(days=365)], ids=["back-a-day", "forward-a-year"])
def test_when_the_clock_is_set_intervals_go_on_as_if_it_had_not(
    world: World, lines: Callable[[], list[str]], by: timedelta
) -> None:
    driven = world.daemon(workspace("a", "b"))
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    driven.advance(timedelta(minutes=2))
    driven.set_clock(by)
    assert [driven.due_in(key) for key in ("acme/a", "acme/b")] == minutes(3, 3)
    (line,) = lines()
    assert line == f"WARNING the clock was set by {by.total_seconds():+.0f} s: polls go on as if it had not"
    for number, wait in enumerate(minutes(3, 5, 5), 2):
        assert driven.run("acme/a", 1) == [wait]
        driven.done("acme/b", number)
    assert world.polled.count("acme/a") == world.polled.count("acme/b") == 4
    assert driven.daemon.alive


@pytest.mark.parametrize(
    ("by", "wait"),
    [(timedelta(days=-1), 30), (timedelta(minutes=-10), 40), (timedelta(minutes=20), 10)],
    ids=["back-a-day", "back-a-little", "forward-a-little"],
)
def test_when_the_clock_is_set_cron_lines_go_by_the_new_one(world: World, by: timedelta, wait: int) -> None:
    driven = world.daemon(workspace("a"), schedule=Cron("30 * * * *", UTC))
    driven.done("acme/a", 1)
    driven.set_clock(by)
    assert driven.run("acme/a", 3) == minutes(wait, 60, 60)


def test_a_cron_time_that_the_clock_was_set_past_is_made_up_at_once(world: World) -> None:
    driven = world.daemon(workspace("a"), schedule=Cron("30 * * * *", UTC))
    driven.done("acme/a", 1)
    driven.set_clock(timedelta(minutes=40))
    driven.look()
    driven.done("acme/a", 2)
    assert driven.run("acme/a", 1) == minutes(50)


def test_a_clock_that_drifts_or_leaps_by_a_second_is_left_alone(world: World, lines: Callable[[], list[str]]) -> None:
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    for by in (0.5, -1.5, 2.0, -2.0):
        driven.set_clock(timedelta(seconds=by))
    assert lines() == []
    assert driven.due_in("acme/a") == EVERY + timedelta(seconds=1)


def test_time_that_goes_by_is_no_clock_that_was_set(world: World, lines: Callable[[], list[str]]) -> None:
    driven = world.daemon(workspace("a"), schedule=Interval(timedelta(days=100)))
    driven.done("acme/a", 1)
    driven.advance(timedelta(days=99))
    driven.daemon.tick()
    assert lines() == []


@pytest.mark.parametrize("schedule", [Interval(EVERY), Cron("*/5 * * * *", UTC)], ids=["interval", "cron"])
def test_a_poll_that_goes_on_while_the_clock_is_set_back_is_due_again_as_always(
    world: World, schedule: Schedule
) -> None:
    gate = world.gate("acme/a")
    driven = world.daemon(workspace("a"), schedule=schedule)
    assert gate.began.wait(LONG)
    driven.set_clock(timedelta(days=-1))
    gate.through.set()
    driven.done("acme/a", 1)
    wait = driven.due_in("acme/a")
    assert wait is not None
    assert wait <= EVERY


@pytest.mark.parametrize(
    "by",
    [
        -1.0,
        -0.000_001,
        0.000_001,
        1.0,
    ],
)
def test_a_cron_line_is_polled_once_each_time_though_the_clock_was_set_by_a_little(world: World, by: float) -> None:
    driven = world.daemon(workspace("a"), schedule=Cron("30 * * * *", UTC))
    driven.done("acme/a", 1)
    driven.set_clock(timedelta(seconds=by))
    waits = driven.run("acme/a", 3)
    assert [round(wait / timedelta(minutes=1)) for wait in waits] == [30, 60, 60]


def test_clocks_that_go_on_while_they_are_looked_at_make_nothing_due_twice(world: World) -> None:
    world.creep = 0.000_007
    world.seconds = 98_765.432_1
    driven = world.daemon(workspace("a"), schedule=Cron("*/5 * * * *", UTC))
    driven.done("acme/a", 1)
    waits = driven.run("acme/a", 20)
    assert {round(wait / timedelta(minutes=1)) for wait in waits} == {5}


def test_when_the_clock_is_set_workspaces_are_listed_anew(world: World) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace())
    driven.discovered()
    driven.set_clock(timedelta(days=-1))
    driven.look()
    driven.discovered(2)
    assert driven.due_in("discovery") == timedelta(hours=1)


# Which projects there are


def test_a_workspace_is_asked_at_the_start_and_each_hour(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driven = world.daemon(workspace())
    driven.discovered()
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    assert driven.daemon.ready
    assert lines() == []
    assert driven.run("discovery", 2) == [timedelta(hours=1)] * 2
    assert world.listed == {"acme": 3}


def test_it_is_not_ready_before_it_knows_what_to_poll(world: World) -> None:
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["a"]

    world.listings["acme"] = listing
    driven = world.daemon(workspace(), workspace("n", id="named"))
    assert asked.wait(LONG)
    driven.done("named/n", 1)
    assert not driven.daemon.ready
    answer.set()
    driven.discovered()
    assert driven.daemon.ready


def test_a_new_project_joins_and_is_polled_at_once(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    world.listings["acme"] = ["a", "b"]
    driven.run("discovery", 1)
    driven.done("acme/b", 1)
    assert lines() == ["INFO acme/b: a new project, polled from now on"]
    assert world.polled == ["acme/a", "acme/b"]


def test_a_project_that_is_gone_leaves_with_one_warning(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/b", 1)
    world.listings["acme"] = ["a"]
    driven.run("discovery", 2)
    assert lines() == [
        "WARNING acme/b is no longer in its workspace: it is not polled any more, and its history is kept"
    ]
    assert list(driven.daemon.projects()) == ["acme/a"]
    assert driven.due_in("acme/b") is None
    # Nothing was asked of the database.
    assert world.calls == []
    world.listings["acme"] = ["a", "b"]
    driven.run("discovery", 1)
    driven.done("acme/b", 2)


def test_a_project_that_leaves_while_it_is_polled_is_not_polled_again(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    gate = world.gate("acme/b")
    driven = world.daemon(workspace())
    assert gate.began.wait(LONG)
    driven.discovered()
    world.listings["acme"] = ["a"]
    driven.run("discovery", 1)
    gate.through.set()
    driven.done("acme/b", 1)
    assert driven.due_in("acme/b") is None


def test_a_project_that_comes_back_while_it_is_still_polled_is_not_polled_twice_at_a_time(world: World) -> None:
    world.listings["acme"] = ["a", "b"]
    gate = world.gate("acme/b")
    driven = world.daemon(workspace())
    assert gate.began.wait(LONG)
    driven.discovered()
    for listing in (["a"], ["a", "b"]):
        world.listings["acme"] = listing
        driven.run("discovery", 1)
    driven.look()
    assert driven.due_in("acme/b") is None
    gate.through.set()
    driven.settle()
    assert world.polled.count("acme/b") == 2  # the listings have taken longer than its interval
    assert world.doubled == []


def test_a_project_that_leaves_while_it_waits_for_a_thread_is_not_polled(world: World) -> None:
    world.listings["acme"] = ["a", "b", "c"]
    gates = [world.gate("acme/a"), world.gate("acme/b")]
    driven = world.daemon(workspace(), concurrency=3)
    driven.discovered()
    driven.done("acme/c", 1)
    # Three threads: two are taken by polls, and one by the listing, while c is due.
    asked, answer = threading.Event(), threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert answer.wait(LONG)
        return ["a", "b"]

    world.listings["acme"] = listing
    driven.set_clock(timedelta(days=-1))  # has the workspace listed now
    driven.look()
    assert asked.wait(LONG)
    driven.advance(EVERY)
    answer.set()
    driven.discovered(2)
    for gate in gates:
        gate.through.set()
    driven.done("acme/c", 2)
    assert world.polled.count("acme/c") == 1


def test_an_empty_list_keeps_all_that_were_there(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    world.listings["acme"] = []
    driven.run("discovery", 1)
    assert "WARNING acme: the workspace lists no project any more; those that it had are polled on" in lines()
    assert sorted(driven.daemon.projects()) == ["acme/a", "acme/b"]
    assert driven.due_in("acme/a") == timedelta(hours=2)
    assert driven.due_in("discovery") == timedelta(hours=1)


def test_excluded_projects_are_not_polled(world: World) -> None:
    world.listings["acme"] = ["a", "scratch-1"]
    world.listings["down"] = FetchError(ErrorKind.SERVER, "HTTP 503")
    world.known["down"] = ["b", "scratch-2"]
    driven = world.daemon(workspace(exclude=("scratch-*",)), workspace(id="down", exclude=("scratch-*",)))
    driven.discovered()
    assert sorted(driven.daemon.projects()) == ["acme/a", "down/b"]


def test_a_project_that_is_named_never_leaves(world: World, lines: Callable[[], list[str]]) -> None:
    world.listings["acme"] = ["a", "b"]
    want = replace(workspace("named"), discover=True)
    driven = world.daemon(want, schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    world.listings["acme"] = ["a"]
    driven.run("discovery", 1)
    assert sorted(driven.daemon.projects()) == ["acme/a", "acme/named"]
    assert "acme/named" not in "".join(lines())


def test_a_workspace_that_can_not_be_listed_at_the_start_is_polled_as_the_database_knows_it(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = FetchError(ErrorKind.AUTH, "HTTP 401")
    world.known["acme"] = ["a", "b"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    driven.done("acme/b", 1)
    assert lines() == ["WARNING acme: its projects can't be listed (auth): HTTP 401"]
    assert driven.daemon.unlisted() == {"acme": ("auth", "HTTP 401")}
    assert driven.daemon.ready
    # It is asked again soon, and once it answers, each hour.
    assert driven.run("discovery", 1) == [timedelta(minutes=5)]
    lines()
    world.listings["acme"] = ["b", "c"]
    assert driven.run("discovery", 2) == [timedelta(minutes=5), timedelta(hours=1)]
    assert lines() == [
        "WARNING acme/a is no longer in its workspace: it is not polled any more, and its history is kept",
        "INFO acme/c: a new project, polled from now on",
    ]
    assert driven.daemon.unlisted() == {}
    driven.done("acme/c", 1)


def test_where_the_database_does_not_know_either_it_is_asked_again(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings |= {"acme": FetchError(ErrorKind.TIMEOUT, "too late"), "other": ["o"]}
    world.known["acme"] = DatabaseError("it is away")
    driven = world.daemon(workspace(), workspace(id="other"))
    driven.discovered()
    assert lines()[1] == "WARNING acme: nor can the database say which there were: it is away"
    assert list(driven.daemon.projects()) == ["other/o"]
    assert list(driven.daemon.unlisted()) == ["acme"]
    world.listings["acme"] = ["a"]
    assert driven.run("discovery", 1) == [timedelta(minutes=5)]
    assert sorted(driven.daemon.projects()) == ["acme/a", "other/o"]


def test_a_workspace_that_can_not_be_listed_later_keeps_its_projects(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=3)))
    driven.discovered()
    driven.done("acme/a", 1)
    world.listings["acme"] = FetchError(ErrorKind.SERVER, "HTTP 503")
    world.known["acme"] = ["never"]
    assert driven.run("discovery", 2) == [timedelta(hours=1), timedelta(minutes=5)]
    assert lines() == ["WARNING acme: its projects can't be listed (server): HTTP 503"] * 2
    assert list(driven.daemon.projects()) == ["acme/a"]
    assert driven.daemon.unlisted() == {}


def test_a_bug_in_a_listing_does_not_end_them(world: World) -> None:
    world.listings |= {"acme": ZeroDivisionError("nobody thought of that"), "other": ["o"]}
    driven = world.daemon(workspace(), workspace(id="other"))
    driven.discovered()
    assert driven.due_in("discovery") == timedelta(minutes=5)


def test_a_new_name_of_a_project_goes_with_its_next_poll(world: World) -> None:
    world.listings["acme"] = ["a"]
    driven = world.daemon(workspace(), schedule=Interval(timedelta(hours=1)))
    driven.discovered()
    driven.done("acme/a", 1)
    world.names["a"] = "A better one"
    driven.advance(timedelta(hours=1))
    driven.discovered(2)
    driven.done("acme/a", 2)
    driven.run("acme/a", 1)
    assert [task.name for task in world.jobs][-1] == "A better one"


# Old runs


def test_old_runs_are_deleted_at_the_start_and_each_day(world: World, lines: Callable[[], list[str]]) -> None:
    world.prunable = 2
    driven = world.daemon()
    driven.done("pruning", 1)
    assert lines() == ["INFO 2 old runs that changed nothing deleted"]
    assert driven.run("pruning", 2) == [timedelta(days=1)] * 2
    assert world.pruned == [START + timedelta(days=days - 30) for days in range(3)]


def test_where_the_database_is_away_old_runs_are_deleted_the_next_day(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.prune_error = DatabaseError("it is away")
    driven = world.daemon()
    driven.done("pruning", 1)
    assert lines() == ["WARNING old runs could not be deleted, which is tried again tomorrow: it is away"]
    assert driven.run("pruning", 1) == [timedelta(days=1)]


def test_a_bug_in_the_deletion_of_old_runs_does_not_end_it(world: World) -> None:
    world.prune_error = ZeroDivisionError("nobody thought of that")
    driven = world.daemon()
    driven.done("pruning", 1)
    assert driven.due_in("pruning") == timedelta(days=1)


def test_nothing_is_deleted_at_once_by_a_clock_that_leaps_into_the_future(world: World) -> None:
    driven = world.daemon()
    driven.done("pruning", 1)
    driven.set_clock(timedelta(days=365))
    driven.settle()
    assert world.pruned == [START - timedelta(days=30)]


# Its end


def test_it_stops_while_nothing_goes_on(world: World) -> None:
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    driven.daemon.stop()
    assert world.calls == ["cancel", "stop"]
    assert not driven.daemon.alive
    assert driven.daemon.next_run("acme/a") is None


def test_a_request_that_hangs_ends_when_it_is_cancelled(world: World) -> None:
    began = threading.Event()

    def hangs(_: SyncContext, task: SyncTask) -> Result:
        began.set()
        assert world.cancelled.wait(LONG)
        return Result(task.workspace, task.project, RunRow("abandoned"))

    world.acts["acme/a"] = [hangs]
    driven = world.daemon(workspace("a"))
    assert began.wait(LONG)
    driven.look()
    driven.daemon.stop()
    assert world.calls == ["cancel", "stop"]
    assert [result.outcome for result in world.ended] == ["abandoned"]
    assert driven.daemon.next_run("acme/a") is None


def test_a_transaction_is_interrupted_after_its_grace_as_often_as_need_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "_GRACE", 0.001)
    monkeypatch.setattr(daemon_module, "_AGAIN", 0.001)
    began = threading.Event()

    def writes(_: SyncContext, task: SyncTask) -> Result:
        began.set()
        for _round in range(3):
            assert world.interrupted.wait(LONG)
            world.interrupted.clear()
        return Result(task.workspace, task.project, RunRow("abandoned"))

    world.acts["acme/a"] = [writes]
    driven = world.daemon(workspace("a"))
    assert began.wait(LONG)
    driven.look()
    driven.daemon.stop()
    assert world.calls[:2] == ["cancel", "stop"]
    assert set(world.calls[2:]) == {"interrupt"}
    assert len(world.calls) >= 5
    assert len(world.ended) == 1


def test_it_may_be_stopped_while_a_poll_is_being_started(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    driven = world.daemon(workspace("a"))
    driven.done("acme/a", 1)
    driven.done("pruning", 1)
    driven.look()
    scheduler: Any = driven.daemon._scheduler
    executor = scheduler._executors["default"]
    stopping = threading.Thread(target=driven.daemon.stop)

    begun = threading.Event()

    def stop_instead(*_: object) -> None:
        stopping.start()
        begun.set()
        while scheduler.running:
            stopping.join(0.001)

    monkeypatch.setattr(executor, "submit_job", stop_instead)
    world.seconds += EVERY.total_seconds()
    world.now += EVERY
    scheduler.wakeup()
    assert begun.wait(LONG)
    stopping.join(LONG)
    assert raised == []


def test_what_waits_for_a_thread_is_not_begun_any_more(world: World) -> None:
    gate = world.gate("acme/a")
    driven = world.daemon(workspace("a", "b", "c"), concurrency=1)
    assert gate.began.wait(LONG)
    driven.look()
    gate._then = lambda _, task: Result(task.workspace, task.project, RunRow("abandoned"))
    threading.Thread(target=world.cancelled_then, args=(gate.through,)).start()
    driven.daemon.stop()
    assert world.polled == ["acme/a"]


def test_polls_that_are_not_begun_are_no_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gate = world.gate("acme/a")
    driven = world.daemon(workspace("a", "b", "c"), concurrency=1)
    assert gate.began.wait(LONG)
    driven.look()
    threading.Thread(target=world.cancelled_then, args=(gate.through,)).start()
    driven.daemon.stop()
    assert caplog.records == []


def test_a_listing_that_is_cancelled_is_no_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    asked = threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert world.cancelled.wait(LONG)
        raise Cancelled("asked to stop")

    world.listings["acme"] = listing
    driven = world.daemon(workspace())
    assert asked.wait(LONG)
    driven.look()
    driven.daemon.stop()
    assert caplog.records == []


# Its successor


def retire(old: Driven, new: Driven) -> threading.Thread:
    """In a thread, as the command does; returns when nothing more is begun."""
    old.look()
    thread = threading.Thread(target=old.daemon.retire, args=(new.daemon,))
    thread.start()
    while old.daemon._scheduler.running:
        thread.join(0.001)
    return thread


def test_what_is_known_goes_on_to_the_next_one(world: World) -> None:
    world.acts["acme/a"] = [GOOD, FAILED, FAILED]
    old = world.daemon(workspace("a", "gone"))
    old.done("acme/a", 1)
    old.done("acme/gone", 1)
    old.run("acme/a", 2)
    before = old.project("acme/a")
    new = world.daemon(workspace("a", "b"), previous=old, start=False)
    old.daemon.retire(new.daemon)
    assert not old.daemon.alive
    new.daemon.start()
    new.done("acme/b", 1)
    assert new.project("acme/a") == before
    assert sorted(new.daemon.projects()) == ["acme/a", "acme/b"]
    assert (before.failures, new.due_in("acme/a")) == (2, 2 * EVERY)
    world.acts["acme/a"] = [FAILED]
    assert new.run("acme/a", 1) == [2 * EVERY]
    assert new.due_in("acme/a") == 4 * EVERY


def test_another_schedule_begins_anew_and_the_last_success_stays(world: World) -> None:
    old = world.daemon(workspace("a"))
    old.done("acme/a", 1)
    old.advance(timedelta(minutes=1))
    new = world.daemon(workspace("a"), schedule=Interval(2 * EVERY), previous=old, start=False)
    old.daemon.retire(new.daemon)
    new.daemon.start()
    assert new.project("acme/a").succeeded in {START, START + timedelta(minutes=1)}
    new.done("acme/a", 1)
    assert new.due_in("acme/a") == 2 * EVERY


def test_a_poll_that_goes_on_is_waited_for_and_not_doubled(world: World) -> None:
    gate = world.gate("acme/a")
    old = world.daemon(workspace("a", "b"))
    assert gate.began.wait(LONG)
    old.done("acme/b", 1)
    new = world.daemon(workspace("a", "b"), previous=old, start=False)
    thread = retire(old, new)
    new.daemon.start()
    new.advance(timedelta(minutes=1))
    assert new.due_in("acme/a") is None
    assert world.polled.count("acme/a") == 1
    gate.through.set()
    thread.join(LONG)
    assert new.due_in("acme/a") == EVERY - timedelta(minutes=1)
    assert new.run("acme/a", 1) == [EVERY - timedelta(minutes=1)]
    assert world.doubled == []


def test_a_project_that_is_new_to_the_next_one_does_not_wait(world: World) -> None:
    gate = world.gate("acme/a")
    old = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    new = world.daemon(workspace("a", "b"), previous=old, start=False)
    thread = retire(old, new)
    new.daemon.start()
    new.done("acme/b", 1)
    gate.through.set()
    thread.join(LONG)


def test_how_a_poll_ends_that_was_waited_for_is_known_to_the_next_one(world: World) -> None:
    gate = world.gate("acme/a", FAILED)
    old = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    new = world.daemon(workspace("a"), previous=old, start=False)
    thread = retire(old, new)
    new.daemon.start()
    again = world.gate("acme/a")
    gate.through.set()
    thread.join(LONG)
    failures, due = new.project("acme/a").failures, new.due_in("acme/a")
    again.through.set()
    assert (failures, due) == (1, EVERY)


def test_a_poll_that_ends_before_the_retirement_has_begun_is_not_the_last_one(world: World) -> None:
    gate = world.gate("acme/a")
    old = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    new = world.daemon(workspace("a"), previous=old)
    gate.through.set()
    old.done("acme/a", 1)
    old.daemon.retire(new.daemon)
    assert new.due_in("acme/a") is not None


def test_what_is_due_before_the_retirement_has_begun_is_polled_by_one_of_the_two(world: World) -> None:
    old = world.daemon(workspace("a"))
    old.done("acme/a", 1)
    new = world.daemon(workspace("a"), previous=old)
    old.advance(EVERY)
    new.look()
    old.settle()
    new.settle()
    old.daemon.retire(new.daemon)
    assert world.polled.count("acme/a") == 2


def test_a_poll_that_goes_on_is_waited_for_over_two_successions(world: World) -> None:
    gate = world.gate("acme/a")
    first = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    second = world.daemon(workspace("a"), previous=first, start=False)
    thread = retire(first, second)
    second.daemon.start()
    third = world.daemon(workspace("a"), previous=second, start=False)
    second.daemon.retire(third.daemon)
    third.daemon.start()
    third.look()
    if third.due_in("acme/a") is None and not third.daemon._at_work:
        gate.through.set()
    else:
        third.done("acme/a", 1)
    doubled = list(world.doubled)
    gate.through.set()
    thread.join(LONG)
    assert doubled == []


def test_one_that_is_being_retired_can_be_stopped(world: World) -> None:
    began = threading.Event()

    def hangs(_: SyncContext, task: SyncTask) -> Result:
        began.set()
        assert world.cancelled.wait(LONG)
        return Result(task.workspace, task.project, RunRow("abandoned"))

    world.acts["acme/a"] = [hangs]
    old = world.daemon(workspace("a"))
    assert began.wait(LONG)
    new = world.daemon(workspace("a"), previous=old, start=False)
    thread = retire(old, new)
    try:
        old.daemon.stop()
    finally:
        world.cancelled.set()
        thread.join(LONG)


def test_a_long_life_is_one_poll_after_the_other(world: World) -> None:
    world.acts["acme/a"] = [GOOD, FAILED, FAILED, REFUSED, GOOD, bug, GOOD, ABANDONED] * 5
    driven = world.daemon(workspace("a"), jitter=timedelta(seconds=10))
    driven.done("acme/a", 1)
    driven.run("acme/a", 39)
    assert world.polled == ["acme/a"] * 40
    assert world.doubled == []
