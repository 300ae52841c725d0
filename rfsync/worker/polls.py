"""The polls that all workers share: each tick of a project is fired once, and each poll is done by one of them."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from rfsync.daemon.plan import CurrentPlan, Plan
from rfsync.daemon.policy import CLOCK_JUMP, due_tick, tick_delay
from rfsync.daemon.polled_project import Instant, should_log_error
from rfsync.daemon.polls import ProjectStatus
from rfsync.daemon.timetable import Timetable
from rfsync.errors import Cancelled, DatabaseError, ErrorKind
from rfsync.ledger.projects import ProjectPath
from rfsync.sync.bugs import BUG
from rfsync.sync.result import Result
from rfsync.sync.run import sync
from rfsync.sync.task import SyncTask
from rfsync.worker.history import NO_HISTORY, Histories, PollHistory, read_histories
from rfsync.worker.projects import SharedProject, SharedProjects, make_status
from rfsync.worker.queue import HEARTBEAT, POLL, Queue, periodic_id
from rfsync.worker.rescue import GONE_AFTER, claim_tick, forget_ticks

log = logging.getLogger("rfsync.worker")

#: How often it is looked for ticks that are due, and for polls that nobody works on, in seconds.
TICK_INTERVAL: Final = 1.0
RESCUE_INTERVAL: Final = 10.0
#: Threads of the timetable for that, for discovery, pruning and the database; no poll runs in them.
THREADS: Final = 5
#: Projects that are looked at in one statement.
_AT_ONCE: Final = 100
#: Until it is looked again at a project that could not be looked at.
_BUG_PAUSE: Final = timedelta(minutes=1)
#: A tick that none has followed is forgotten after this.
_MONTH: Final = timedelta(days=30)
#: On the timetable, where projects have names with a slash; the last is the name of the claim, too.
_TICKS: Final = "ticks"
_RESCUE: Final = "rescue"
_PRUNING: Final = "rfsync.prune"


class SharedPolls(SharedProjects):
    """Stands in for ``daemon.polls.Polls``, with the same methods, where several workers poll as one.

    What is known of a project's polls is in the database, and each worker decides by the same policy which ticks are
    due; the queue sees to it that a tick fires once, and that a poll is done by one of them.

    Args:
        now: gives this moment by both clocks.
        on_result: called with the result of each poll that this worker does.
        gone_after: after which a worker without a sign of life is gone.
        heartbeat: how often this one gives a sign of life, in seconds.
    """

    def __init__(
        self,
        current: CurrentPlan,
        timetable: Timetable,
        now: Callable[[], Instant],
        on_result: Callable[[Result], None],
        *,
        gone_after: timedelta = GONE_AFTER,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        super().__init__(current, now())
        self._timetable = timetable
        self._on_result = on_result
        self._make_queue = partial(Queue, gone_after=gone_after, heartbeat=heartbeat)
        self._rescue_interval = min(RESCUE_INTERVAL, gone_after.total_seconds() / 5)
        self._queue: Queue
        self._plan: Plan | None = None
        self._error_logged_at: float | None = None

    @property
    def is_alive(self) -> bool:
        """True while this worker is in the queue, or about to join it again."""
        return self._plan is not None and self._queue.is_alive

    def begin(self) -> None:
        """Follows the plan in force, with a queue of its own.

        Raises:
            ThreadError: the system starts no thread for it.
        """
        with self._current.lock:
            plan, old = self._current.plan, self._plan
            if plan is not old:
                queue = self._make_queue(plan.context.store, plan.concurrency, self._poll)
                queue.start(self._hold)
                if old is not None:
                    self._queue.stop()
                self._queue, self._plan = queue, plan
            self._timetable.put(_TICKS, 0.0, self._fire_ticks)
            self._timetable.put(_RESCUE, 0.0, self._rescue)

    def stop(self) -> None:
        """Takes no more polls from the queue."""
        with self._current.lock:
            if self._plan is not None:
                self._queue.stop()

    def may_prune(self) -> bool:
        """Takes the pruning of a day on, which one worker does for all; False: another one has.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: the worker stops.
        """
        now = self._server_now()
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        transact = self._current.plan.context.store.transact
        if not transact("claiming the day's pruning", lambda connection: claim_tick(connection, _PRUNING, day)):
            return False
        transact("forgetting old ticks", lambda connection: forget_ticks(connection, POLL, now - _MONTH))
        return True

    def after_clock_change(self) -> None:
        """Goes on at once, by the server's clock."""
        with self._current.lock:
            for name, function in ((_TICKS, self._fire_ticks), (_RESCUE, self._rescue)):
                if self._timetable.next_run(name) is not None:
                    self._timetable.put(name, 0.0, function)

    def statuses(self) -> Mapping[str, ProjectStatus]:
        """All projects but those that have departed, by workspace/project, as the database has them.

        While it does not answer, they are as they were when it last did.
        """
        with self._current.lock:
            plan, paths = self._current.plan, [project.task.path for project in self._projects.values()]
        try:
            found = self._read(plan, paths, retry=False)
            with self._current.lock:
                self._histories = found.histories
        except (Cancelled, DatabaseError) as error:
            log.debug("%s", error)
        with self._current.lock:
            now = self._server_now()
            known = ((key, one, self._histories.get(one.task.path, NO_HISTORY)) for key, one in self._projects.items())
            return {
                key: make_status(plan, project, history, now)
                for key, project, history in known
                if history.departed_at is None
            }

    # Ticks

    def _fire_ticks(self) -> None:
        with self._current.working() as plan:
            try:
                if self._current.is_current(plan):
                    self._fire_due(plan)
                    self._error_logged_at = None
            except Cancelled:
                log.debug("the worker stops, or follows another plan")
            except DatabaseError as error:
                if should_log_error(self._error_logged_at, time.monotonic()):
                    self._error_logged_at = time.monotonic()
                    log.error("no polls can be put into the queue: %s", error)  # noqa: TRY400
            except Exception:
                log.exception(BUG)
            with self._current.lock:
                if self._current.is_current(plan):
                    self._timetable.put(_TICKS, TICK_INTERVAL, self._fire_ticks)

    def _fire_due(self, plan: Plan) -> None:
        with self._current.lock:
            now = self._server_now()
            due = [(key, project) for key, project in self._projects.items() if project.next_look <= now]
        # Not in the same order as the others: what they have fired meanwhile is left out.
        random.shuffle(due)
        for start in range(0, max(len(due), 1), _AT_ONCE):
            some = due[start : start + _AT_ONCE]
            found = self._read(plan, [project.task.path for _, project in some])
            for key, project in some:
                if not self._current.is_current(plan):
                    return
                try:
                    self._fire(plan, key, project, found)
                except (Cancelled, DatabaseError):
                    raise
                except Exception:  # the others are due nevertheless
                    log.exception("%s: %s", key, BUG)
                    with self._current.lock:
                        project.next_look = self._server_now() + _BUG_PAUSE

    def _fire(self, plan: Plan, key: str, project: SharedProject, found: Histories) -> None:
        """Puts a poll of a project into the queue, if one is due and no other worker has."""
        task = project.task
        history = found.histories.get(task.path)
        if history is None and not task.listed and self._follow_rename(plan, task):
            return
        with self._current.lock:
            insist, project.insist = project.insist, False
        try:
            next_look = project.schedule.after(found.now)
            if insist:
                self._queue.offer_now(task.path, listed=task.listed)
            else:
                next_look = self._offer_tick(plan, key, project, history or NO_HISTORY, found) or next_look
        except BaseException:
            project.insist = project.insist or insist
            raise
        with self._current.lock:
            if not project.insist:
                project.next_look = next_look
            if project.task is task:
                # A listing counts for one poll: the project may be renamed or gone before the next one.
                project.task = replace(task, listed=False)

    def _offer_tick(
        self, plan: Plan, key: str, project: SharedProject, history: PollHistory, found: Histories
    ) -> datetime | None:
        """Fires a project's tick, if one is due; returns when to look again, None: when the next one is due."""
        task = project.task
        past = replace(history.past, away_until=None) if task.listed else history.past
        tick = due_tick(project.schedule, past, found.now)
        if tick is None or found.fired.get(task.path) == int(tick.timestamp()):
            return None
        starts = tick + tick_delay(key, tick, plan.jitter)
        if starts > found.now and past.began is not None:
            return starts
        self._queue.offer(task.path, tick, listed=task.listed)
        return None

    def _follow_rename(self, plan: Plan, task: SyncTask) -> bool:
        """Fires the ticks of a project under its new id alone, whichever worker has found that out."""
        new = plan.context.store.projects.find_renames(task.workspace).get(task.project)
        if new is None:
            return False
        self._replace_renamed(str(task), new, task)
        return True

    def _read(self, plan: Plan, paths: Sequence[ProjectPath], *, retry: bool = True) -> Histories:
        names = [periodic_id(path) for path in paths]
        read = partial(read_histories, task=POLL, paths=paths, periodic_ids=names)
        found = plan.context.store.transact("reading how the polls have gone", read, retry=retry)
        with self._current.lock:
            if found.now < self._server_now() - CLOCK_JUMP:
                # Times until then may be far away by this clock.
                for project in self._projects.values():
                    project.next_look = min(project.next_look, found.now)
            self._server = Instant(found.now, time.monotonic())
        return found

    # Polls

    def _hold(self, run: Callable[[], None]) -> None:
        """Counts as use of the plan in force until the queue was left."""
        with self._current.working():
            run()

    def _poll(self, path: ProjectPath, listed: bool) -> bool:
        """Does a poll; False: another worker is to do it."""
        with self._current.working() as plan:
            if not self._current.is_current(plan):
                return False
            task = self._task(plan, path)
            if task is None:
                log.warning("%s: it is not in the configuration of this worker, which hands its poll back", path)
                return False
            context = replace(
                plan.context, workspaces=plan.context.workspaces.renewed(), failure_level=self._failure_level
            )
            result = sync(context, replace(task, listed=listed))
            self._note(str(path), task, result)
            if not result.skipped:
                self._on_result(result)
            if result.run_id is None and result.error_kind == ErrorKind.DATABASE:
                return False  # no run began; the database may be at another version's schema, which others know
            return result.outcome != "abandoned" or self._current.is_current(plan)

    def _task(self, plan: Plan, path: ProjectPath) -> SyncTask | None:
        """The task of a project, with the key of this worker's configuration; None: it does not poll it."""
        with self._current.lock:
            known = self._projects.get(str(path))
        if known is not None:
            return known.task
        for selection in plan.selections:
            task = plan.updated(SyncTask(*path, selection.key))
            if task is not None:
                return task
            # Another worker has found out that it is the new id of one that is configured.
            renames = plan.context.store.projects.find_renames(selection.workspace.id)
            if any(new == path and selection.covers(old) for old, new in renames.items()):
                return SyncTask(*path, plan.context.workspaces.key(path.workspace) or selection.key)
        return None

    def _rescue(self) -> None:
        with self._current.working() as plan:
            try:
                plan.context.store.abandon_dead_runs(plan.context.clock())
                for path in self._queue.rescue() if self._current.is_current(plan) else ():
                    log.warning("%s: its worker is gone, so another one polls it", ProjectPath(*path))
            except Cancelled:
                return  # the worker stops
            except DatabaseError as error:
                log.debug("%s", error)
            except Exception:
                log.exception(BUG)
            with self._current.lock:
                if self._current.is_current(plan):
                    self._timetable.put(_RESCUE, self._rescue_interval, self._rescue)
