"""The daemon without HTTP, database and waiting: the real APScheduler, by a clock that the test controls."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED

from rfsync.api.client import Response
from rfsync.config import RemovalsConfig, WorkspaceConfig
from rfsync.daemon import polls
from rfsync.daemon.daemon import Daemon
from rfsync.daemon.plan import Plan
from rfsync.daemon.polls import ProjectStatus
from rfsync.errors import DatabaseError
from rfsync.ledger.projects import KnownProject
from rfsync.ledger.runs import RunRow
from rfsync.ledger.store import Store
from rfsync.redaction import Secret
from rfsync.schedule import Interval, Schedule
from rfsync.sync.result import Result
from rfsync.sync.targets import Selection, make_workspaces
from rfsync.sync.task import SyncContext, SyncTask

KEY = Secret("key")
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVERY = timedelta(minutes=5)
NOW = timedelta(0)
EACH_FIVE = Interval(EVERY)
#: Timeout in seconds for what happens at once; no result depends on it.
LONG = 60.0

Act = Callable[[SyncContext, SyncTask], Result]


def ends(outcome: str, kind: str | None = None) -> Act:
    """A poll with this outcome."""
    return lambda _, task: Result(
        task.workspace, task.project, RunRow(outcome, error_kind=kind, error=kind and "it broke"), 1
    )


GOOD, FAILED, REFUSED, ABANDONED = ends("unchanged"), ends("failed", "server"), ends("refused"), ends("abandoned")
NO_DATABASE = ends("failed", "database")


def bug(_: SyncContext, __: SyncTask) -> Result:
    """A poll that hits a bug."""
    raise ZeroDivisionError("nobody thought of that")


class Gate:
    """A poll that goes on until the gate is opened."""

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
        #: Seconds by which both clocks advance whenever one of them is read.
        self.creep = 0.0
        #: Calls of fetcher and store that start and end their use.
        self.calls: list[str] = []
        self.cancelled, self.interrupted = threading.Event(), threading.Event()
        #: The projects of each workspace.
        self.listings: dict[str, Sequence[str] | Exception | Callable[[], Sequence[str]]] = {}
        self.names: dict[str, str] = {}
        self.pruned: list[datetime] = []
        self.prune_error: Exception | None = None
        self.prunable = 0
        #: The database does not answer.
        self.is_away = False
        self.pings = 0
        self.listed = Counter[str]()
        self.known: dict[str, list[str] | Exception] = {}
        #: Of the known ones, those that were never observed.
        self.unobserved: set[str] = set()
        #: What the next polls of each project do; without one they succeed.
        self.acts: dict[str, list[Act]] = {}
        self.tasks: list[SyncTask] = []
        #: The context of each task.
        self.contexts: list[SyncContext] = []
        #: Projects of which two polls ran at a time.
        self.doubled: list[str] = []
        self.ended: list[Result] = []
        self.driver: list[Driver] = []
        self.gates: list[Gate] = []
        self._busy: set[str] = set()
        self._guard = threading.Lock()

    # Fetcher, store and clocks

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

    def of_workspace(self, workspace: str) -> list[KnownProject]:
        known = self.known.get(workspace, [])
        if isinstance(known, Exception):
            raise known
        return [KnownProject(project, observed=project not in self.unobserved) for project in known]

    @property
    def projects(self) -> World:
        """What the database knows of them."""
        return self

    def abandon_dead_runs(self, at: datetime) -> int:
        self.calls.append("abandon")
        return 0

    def ping(self) -> None:
        self.pings += 1
        if self.is_away:
            raise DatabaseError("it is away")

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
        """Stands in for ``rfsync.sync.run.sync``."""
        key = str(task)
        with self._guard:
            self.tasks.append(task)
            self.contexts.append(context)
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

    # For the test

    @property
    def polled(self) -> list[str]:
        """All polls so far, by workspace/project."""
        return [str(task) for task in self.tasks]

    def cancelled_then(self, event: threading.Event) -> None:
        assert self.cancelled.wait(LONG)
        event.set()

    def gate(self, key: str, then: Act = GOOD) -> Gate:
        """Has the next poll without an act go on until the gate is opened."""
        gate = Gate(then)
        self.gates.append(gate)
        self.acts.setdefault(key, []).append(gate)
        return gate

    def plan(
        self,
        *selections: Selection,
        schedule: Schedule | Callable[[str], Schedule] = EACH_FIVE,
        jitter: timedelta = NOW,
        concurrency: int = 4,
    ) -> Plan:
        workspaces = make_workspaces(selections, self)
        store = cast("Store", self)
        context = SyncContext(self, workspaces, store, RemovalsConfig(), self.clock, str, trigger="schedule")
        schedules = schedule if callable(schedule) else lambda _: schedule
        return Plan(context, selections, schedules, jitter, concurrency, timedelta(days=30))

    def daemon(self, *selections: Selection, **settings: Any) -> Driver:
        """A daemon that has been started; the settings are those of ``plan``."""
        plan = self.plan(*selections, **settings)
        driver = Driver(self, Daemon(plan, self.clock, self.monotonic, self.ended.append), plan)
        self.driver.append(driver)
        driver.daemon.start()
        return driver

    def close(self) -> None:
        for gate in self.gates:
            gate.through.set()
        self.cancelled.set()
        self.interrupted.set()
        for driver in self.driver:
            if driver.scheduler.running:
                driver.settle()
                driver.daemon.stop()


class Driver:
    """A daemon under test, with the calls that its timetable has made."""

    def __init__(self, world: World, daemon: Daemon, plan: Plan) -> None:
        self.world, self.daemon, self.plan = world, daemon, plan
        self.scheduler: Any = daemon._timetable._scheduler
        self._finished = Counter[str]()
        self._changed = threading.Condition()
        self.scheduler.add_listener(self._note, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)

    def _note(self, event: Any) -> None:
        with self._changed:
            self._finished[event.job_id] += 1
            self._changed.notify_all()

    def done(self, key: str, times: int) -> None:
        """Waits until exactly so many of its polls have ended, and the next one is on the timetable."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._finished[key] >= times, LONG), key
            assert self._finished[key] == times

    def discovered(self, times: int = 1) -> None:
        self.done("discovery", times)

    def advance(self, by: timedelta) -> None:
        """Advances both clocks, and starts what is due then."""
        self.world.seconds += by.total_seconds()
        self.world.now += by  # last, since the scheduler follows it
        self.look()

    def look(self) -> None:
        """Starts what is due, as the scheduler does when it wakes up."""
        self.scheduler._process_jobs()

    def settle(self) -> None:
        """Waits until nothing runs and nothing is due."""
        submitted = self.scheduler._executors["default"]._instances
        store = self.scheduler._jobstores["default"]

        def is_settled() -> bool:
            # Without the scheduler's lock, which the notifying thread may hold. In this order, since jobs go from the
            # store to the executor.
            due = [job for job in store.get_all_jobs() if job.next_run_time <= self.world.now]
            return not due and not any(list(submitted.values()))

        with self._changed:
            assert self._changed.wait_for(is_settled, LONG)
        self.look()

    def settle_others(self, *names: str) -> None:
        """Waits until nothing runs but these."""
        submitted = self.scheduler._executors["default"]._instances
        with self._changed:
            assert self._changed.wait_for(lambda: not submitted.keys() - set(names), LONG)

    def await_calls(self, key: str, times: int) -> None:
        """Waits until a project's entries on the timetable were called that often, whether or not they polled."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._finished[key] >= times, LONG), key

    def set_clock(self, by: timedelta) -> None:
        """Changes the wall clock, and has the daemon notice it before the scheduler happens to wake up."""
        with self.daemon._current.lock, self.scheduler._jobstores_lock:
            self.world.now += by
            self.daemon.tick()

    def due_in(self, key: str) -> timedelta | None:
        """None: it is not on the schedule."""
        moment = self.next_run(key)
        return None if moment is None else moment - self.world.now

    def next_run(self, name: str) -> datetime | None:
        """None: it is not on the schedule."""
        return self.daemon._timetable.next_run(name)

    def reconfigure(self, *selections: Selection, **settings: Any) -> None:
        """Has the daemon go on with another plan."""
        self.plan = self.world.plan(*selections, **settings)
        self.daemon.reconfigure(self.plan)

    def project(self, key: str) -> ProjectStatus:
        return self.daemon.projects()[key]

    def run(self, key: str, times: int) -> list[timedelta]:
        """Runs so many polls when they are due; returns how long each was waited for."""
        waits = []
        for _ in range(times):
            wait = self.due_in(key)
            assert wait is not None
            waits.append(wait)
            count = self._finished[key]
            self.advance(wait)
            self.done(key, count + 1)
        return waits


def workspace(*projects: str, id: str = "acme", exclude: tuple[str, ...] = (), key: Secret = KEY) -> Selection:  # noqa: A002
    """A workspace with these projects, or with discovery if none is named."""
    return Selection(WorkspaceConfig(id=id, exclude=exclude), key, projects, discover=not projects)


def minutes(*numbers: float) -> list[timedelta]:
    return [timedelta(minutes=number) for number in numbers]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr(polls, "sync", world.sync)
    clock = SimpleNamespace(now=lambda zone: world.now.astimezone(zone))  # noqa: PLW0108 of that moment
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", clock)
    yield world
    world.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """All log lines since the last call, from level info on."""
    caplog.set_level(logging.INFO, "rfsync")

    def take() -> list[str]:
        taken = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
        caplog.clear()
        return taken

    return take
