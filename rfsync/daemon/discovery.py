"""Discovery of a workspace's projects: from the API, or from the database if the API can't list them."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rfsync.daemon.plan import CurrentPlan, Plan
from rfsync.daemon.polls import Poller
from rfsync.daemon.timetable import Timetable
from rfsync.errors import Cancelled, DatabaseError, ErrorKind, FetchError
from rfsync.ledger.projects import KnownProject
from rfsync.logs import log_context, with_fields
from rfsync.sync.bugs import BUG, failed_by_bug
from rfsync.sync.suggestions import describe_unlisted
from rfsync.sync.targets import Selection, discover_with_known
from rfsync.sync.task import SyncContext, SyncTask

log = logging.getLogger("rfsync.daemon")

#: How often workspaces are listed, and how soon again after a failure, in seconds.
DISCOVERY_INTERVAL: Final = 3600.0
DISCOVERY_RETRY: Final = 300.0
#: On the timetable, where projects have names with a slash.
_NAME: Final = "discovery"


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The reason why a workspace could not be listed."""

    error_kind: str
    error: str


class Discovery:
    """Lists the workspaces of the plan in force, and keeps the projects that are polled in line with them."""

    def __init__(self, current: CurrentPlan, timetable: Timetable, polls: Poller) -> None:
        self._current = current
        self._timetable = timetable
        self._polls = polls
        self._is_ready = False
        self._listings: dict[str, Unlisted | None] = {}

    def begin(self) -> None:
        """Lists all workspaces of a new plan at once."""
        with self._current.lock:
            self._listings.clear()
            self._is_ready = not self._current.plan.to_discover()
            if self._is_ready:
                self._timetable.remove(_NAME)
            else:
                self._timetable.put(_NAME, 0.0, self._run)

    def after_clock_change(self) -> None:
        """Lists all workspaces at once, unless the plan has none to list."""
        if self._timetable.next_run(_NAME) is not None:
            self._timetable.put(_NAME, 0.0, self._run)

    @property
    def is_ready(self) -> bool:
        """True once all workspaces were listed, or at least tried."""
        return self._is_ready

    def listings(self) -> Mapping[str, Unlisted | None]:
        """Workspaces whose projects are to be found out -> why that failed the last time; None: it did not."""
        with self._current.lock:
            return dict(self._listings)

    def _run(self) -> None:
        with self._current.working() as plan:
            tried = complete = False
            try:
                if self._current.is_current(plan):
                    listed = [self._discover(plan, selection) for selection in plan.to_discover()]
                    tried, complete = True, all(listed)
            except Cancelled:
                return  # the daemon stops
            except Exception:
                log.exception(BUG)
            with self._current.lock:
                if self._current.is_current(plan):
                    self._is_ready = self._is_ready or tried
                    self._timetable.put(_NAME, DISCOVERY_INTERVAL if complete else DISCOVERY_RETRY, self._run)

    def _discover(self, plan: Plan, selection: Selection) -> bool:
        """Updates the projects of a workspace; False: it could not be listed."""
        with log_context(workspace=selection.workspace.id):
            return self._update(plan, selection)

    def _update(self, plan: Plan, selection: Selection) -> bool:
        known = _known_projects(plan.context, selection)
        found = _find_projects(plan.context, selection, known or ())
        if isinstance(found, Unlisted):
            self._use_known_projects(plan, selection, known or (), found)
            return False
        with self._current.lock:
            if self._current.is_current(plan):
                self._listings[selection.workspace.id] = None
                self._apply(selection, found, complete=known is not None)
        return True

    def _apply(self, selection: Selection, found: Sequence[SyncTask], *, complete: bool) -> None:
        """Args: ``complete``: those that were observed before are among ``found``, listed or not."""
        workspace = selection.workspace.id
        polled = self._polls.of_workspace(workspace)
        if polled and not any(task.listed for task in found):
            log.warning("%s: the workspace no longer lists any project; the known ones are still polled", workspace)
            return
        for key in gone(selection, found, polled) if complete else ():
            log.warning("%s is no longer in its workspace, and was never observed: it is no longer polled", key)
            self._polls.remove(key)
        for task in found:
            if polled and task.listed and str(task) not in polled:
                log.info("%s: a new project, polled from now on", task)
        self._polls.add(found)

    def _use_known_projects(
        self, plan: Plan, selection: Selection, known: Sequence[KnownProject], why: Unlisted
    ) -> None:
        """Polls the projects that were synced before, if there are none yet."""
        workspace = selection.workspace.id
        with self._current.lock:
            if not self._current.is_current(plan):
                return
            self._listings[workspace] = why
            if self._polls.of_workspace(workspace):
                return
            kept = (known.project for known in known if not selection.workspace.excludes(known.project))
            self._polls.add([SyncTask(workspace, project, selection.key) for project in kept])


def _find_projects(
    context: SyncContext, selection: Selection, known: Sequence[KnownProject]
) -> Sequence[SyncTask] | Unlisted:
    try:
        return discover_with_known(selection, context.workspaces.renewed(), known)
    except FetchError as error:
        text = describe_unlisted(context, selection.workspace.id, error)
        fields = with_fields({"error_kind": str(error.kind)})
        log.warning("%s: its projects can't be listed (%s): %s", selection.workspace.id, error.kind, text, extra=fields)
        return Unlisted(str(error.kind), text)
    except Cancelled:
        raise
    except DatabaseError as error:  # it has the rate limit
        log.warning("%s: its projects can't be listed: %s", selection.workspace.id, error)
        return Unlisted(str(ErrorKind.DATABASE), context.redact(str(error)))
    except Exception as error:
        row = failed_by_bug(selection.workspace.id, error, context.redact)
        return Unlisted(str(row.error_kind), row.error or "")


def _known_projects(context: SyncContext, selection: Selection) -> Sequence[KnownProject] | None:
    try:
        return context.store.projects.of_workspace(selection.workspace.id)
    except DatabaseError as error:
        log.warning("%s: its projects can't be read from the database: %s", selection.workspace.id, error)
        return None


def gone(selection: Selection, found: Sequence[SyncTask], polled: Collection[str]) -> list[str]:
    """The projects that are polled but were not found; those that the configuration names stay.

    Args:
        polled: as workspace/project, as is the result.
    """
    stay = {str(task) for task in found} | {f"{selection.workspace.id}/{name}" for name in selection.projects}
    return [key for key in polled if key not in stay]
