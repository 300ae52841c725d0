"""What failed because the database was away is polled again as soon as it answers."""

import logging
from typing import Final

from rfsync.daemon.plan import CurrentPlan
from rfsync.daemon.polls import Poller
from rfsync.daemon.timetable import Timetable
from rfsync.errors import Cancelled, DatabaseError, ErrorKind
from rfsync.sync.bugs import BUG
from rfsync.sync.result import Result

log = logging.getLogger("rfsync.daemon")

#: How often a database that was away is asked whether it answers, in seconds.
PROBE_INTERVAL: Final = 5.0
#: On the timetable, where projects have names with a slash.
_NAME: Final = "database"


class Recovery:
    """Watches the database after a run has failed because of it, and makes such projects due when it answers.

    A database that answers and yet refuses what a run writes (a full disk, or a sum that it can't store) would have its
    project polled every few seconds. So each is polled again once, until the database was away or a run of that project
    was written.
    """

    def __init__(self, current: CurrentPlan, timetable: Timetable, polls: Poller) -> None:
        self._current = current
        self._timetable = timetable
        self._polls = polls
        # Changed under the lock of ``current``.
        self._is_watching = False
        self._was_away = False
        #: Those that were polled again, as workspace/project.
        self._retried: set[str] = set()

    def note(self, result: Result) -> None:
        """Takes the end of a run into account."""
        with self._current.lock:
            if result.error_kind != ErrorKind.DATABASE:
                if result.run_id is not None:
                    self._retried.discard(str(result))
            elif not self._is_watching:
                self._is_watching = True
                self._timetable.put(_NAME, PROBE_INTERVAL, self._probe)

    def after_clock_change(self) -> None:
        """Asks at once, if it is watching."""
        if self._timetable.next_run(_NAME) is not None:
            self._timetable.put(_NAME, 0.0, self._probe)

    def _probe(self) -> None:
        with self._current.working() as plan:
            answers = False
            try:
                plan.context.store.ping()
                answers = True
            except Cancelled:
                return  # the daemon stops
            except DatabaseError as error:
                log.debug("%s", error)
            except Exception:
                log.exception(BUG)
            with self._current.lock:
                if not answers:
                    self._was_away = True
                    self._timetable.put(_NAME, PROBE_INTERVAL, self._probe)
                    return
                if self._was_away:
                    log.info("the database answers again")
                    self._retried.clear()
                self._retried |= self._polls.retry_after_database_failure(but=self._retried)
                self._is_watching = self._was_away = False
