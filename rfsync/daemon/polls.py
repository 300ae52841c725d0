"""The polls: each project is either on the timetable or being polled, never both."""

import logging
import random
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeAlias

from rfsync.daemon.plan import CurrentPlan, Plan
from rfsync.daemon.polled_project import Instant, Poll, PolledProject
from rfsync.daemon.timetable import Timetable
from rfsync.errors import ErrorKind
from rfsync.sync.bugs import BUG
from rfsync.sync.result import Result
from rfsync.sync.run import sync
from rfsync.sync.task import SyncTask

log = logging.getLogger("rfsync.daemon")


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """The state of a project, for health and metrics."""

    task: SyncTask
    is_running: bool
    is_stale: bool
    #: Consecutive failures.
    failures: int
    #: How its last poll ended; None: none has ended, or the last one hit a bug.
    last: Result | None
    #: When its last success ended; None: none since the daemon was started.
    last_success: datetime | None
    #: The same in seconds from now.
    last_success_age: float | None
    #: When the next poll starts; None: now.
    next_run: datetime | None


class Poller(Protocol):
    """Polls the projects of the plan in force: ``Polls``, or a worker's part of it."""

    def begin(self) -> None:
        """Begins to follow the plan in force.

        Raises:
            ThreadError: the system starts no thread for it.
        """

    def stop(self) -> None:
        """Begins no more polls."""

    @property
    def is_alive(self) -> bool:
        """True while polls are begun, as far as that is not the timetable's part."""

    def may_prune(self) -> bool:
        """Tells whether old runs are to be deleted by this process now.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: the process stops.
        """

    def reconfigure(self) -> None:
        """Applies a new plan."""

    def add(self, tasks: Iterable[SyncTask]) -> None:
        """Polls projects that are not polled yet."""

    def remove(self, key: str) -> None:
        """Polls a project no more."""

    def retry_after_database_failure(self, *, but: Container[str]) -> set[str]:
        """Makes the projects due at once whose last poll failed because of the database, and returns them."""

    def after_clock_change(self) -> None:
        """Brings the timetable in line with a wall clock that was changed."""

    def of_workspace(self, workspace: str) -> list[str]:
        """The projects of a workspace, as workspace/project."""

    def statuses(self) -> Mapping[str, ProjectStatus]:
        """All projects but those that have departed, by workspace/project."""


class Polls:
    """Polls the projects of the plan in force.

    A poll's successor goes on the timetable when the poll has ended. So there are never two of a project at a time,
    and however many were missed meanwhile, one makes up for them.

    Args:
        now: gives this moment by both clocks.
        on_result: called with the result of each poll.
    """

    def __init__(
        self,
        current: CurrentPlan,
        timetable: Timetable,
        now: Callable[[], Instant],
        on_result: Callable[[Result], None],
    ) -> None:
        self._current = current
        self._timetable = timetable
        self._now = now
        self._on_result = on_result
        #: By workspace/project. Changed under the lock of ``current``, as is the next.
        self._projects: dict[str, PolledProject] = {}
        #: Those that are going on, also of projects that were removed meanwhile.
        self._running: dict[str, Poll] = {}

    def begin(self) -> None:
        """Nothing: all polls are on the timetable."""

    def stop(self) -> None:
        """Nothing, as above."""

    @property
    def is_alive(self) -> bool:
        """True: all of it is the timetable's part."""
        return True

    def may_prune(self) -> bool:
        """True: there is one daemon."""
        return True

    def reconfigure(self) -> None:
        """Applies a new plan. Projects keep their state; another schedule or key makes them due at once."""
        with self._current.lock:
            plan, now = self._current.plan, self._now()
            for key, project in list(self._projects.items()):
                task = plan.updated(project.task)
                if task is None:
                    self.remove(key)
                    continue
                self._projects[key] = project.reconfigured(task, plan.schedule(task.workspace), plan.jitter, now)
                if key not in self._running:
                    self._put(key)

    def add(self, tasks: Iterable[SyncTask]) -> None:
        """Polls projects at once that are not polled yet; of the others only the name changes."""
        with self._current.lock:
            plan, now = self._current.plan, self._now()
            for task in tasks:
                key = str(task)
                known, running = self._projects.get(key), self._running.get(key)
                if known is not None and task.listed and known.last is not None and known.last.departed:
                    # It is back: due at once.
                    self._projects[key] = PolledProject.new(task, plan.schedule(task.workspace), plan.jitter, now)
                    if running is None:
                        self._put(key)
                elif known is not None:
                    self._projects[key] = replace(known, task=task)
                elif running is not None:  # it was removed, and is back before its poll has ended
                    schedule = plan.schedule(task.workspace)
                    self._projects[key] = running.project.reconfigured(task, schedule, plan.jitter, now)
                else:
                    self._projects[key] = PolledProject.new(task, plan.schedule(task.workspace), plan.jitter, now)
                    self._put(key)

    def remove(self, key: str) -> None:
        """Polls a project no more; a poll that is going on ends as it would."""
        with self._current.lock:
            del self._projects[key]
            self._timetable.remove(key)

    def retry_after_database_failure(self, *, but: Container[str]) -> set[str]:
        """Makes the projects due at once whose last poll failed because of the database, and returns them.

        Args:
            but: not these, as workspace/project.
        """
        retried = set()
        with self._current.lock:
            now = self._now()
            for key, project in self._projects.items():
                failed = project.last is not None and project.last.error_kind == ErrorKind.DATABASE
                if failed and key not in self._running and key not in but:
                    self._projects[key] = replace(project, due=now.wall, starts_at=now.monotonic)
                    self._put(key)
                    retried.add(key)
        return retried

    def after_clock_change(self) -> None:
        """Brings the timetable in line with a wall clock that was changed."""
        with self._current.lock:
            for key, project in self._projects.items():
                if self._timetable.next_run(key) is not None:
                    self._projects[key] = project.after_clock_change(self._now(), self._random_delay())
                    self._put(key)

    def of_workspace(self, workspace: str) -> list[str]:
        """The projects of a workspace, as workspace/project."""
        with self._current.lock:
            return [key for key, project in self._projects.items() if project.task.workspace == workspace]

    def statuses(self) -> Mapping[str, ProjectStatus]:
        """All projects but those that have departed, by workspace/project."""
        with self._current.lock:
            now = self._now()
            return {
                key: self._status(key, project, now.monotonic)
                for key, project in self._projects.items()
                if project.last is None or not project.last.departed
            }

    def _status(self, key: str, project: PolledProject, monotonic: float) -> ProjectStatus:
        success = project.succeeded
        return ProjectStatus(
            project.task,
            is_running=key in self._running,
            is_stale=project.is_stale(monotonic),
            failures=project.failures,
            last=project.last,
            last_success=None if success is None else success.wall,
            last_success_age=None if success is None else monotonic - success.monotonic,
            next_run=self._timetable.next_run(key),
        )

    def _put(self, key: str) -> None:
        starts_at = self._projects[key].starts_at
        self._timetable.put(key, starts_at - self._now().monotonic, self._poll, key, starts_at)

    def _poll(self, key: str, starts_at: float) -> None:
        with self._current.working() as plan:
            poll = self._begin(plan, key, starts_at)
            if poll is None:
                return
            result: Result | None = None
            try:
                workspaces = plan.context.workspaces.renewed()
                context = replace(plan.context, workspaces=workspaces, failure_level=self._failure_level)
                result = sync(context, poll.project.task)
            except Exception:
                log.exception("%s: %s", key, BUG)
            finally:
                self._end(key, poll, result)
            if result is not None and not result.skipped:
                self._tell(key, result)

    def _tell(self, key: str, result: Result) -> None:
        try:
            self._on_result(result)
        except Exception:
            # A bug in what is done with a result: those of the run itself are in the result.
            log.exception("%s: %s", key, BUG)

    def _begin(self, plan: Plan, key: str, starts_at: float) -> Poll | None:
        """None: the entry of the timetable went out of date while it waited for a thread."""
        with self._current.lock:
            project = self._projects.get(key)
            if project is None or project.starts_at != starts_at or key in self._running:
                return None
            if not self._current.is_current(plan):
                return None
            self._running[key] = poll = Poll(project, self._now().monotonic)
            return poll

    def _end(self, key: str, poll: Poll, result: Result | None) -> None:
        with self._current.lock:
            del self._running[key]
            project = self._projects.get(key)
            if project is not None:
                if project.task is poll.project.task:
                    # A listing counts for one poll: the project may be renamed or gone before the next one.
                    project = replace(project, task=replace(project.task, listed=False))
                self._projects[key] = project.after_poll(poll, result, self._now(), self._random_delay())
                self._put(key)
                if result is not None:
                    self._follow(key, result)

    def _follow(self, key: str, result: Result) -> None:
        """Polls a project under its new id alone."""
        task, new = self._projects[key].task, str(result)
        for former in {key, str(result.old)} - {new}:
            if former in self._projects:
                self.remove(former)
        if new not in self._projects:
            own_key = self._current.plan.context.workspaces.key(result.workspace)
            self.add([SyncTask(result.workspace, result.project, own_key or task.key)])

    def _failure_level(self, task: SyncTask) -> int:
        with self._current.lock:
            project, monotonic = self._projects.get(str(task)), self._now().monotonic
            if project is None or not project.should_log_error(monotonic):
                return logging.WARNING
            self._projects[str(task)] = replace(project, error_logged_at=monotonic)
            return logging.ERROR

    def _random_delay(self) -> float:
        return random.random() * self._current.plan.jitter.total_seconds()  # noqa: S311 it guards nothing


#: Makes what polls: of the plan in force, a timetable, a function that gives this moment by both clocks, and one to be
#: called with the result of each poll.
MakePoller: TypeAlias = Callable[[CurrentPlan, Timetable, Callable[[], Instant], Callable[[Result], None]], Poller]
