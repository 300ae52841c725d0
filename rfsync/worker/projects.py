"""The projects that a worker fires the ticks of, and what it knows of them."""

import logging
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rfsync.daemon.plan import CurrentPlan, Plan
from rfsync.daemon.polled_project import Instant, should_log_error
from rfsync.daemon.polls import ProjectStatus
from rfsync.errors import ErrorKind
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.runs import RunRow
from rfsync.schedule import SharedSchedule, shared, stale_at
from rfsync.sync.result import Result
from rfsync.sync.task import SyncTask
from rfsync.worker.history import PollHistory


@dataclass(slots=True)
class SharedProject:
    """A project that this worker fires the ticks of."""

    task: SyncTask
    schedule: SharedSchedule
    #: Since when it is one, and when a tick of it may be due next, by the server's clock.
    added_at: datetime
    next_look: datetime
    #: It is due whatever its schedule says.
    insist: bool = False
    #: When its failure was last logged as an error, in seconds of the monotonic clock; None: it has not failed here.
    error_logged_at: float | None = None


class SharedProjects:
    """The projects of the plan in force, in this worker's memory; all that matters in the end is in the database.

    Args:
        now: this moment by both clocks, until the server's is known.
    """

    def __init__(self, current: CurrentPlan, now: Instant) -> None:
        self._current = current
        #: By workspace/project. Changed under the lock of ``current``, as is all that follows.
        self._projects: dict[str, SharedProject] = {}
        #: As the database had them when it last answered.
        self._histories: Mapping[ProjectPath, PollHistory] = {}
        #: Those whose last poll here has failed because of the database, as workspace/project.
        self._failed: set[str] = set()
        #: The server's clock when it was last read, and the monotonic clock then.
        self._server = now

    def reconfigure(self) -> None:
        """Applies a new plan; another schedule or key makes a project due at once."""
        with self._current.lock:
            plan = self._current.plan
            for key, project in list(self._projects.items()):
                task = plan.updated(project.task)
                if task is None:
                    self.remove(key)
                    continue
                schedule = shared(plan.schedule(task.workspace), key)
                if (schedule, task.key) != (project.schedule, project.task.key):
                    project.insist, project.next_look = True, self._server_now()
                project.task, project.schedule = task, schedule

    def add(self, tasks: Iterable[SyncTask]) -> None:
        """Fires the ticks of projects from now on."""
        with self._current.lock:
            plan, now = self._current.plan, self._server_now()
            for task in tasks:
                key = str(task)
                known = self._projects.get(key)
                if known is None:
                    schedule = shared(plan.schedule(task.workspace), key)
                    self._projects[key] = SharedProject(task, schedule, added_at=now, next_look=now)
                    continue
                known.task = task
                history = self._histories.get(task.path)
                if task.listed and history is not None and history.departed_at is not None:
                    known.next_look = now  # it is back: due at once

    def remove(self, key: str) -> None:
        """Fires the ticks of a project no more."""
        with self._current.lock:
            del self._projects[key]
            self._failed.discard(key)

    def retry_after_database_failure(self, *, but: Container[str]) -> set[str]:
        """Makes the projects due at once whose last poll here failed because of the database; see ``Polls``."""
        with self._current.lock:
            retried = {key for key in self._failed if key in self._projects and key not in but}
            for key in retried:
                self._projects[key].insist, self._projects[key].next_look = True, self._server_now()
            self._failed -= retried
            return retried

    def of_workspace(self, workspace: str) -> list[str]:
        """The projects of a workspace, as workspace/project."""
        with self._current.lock:
            return [key for key, project in self._projects.items() if project.task.workspace == workspace]

    def _server_now(self) -> datetime:
        """The time by the server's clock, which all workers share."""
        return self._server.wall + timedelta(seconds=time.monotonic() - self._server.monotonic)

    def _replace_renamed(self, key: str, new: ProjectPath, task: SyncTask) -> None:
        with self._current.lock:
            if key in self._projects:
                self.remove(key)
            if str(new) not in self._projects:
                own_key = self._current.plan.context.workspaces.key(new.workspace)
                self.add([SyncTask(*new, own_key or task.key)])

    def _note(self, key: str, task: SyncTask, result: Result) -> None:
        """Takes a result into account that the database does not tell."""
        with self._current.lock:
            if result.error_kind == ErrorKind.DATABASE:
                self._failed.add(key)
            else:
                self._failed.discard(key)
            if result.ok and key in self._projects:
                self._projects[key].error_logged_at = None
            if str(result) != key:
                self._replace_renamed(key, ProjectPath(result.workspace, result.project), task)
            if result.old is not None and str(result.old) in self._projects:
                self.remove(str(result.old))

    def _failure_level(self, task: SyncTask) -> int:
        with self._current.lock:
            project, monotonic = self._projects.get(str(task)), time.monotonic()
            if project is None or not should_log_error(project.error_logged_at, monotonic):
                return logging.WARNING
            project.error_logged_at = monotonic
            return logging.ERROR


def make_status(plan: Plan, project: SharedProject, history: PollHistory, now: datetime) -> ProjectStatus:
    """The state of a project, for health and metrics, by the server's clock."""
    task, success = project.task, history.succeeded
    last = None
    if history.outcome is not None:
        row = RunRow(history.outcome, error_kind=history.error_kind, error=history.error)
        last = Result(task.workspace, task.project, row)
    stale = stale_at(plan.schedule(task.workspace), success or project.added_at) + plan.jitter
    return ProjectStatus(
        task,
        is_running=history.is_running,
        is_stale=now >= stale,
        failures=history.failures,
        last=last,
        last_success=success,
        last_success_age=None if success is None else (now - success).total_seconds(),
        next_run=project.next_look,
    )
