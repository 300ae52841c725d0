"""The plan that the daemon follows, made from one configuration, and the earlier ones that are still in use."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from rfsync.schedule import Schedule
from rfsync.sync.targets import Selection
from rfsync.sync.task import SyncContext, SyncTask

#: At the end: seconds until transactions are interrupted, and until they are again.
STOP_GRACE: Final = 5.0
INTERRUPT_INTERVAL: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The projects to poll, their schedules, and the connections to poll them with."""

    context: SyncContext
    selections: Sequence[Selection]
    #: Of a workspace.
    schedule: Callable[[str], Schedule]
    #: A poll starts up to this much later than it is due.
    jitter: timedelta
    #: Polls at once.
    concurrency: int
    #: How long runs that changed nothing are kept.
    keep_unchanged: timedelta
    #: Threads of the timetable; None: as many as there are polls at once, which run in them.
    threads: int | None = None

    def named_tasks(self) -> list[SyncTask]:
        """The projects that need not be discovered."""
        return [SyncTask(s.workspace.id, project, s.key) for s in self.selections for project in s.projects]

    def to_discover(self) -> list[Selection]:
        """The workspaces that have to be listed."""
        return [selection for selection in self.selections if selection.discover]

    def updated(self, task: SyncTask) -> SyncTask | None:
        """The same project with this plan's key; None: it is not to be polled any more."""
        for selection in self.selections:
            if selection.workspace.id == task.workspace and selection.covers(task.project):
                return replace(task, key=selection.key)
        return None


class CurrentPlan:
    """The plan in force, with the number of functions that run under it and under earlier ones.

    Attributes:
        lock: held while anything is changed that depends on the plan.
        plan: the plan in force.
    """

    def __init__(self, plan: Plan) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.plan = plan
        self._is_closed = False
        self._running: Counter[Plan] = Counter()

    @contextmanager
    def working(self) -> Iterator[Plan]:
        """Gives the plan in force, and counts as use of it until the end of the block."""
        with self.lock:
            plan = self.plan
            self._running[plan] += 1
        try:
            yield plan
        finally:
            with self.lock:
                self._running[plan] -= 1
                if not self._running[plan]:
                    del self._running[plan]
                self.lock.notify_all()

    def is_current(self, plan: Plan) -> bool:
        """True if work under this plan may still begin."""
        return plan is self.plan and not self._is_closed

    def uses(self, plan: Plan) -> bool:
        """True while a plan is in force, or anything runs that began under it."""
        with self.lock:
            return plan is self.plan or plan in self._running

    def close(self) -> None:
        """Lets no work begin any more; see ``is_current``."""
        with self.lock:
            self._is_closed = True

    def cancel(self) -> None:
        """Ends all that runs, after ``close``: requests at once, transactions when committed, or after a grace."""
        with self.lock:
            contexts = [plan.context for plan in {self.plan, *self._running}]
        for context in contexts:
            context.fetcher.cancel()
            context.store.stop()
        with self.lock:
            seconds = STOP_GRACE
            while not self.lock.wait_for(lambda: not self._running, seconds):
                for context in contexts:
                    context.store.interrupt()
                seconds = INTERRUPT_INTERVAL
