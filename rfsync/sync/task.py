"""The input of a run: its task, and the context that it works in."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from rfsync.api.client import Response
from rfsync.config import JobsConfig, RemovalsConfig
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.store import Store
from rfsync.redaction import Secret

if TYPE_CHECKING:
    from rfsync.sync.workspaces import Workspaces

log = logging.getLogger("rfsync.sync")


class Fetcher(Protocol):
    """The methods of ``api.client.Client`` that a sync calls."""

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """See ``Client.get``."""

    def cancel(self) -> None:
        """See ``Client.cancel``."""


@dataclass(frozen=True, slots=True)
class SyncTask:
    """A project to sync."""

    workspace: str
    project: str
    key: Secret
    #: For people; None: not known.
    name: str | None = None
    #: Fetch only these batches, each from its own address; empty: the whole list.
    batch_ids: tuple[str, ...] = ()
    #: The workspace's list of just now has it: then its id is not another project's former one.
    listed: bool = False
    #: Look for it even if it has departed, and was looked for within a day.
    insist: bool = False
    #: It was never observed: it is looked at before others, which it may be the new id of.
    new: bool = False

    @property
    def path(self) -> ProjectPath:
        """Its URL ids."""
        return ProjectPath(self.workspace, self.project)

    def __str__(self) -> str:
        return f"{self.workspace}/{self.project}"


@dataclass(frozen=True, slots=True)
class SyncContext:
    """Everything that a sync works with, apart from its task."""

    #: Sends requests to the API.
    fetcher: Fetcher
    #: What is known of the workspaces.
    workspaces: "Workspaces"
    #: The database.
    store: Store
    #: ``[removals]``.
    removals: RemovalsConfig
    #: The time of day, aware.
    clock: Callable[[], datetime]
    #: Takes secrets out of what is stored and shown.
    redact: Callable[[str], str]
    #: ``[jobs]``.
    jobs: JobsConfig = field(default_factory=JobsConfig)
    #: For ``sync_runs.trigger``.
    trigger: str = "cli"
    #: Measures how long a phase of the run takes: ``fetch`` or ``write``.
    timer: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
    #: The level at which the failure of a run is logged.
    failure_level: Callable[[SyncTask], int] = lambda _: logging.WARNING
    #: Take all batches that an answer lacks as removed.
    allow_removals: bool = False
    #: Return the changes with the result.
    keep_changes: bool = False
