"""The daemon: every project on its schedule, for as long as the process lives."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from rfsync.daemon.discovery import Discovery
from rfsync.daemon.plan import CurrentPlan, Plan
from rfsync.daemon.policy import CLOCK_JUMP
from rfsync.daemon.polled_project import Instant
from rfsync.daemon.polls import MakePoller, Poller, Polls
from rfsync.daemon.recovery import Recovery
from rfsync.daemon.timetable import Timetable
from rfsync.errors import Cancelled, DatabaseError
from rfsync.sync.bugs import BUG
from rfsync.sync.result import Result

log = logging.getLogger("rfsync.daemon")

#: How often old runs are deleted, in seconds.
PRUNING_INTERVAL: Final = 86_400.0
#: On the timetable, where projects have names with a slash.
_PRUNING: Final = "pruning"


class Daemon:
    """Polls until it is stopped.

    Args:
        plan: what to poll.
        clock: the time of day, aware.
        monotonic: seconds by a clock that nobody can change.
        on_result: called with the result of each poll.
        make_poller: makes what polls.

    Raises:
        ThreadError: the system starts not a single thread.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        on_result: Callable[[Result], None],
        make_poller: MakePoller = Polls,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._current = CurrentPlan(plan)
        self._timetable = Timetable(plan.threads or plan.concurrency, clock)
        self._on_result = on_result
        self._polls: Poller = make_poller(self._current, self._timetable, self._now, self._note)
        self._recovery = Recovery(self._current, self._timetable, self._polls)
        self._discovery = Discovery(self._current, self._timetable, self._polls)
        self._drift = self._now().drift
        #: True while a plan is in force, or anything runs that began under it.
        self.uses = self._current.uses
        #: All projects that are polled, by workspace/project.
        self.projects = self._polls.statuses
        #: Workspaces that are listed, and why that failed; see ``Discovery.listings``.
        self.listings = self._discovery.listings
        #: By the monotonic clock.
        self._prunes_at = 0.0
        #: When old runs were last deleted; None: not yet since the start.
        self.pruned_at: datetime | None = None

    def start(self) -> None:
        """Starts polling: all named projects at once, the others as soon as their workspaces were listed.

        Raises:
            ThreadError: the system starts no thread for it.
        """
        self._timetable.start()
        self._begin()

    def reconfigure(self, plan: Plan) -> None:
        """Continues with another plan. Polls that are running end with the plan that they began with; see ``uses``.

        Raises:
            ThreadError: the system starts no thread for it; nothing has changed.
        """
        with self._current.lock:
            self._timetable.replace_threads(plan.threads or plan.concurrency)
            self._current.plan = plan
            self._polls.reconfigure()
            self._begin()

    def _begin(self) -> None:
        with self._current.lock:
            self._polls.begin()
            self._polls.add(self._current.plan.named_tasks())
            self._discovery.begin()
            self._timetable.put(_PRUNING, 0.0, self._prune)

    def tick(self) -> None:
        """Detects a change of the clock, which would make nothing or everything due; call it once a second."""
        now = self._now()
        jump = now.drift - self._drift
        self._drift = now.drift
        if abs(jump) <= CLOCK_JUMP:
            return
        log.warning("the clock was changed by %+.0f s: intervals are not affected", jump.total_seconds())
        with self._current.lock:
            self._polls.after_clock_change()
            self._discovery.after_clock_change()
            self._recovery.after_clock_change()
            if self._timetable.next_run(_PRUNING) is not None:
                self._timetable.put(_PRUNING, self._prunes_at - now.monotonic, self._prune)

    def stop(self) -> None:
        """Ends within seconds: requests at once, transactions when they are committed, or undone if that takes long."""
        self._current.close()
        self._timetable.stop()
        self._polls.stop()
        self._current.cancel()
        self._timetable.join()

    @property
    def is_alive(self) -> bool:
        """True while polls are being started, all threads for that live, and nothing is long overdue."""
        return self._timetable.is_alive and self._polls.is_alive

    @property
    def is_ready(self) -> bool:
        """True once it is known which projects to poll."""
        return self._discovery.is_ready

    def _note(self, result: Result) -> None:
        self._recovery.note(result)
        self._on_result(result)

    def _prune(self) -> None:
        with self._current.working() as plan:
            try:
                if self._current.is_current(plan) and self._polls.may_prune():
                    deleted = plan.context.store.prune(self._clock() - plan.keep_unchanged)
                    self.pruned_at = self._clock()
                    if deleted:
                        log.info("%d old runs that changed nothing deleted", deleted)
            except Cancelled:
                return  # the daemon stops
            except DatabaseError as error:
                log.warning("old runs could not be deleted, next attempt tomorrow: %s", error)
            except Exception:
                log.exception(BUG)
            with self._current.lock:
                if self._current.is_current(plan):
                    self._prunes_at = self._monotonic() + PRUNING_INTERVAL
                    self._timetable.put(_PRUNING, PRUNING_INTERVAL, self._prune)

    def _now(self) -> Instant:
        return Instant(self._clock(), self._monotonic())
