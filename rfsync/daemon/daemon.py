"""The daemon: every project on its schedule, one job each, for as long as the process lives; wiring, not logic."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from rfsync.api.failures import describe_error
from rfsync.errors import Cancelled, DatabaseError, FetchError
from rfsync.schedule import Interval, Schedule, gap, stale_at
from rfsync.sync.run import sync
from rfsync.sync.targets import Selection, discover
from rfsync.sync.task import Result, SyncContext, SyncTask

log = logging.getLogger("rfsync.daemon")

#: How often each workspace is asked which projects it has, and how soon again where that failed.
_DISCOVERY: Final = timedelta(hours=1)
_DISCOVERY_AGAIN: Final = timedelta(minutes=5)
#: How far consecutive failures stretch a project's interval at most.
_STRETCH: Final = 12
#: A failure that lasts is told at the level of an error once in so many seconds.
ERROR_LOG_INTERVAL: Final = 3600.0
#: A clock that moves by more than this against the monotonic one was set.
CLOCK_JUMP: Final = timedelta(seconds=2)
#: A scheduler that has not started by then what was due hangs.
_OVERDUE: Final = timedelta(minutes=1)
#: When the daemon stops: seconds in which a transaction may still be committed, and between two interruptions then.
_GRACE: Final = 5.0
_AGAIN: Final = 0.05
#: How often old runs are deleted.
_PRUNING: Final = timedelta(days=1)
_DISCOVER: Final = "discovery"
_PRUNE: Final = "pruning"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be polled, and with what."""

    context: SyncContext
    wanted: Sequence[Selection]
    #: Of a workspace.
    schedule: Callable[[str], Schedule]
    #: A poll is up to that much later than it is due.
    jitter: timedelta
    #: Polls at once.
    concurrency: int
    #: How long runs that changed nothing are kept.
    keep_unchanged: timedelta
    #: Seconds that can't be set, as ``time.monotonic``.
    monotonic: Callable[[], float]
    #: Is told of each run that has ended.
    ended: Callable[[Result], None]


@dataclass(slots=True)
class Project:
    """A project that is polled; changed under the daemon's lock alone."""

    task: SyncTask
    schedule: Schedule
    #: When the next poll is due, by the time of day as it was then.
    due: datetime
    #: When it starts, by the monotonic clock as all that follow: up to the jitter later, or when a thread is free.
    starts_at: float
    #: From then on it is stale.
    stale_at: float
    #: None: not since the daemon was started.
    succeeded_at: float | None = None
    succeeded: datetime | None = None
    running: bool = False
    #: When its last poll began.
    began_at: float = 0.0
    #: Whether a poll is waited for that the daemon before has begun.
    awaited: bool = False
    #: Consecutive ones.
    failures: int = 0
    last: Result | None = None
    #: When its failure was last told at the level of an error.
    error_logged_at: float | None = None


class _Pool(BasePoolExecutor):  # type: ignore[misc]  # APScheduler 3 has no types
    """APScheduler's own, but for a pool that is ours to shut down."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__(pool)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # as above
    """APScheduler's own, but for what happens when it is shut down while it starts what is due."""

    def _process_jobs(self) -> float | None:
        try:
            seconds: float | None = super()._process_jobs()
        except JobLookupError:
            if self.running:
                raise
            return None  # the job that it was about to remove went with all the others
        return seconds


class Daemon:
    """Polls until it is stopped.

    A poll's successor is put on the schedule when it has ended: so there are never two of a project at a time, and
    however many were missed meanwhile, they are made up by one.

    Args:
        plan: what to do.
        previous: the daemon whose place this one takes; what it knows of projects goes on, and a poll that is going on
            there is waited for.
    """

    def __init__(self, plan: Plan, previous: Daemon | None = None) -> None:
        self._plan = replace(plan, context=replace(plan.context, failure_level=self._failure_level))
        self._previous = previous
        self._changed = threading.Condition(threading.RLock())
        self._projects: dict[str, Project] = {}
        #: Projects that are gone while they are still polled.
        self._left: dict[str, Project] = {}
        self._at_work = 0
        self._stopping = False
        self._successor: Daemon | None = None
        self._prunes_at = 0.0
        #: Workspaces that could not be listed yet: the kind of the failure, and why.
        self._unlisted: dict[str, tuple[str, str]] = {}
        self._discovered = not any(want.discover for want in plan.wanted)
        self._offset = self._time_since_monotonic()
        self._pool = ThreadPoolExecutor(plan.concurrency, thread_name_prefix="rfsync")
        self._scheduler: Any = _Scheduler(
            executors={"default": _Pool(self._pool)},
            # A late poll is late, never dropped. Two instances: a poll puts the next one on the schedule before
            # APScheduler has noticed that it is over.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 2},
            timezone=UTC,
        )

    # What others may ask and do

    def start(self) -> None:
        """Starts all polls, the first ones at once; the daemon before starts no more."""
        if self._previous is not None:
            self._previous.make_way(self)
        self._scheduler.start()
        for want in self._plan.wanted:
            self._join(SyncTask(want.workspace.id, project, want.key) for project in want.projects)
        if not self._discovered:
            self._at(_DISCOVER, self._discover, 0.0)
        self._at(_PRUNE, self._prune, 0.0)

    def tick(self) -> None:
        """To be called about once a second: notices that the clock was set, by which nothing or everything is due."""
        if self._discovered and self._previous is not None and self._previous.is_over:
            self._previous = None  # it has said all that it had to say
        offset = self._time_since_monotonic()
        jump = offset - self._offset
        self._offset = offset
        if abs(jump) <= CLOCK_JUMP:
            return
        log.warning("the clock was set by %+.0f s: polls go on as if it had not", jump.total_seconds())
        now, monotonic = self._plan.context.clock(), self._plan.monotonic()
        with self._changed:
            for key, project in self._projects.items():
                if self._scheduler.get_job(key) is None:
                    continue  # at work, or about to be
                if not isinstance(project.schedule, Interval) and project.starts_at > monotonic:
                    # A time of the schedule that the clock was set past is made up for.
                    self._due(project, now if project.due <= now else project.schedule.after(now))
                self._put(key, project)
            if self._scheduler.get_job(_DISCOVER) is not None:
                self._at(_DISCOVER, self._discover, 0.0)
            if self._scheduler.get_job(_PRUNE) is not None:
                self._at(_PRUNE, self._prune, self._prunes_at - monotonic)

    @property
    def alive(self) -> bool:
        """Whether polls are still being started: nothing is long overdue."""
        if self._stopping or not self._scheduler.running:
            return False
        latest = self._plan.context.clock() - _OVERDUE
        return all(job.next_run_time > latest for job in self._scheduler.get_jobs())

    @property
    def is_over(self) -> bool:
        """Whether no poll is going on, and none will be started."""
        return self._stopping and not self._at_work

    @property
    def ready(self) -> bool:
        """Whether it is known what is to be polled."""
        return self._discovered

    def projects(self) -> Mapping[str, Project]:
        """A copy of all that are polled, by workspace/project."""
        with self._changed:
            return {key: replace(project) for key, project in self._projects.items()}

    def age(self, project: Project) -> float | None:
        """Seconds since its last success; None: there was none since the daemon was started."""
        return None if project.succeeded_at is None else self._plan.monotonic() - project.succeeded_at

    def is_stale(self, project: Project) -> bool:
        """Whether its last success, or the daemon's start, is older than three of its intervals."""
        return self._plan.monotonic() >= project.stale_at

    def unlisted(self) -> Mapping[str, tuple[str, str]]:
        """Workspaces whose projects could not be found out so far: the kind of the failure, and why."""
        with self._changed:
            return dict(self._unlisted)

    def next_run(self, key: str) -> datetime | None:
        """When a project's next poll starts; None: now."""
        job = self._scheduler.get_job(key)
        return None if job is None else job.next_run_time

    def stop(self) -> None:
        """Ends within seconds: fetches at once, transactions when they are committed, or undone if that takes long."""
        self._end_schedule()
        self._plan.context.fetcher.cancel()
        self._plan.context.store.stop()
        with self._changed:
            seconds = _GRACE
            while not self._changed.wait_for(lambda: not self._at_work, seconds):
                self._plan.context.store.interrupt()
                seconds = _AGAIN
        self._pool.shutdown()

    def retire(self, successor: Daemon) -> None:
        """Starts no more polls, and returns when those at work have ended."""
        self.make_way(successor)
        self._pool.shutdown()

    def make_way(self, successor: Daemon) -> None:
        """Starts no more polls, and tells the next daemon how those at work end."""
        with self._changed:
            self._successor = successor
        self._end_schedule()

    def _end_schedule(self) -> None:
        with self._changed:
            self._stopping = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._pool.shutdown(wait=False)  # what waits for a thread finds that it is too late

    # Polls

    def _join(self, tasks: Iterable[SyncTask]) -> None:
        """Puts projects on the schedule, if they aren't."""
        plan, now = self._plan, self._plan.context.clock()
        with self._changed:
            for task in tasks:
                key = str(task)
                known = self._projects.get(key) or self._left.pop(key, None)
                if known is not None:
                    known.task = task  # it may have another name by now
                    self._projects[key] = known
                    continue
                if self._stopping:
                    continue
                schedule, monotonic = plan.schedule(task.workspace), plan.monotonic()
                stale_at = monotonic + self._until_stale(schedule, now)
                project = self._projects[key] = Project(task, schedule, now, monotonic, stale_at)
                if self._previous is None or not self._previous.hand_over(key, project):
                    self._put(key, project)

    def hand_over(self, key: str, project: Project) -> bool:
        """Tells a project of the next daemon what is known of it; whether it is polled at this moment."""
        with self._changed:
            old = self._projects.get(key)
            if old is None:
                return False
            _remember(old, project)
            project.awaited = old.running or old.awaited
            return project.awaited

    def take_over(self, key: str, old: Project) -> None:
        """The poll of a project that the daemon before had begun has ended, like this."""
        with self._changed:
            project, successor = self._projects.get(key), self._successor
            if project is not None:
                project.awaited = False
                _remember(old, project)
                if not self._stopping:
                    self._put(key, project)
        if successor is not None:
            successor.take_over(key, old)

    def _due(self, project: Project, moment: datetime) -> None:
        """Has a project's next poll be due at a moment; one that is past is now."""
        now, jitter = self._plan.context.clock(), random.random() * self._plan.jitter.total_seconds()  # noqa: S311
        project.due = max(moment, now)
        project.starts_at = self._plan.monotonic() + (project.due - now).total_seconds() + jitter

    def _put(self, key: str, project: Project) -> None:
        self._at(key, self._poll, project.starts_at - self._plan.monotonic(), key, project)

    def _at(self, name: str, function: Callable[..., None], seconds: float, *arguments: object) -> None:
        """Has something done so many seconds from now."""
        with self._changed:
            if not self._stopping:
                moment = self._plan.context.clock() + timedelta(seconds=seconds)
                self._scheduler.add_job(
                    function, "date", run_date=moment, args=arguments, id=name, name=name, replace_existing=True
                )

    def _poll(self, key: str, project: Project) -> None:
        with self._changed:
            if project.running or self._stopping or self._projects.get(key) is not project:
                return
            project.running = True
            project.began_at = self._plan.monotonic()
            self._at_work += 1
        result: Result | None = None
        try:
            result = sync(self._plan.context, project.task)
            self._plan.ended(result)
        except Exception:
            # A bug, in one project's answer perhaps: the others go on, and this one is tried again.
            log.exception("%s: this is a bug in rfsync, please report it", key)
        finally:
            with self._changed:
                project.running = False
                self._at_work -= 1
                self._note(project, result)
                self._changed.notify_all()
                self._left.pop(key, None)
                if self._projects.get(key) is project and not self._stopping:
                    self._put(key, project)
                successor = self._successor
            if successor is not None:
                successor.take_over(key, project)

    def _note(self, project: Project, result: Result | None) -> None:
        """What a run's end means for the next one."""
        now, monotonic = self._plan.context.clock(), self._plan.monotonic()
        project.last = result
        if result is not None and result.ok:
            project.failures = 0
            project.error_logged_at = None
            project.succeeded, project.succeeded_at = now, monotonic
            project.stale_at = monotonic + self._until_stale(project.schedule, now)
        elif result is None or result.outcome == "failed":
            project.failures += 1
        stretch = min(2 ** max(project.failures - 1, 0), _STRETCH)
        if stretch > 1:
            self._due(project, project.schedule.after(now + (stretch - 1) * gap(project.schedule, now)))
            return
        # From when this poll was due. Where the clock was set back meanwhile, that is nonsense; where it has only lost
        # a little, it is not, and to go by the clock would be to poll once more for the same time of the schedule.
        due = project.schedule.after(project.due if project.due <= now + CLOCK_JUMP else now)
        began = now - timedelta(seconds=monotonic - project.began_at)
        # What had become due before this poll began was made up for by it; what did since, is by the next one, at once.
        self._due(project, due if due > began else project.schedule.after(began))

    def _until_stale(self, schedule: Schedule, now: datetime) -> float:
        return (stale_at(schedule, now) + self._plan.jitter - now).total_seconds()

    def _failure_level(self, task: SyncTask) -> int:
        monotonic = self._plan.monotonic()
        with self._changed:
            project = self._projects.get(str(task))
            if project is None or (
                project.error_logged_at is not None and monotonic - project.error_logged_at < ERROR_LOG_INTERVAL
            ):
                return logging.WARNING
            project.error_logged_at = monotonic
            return logging.ERROR

    @contextmanager
    def _at_work_on(self) -> Iterator[None]:
        """What is done inside is waited for when the daemon stops."""
        with self._changed:
            self._at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    # Discovery

    def _discover(self) -> None:
        failed = True
        with self._at_work_on():
            if self._stopping:
                return
            try:
                failed = any([not self._discover_one(want) for want in self._plan.wanted if want.discover])  # noqa: C419 all of them
            except Cancelled:
                return  # the daemon stops
            except Exception:
                log.exception("this is a bug in rfsync, please report it")
        self._discovered = True
        self._at(_DISCOVER, self._discover, (_DISCOVERY_AGAIN if failed else _DISCOVERY).total_seconds())

    def _prune(self) -> None:
        with self._at_work_on():
            if self._stopping:
                return
            try:
                deleted = self._plan.context.store.prune(self._plan.context.clock() - self._plan.keep_unchanged)
                if deleted:
                    log.info("%d old runs that changed nothing deleted", deleted)
            except Cancelled:
                return  # the daemon stops
            except DatabaseError as error:
                log.warning("old runs could not be deleted, which is tried again tomorrow: %s", error)
            except Exception:
                log.exception("this is a bug in rfsync, please report it")
        self._prunes_at = self._plan.monotonic() + _PRUNING.total_seconds()
        self._at(_PRUNE, self._prune, _PRUNING.total_seconds())

    def _discover_one(self, want: Selection) -> bool:
        """Brings the schedule in line with the projects that a workspace has; whether they could be found out."""
        workspace, context = want.workspace.id, self._plan.context
        try:
            tasks = discover(want.workspace, want.key, context.fetcher)
        except FetchError as error:
            text = describe_error(error, context.redact)
            log.warning("%s: its projects can't be listed (%s): %s", workspace, error.kind, text)
            with self._changed:
                first = not any(p.task.workspace == workspace for p in self._projects.values())
                if first:
                    self._unlisted[workspace] = (str(error.kind), text)
            if first:
                self._join_known(want)
            return False
        with self._changed:
            self._unlisted.pop(workspace, None)
            there = {str(task) for task in tasks} | {f"{workspace}/{project}" for project in want.projects}
            known = [key for key, project in self._projects.items() if project.task.workspace == workspace]
            if known and not tasks:
                log.warning("%s: the workspace lists no project any more; those that it had are polled on", workspace)
                return True
            for key in known:
                if key not in there:
                    self._leave(key)
            for task in tasks:
                if known and str(task) not in self._projects:
                    log.info("%s: a new project, polled from now on", task)
        self._join(tasks)
        return True

    def _join_known(self, want: Selection) -> None:
        """What was synced before stands in for a workspace that can't be asked."""
        workspace = want.workspace
        try:
            known = self._plan.context.store.known_projects(workspace.id)
        except DatabaseError as error:
            log.warning("%s: nor can the database say which there were: %s", workspace.id, error)
            return
        self._join(SyncTask(workspace.id, project, want.key) for project in known if not workspace.excludes(project))

    def _leave(self, key: str) -> None:
        log.warning("%s is no longer in its workspace: it is not polled any more, and its history is kept", key)
        project = self._projects.pop(key)
        if project.running:
            self._left[key] = project
        if self._scheduler.get_job(key) is not None:
            self._scheduler.remove_job(key)

    def _time_since_monotonic(self) -> timedelta:
        """The time of day less the monotonic clock: stays the same until the former is set."""
        now = self._plan.context.clock() - datetime(1970, 1, 1, tzinfo=UTC)
        return now - timedelta(seconds=self._plan.monotonic())


def _remember(old: Project, new: Project) -> None:
    """Has the next daemon's project go on from what is known of it."""
    if old.schedule == new.schedule and old.task.key == new.task.key:
        new.due, new.starts_at, new.stale_at = old.due, old.starts_at, old.stale_at
    new.succeeded_at, new.succeeded, new.began_at = old.succeeded_at, old.succeeded, old.began_at
    new.failures, new.last, new.error_logged_at = old.failures, old.last, old.error_logged_at
