"""What one pass over projects knows of their workspaces: keys, and the projects that exist."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rfsync.api.answers import parse_projects
from rfsync.config import WorkspaceConfig
from rfsync.errors import OUTAGES, ErrorKind, FetchError
from rfsync.ledger.projects import ProjectPath
from rfsync.redaction import Secret
from rfsync.sync.result import Result
from rfsync.sync.task import Fetcher, log

#: Job lists of a workspace that fail before the others of the pass are not asked for.
_FAILURES: Final = 5


class JobListHealth:
    """How the job lists of a workspace went in one pass: batches wait for them, and must not for each project anew."""

    def __init__(self) -> None:
        self._failures = 0
        self._answered = False
        self.last_kind = ErrorKind.NETWORK
        self._last = ""

    @property
    def is_down(self) -> bool:
        """True once some have failed, and none was answered."""
        return not self._answered and self._failures >= _FAILURES

    @property
    def why(self) -> str:
        """For people."""
        return f"the job lists of {self._failures} projects have failed, and none was answered (last: {self._last})"

    def answered(self) -> None:
        """One was answered."""
        self._answered = True

    def failed(self, error: FetchError) -> None:
        """The request for one has failed."""
        if error.kind in OUTAGES:
            self._failures, self.last_kind, self._last = self._failures + 1, error.kind, str(error)
        else:
            self._answered = True


class Workspaces:
    """Lists each workspace at most once, when that is first needed. Safe to use from many threads.

    Args:
        fetcher: sends the requests.
        keys: of the workspaces that have one.
        covers: tells whether the pass syncs a project of a workspace, if there is one of that id.
        configured: all workspaces of the configuration, whether the pass is about them or not.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        keys: Mapping[str, Secret] | None = None,
        covers: Callable[[str, str], bool] = lambda _workspace, _project: False,
        configured: Sequence[WorkspaceConfig] = (),
    ) -> None:
        self._fetcher = fetcher
        self._keys = keys or {}
        self.covers = covers
        self.configured = configured
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lists: dict[str, Mapping[str, str | None] | FetchError] = {}
        self._job_lists: defaultdict[str, JobListHealth] = defaultdict(JobListHealth)
        #: Projects whose own list was answered in this pass.
        self.answered: set[ProjectPath] = set()
        #: How the projects went that were synced in this pass, by workspace/project.
        self.tried: dict[str, Result] = {}

    def renewed(self) -> "Workspaces":
        """For another pass: nothing was listed yet."""
        return Workspaces(self._fetcher, self._keys, self.covers, self.configured)

    def key(self, workspace: str) -> Secret | None:
        """The key of a workspace; None: none is configured."""
        return self._keys.get(workspace)

    def projects(self, workspace: str, key: Secret) -> Mapping[str, str | None]:
        """A workspace's projects, in the order of the API: id -> name for people.

        Raises:
            FetchError: the workspace can't be listed.
        """
        with self._locks[workspace]:
            if workspace not in self._lists:
                self._lists[workspace] = self._list(workspace, key)
            found = self._lists[workspace]
        if isinstance(found, FetchError):
            raise found
        return found

    def _list(self, workspace: str, key: Secret) -> Mapping[str, str | None] | FetchError:
        try:
            projects, skipped = self._fetcher.get(workspace, key=key).parse(parse_projects)
        except FetchError as error:
            return error
        for reason in skipped:
            log.warning("%s: a project is left out: %s", workspace, reason)
        return projects

    def job_lists(self, workspace: str) -> JobListHealth:
        """How the job lists of a workspace went until now."""
        return self._job_lists[workspace]

    def lists(self, workspace: str, project: str, key: Secret) -> bool:
        """True if the workspace is known to have such a project."""
        try:
            return project in self.projects(workspace, key)
        except FetchError:
            return False
