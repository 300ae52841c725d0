"""The health of the daemon: every project known and fresh, the database reachable, and all threads alive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rfsync.daemon.daemon import Daemon
from rfsync.daemon.polls import ProjectStatus
from rfsync.errors import DatabaseError
from rfsync.version import __version__

_OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Stale:
    """A project whose last success is older than three of its intervals, or a workspace that can't be listed."""

    workspace: str
    #: ``*``: the workspace could not be listed.
    project: str
    #: None: no success since the daemon was started.
    last_success_age_seconds: float | None
    outcome: str | None
    error_kind: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """The content of ``/healthz``."""

    ok: bool
    projects: int
    stale: tuple[Stale, ...]
    #: ``ok``, or why the database can't be used.
    database: str
    #: True once it is known which projects to poll.
    ready: bool
    #: True while polls are being started, all threads for that live, and nothing is long overdue.
    alive: bool
    #: Of rfsync.
    version: str = __version__


def health(daemon: Daemon, ping: Callable[[], object]) -> Health:
    """The state of a daemon and its database.

    Args:
        ping: asks the database something; raises ``DatabaseError`` if it does not answer.
    """
    database = _OK
    try:
        ping()
    except DatabaseError as error:
        database = str(error)
    projects = daemon.projects().values()
    stale = [_stale(project) for project in projects if project.is_stale]
    known = {project.task.workspace for project in projects}
    stale += [
        Stale(workspace, "*", None, "failed", why.error_kind, why.error)
        for workspace, why in daemon.listings().items()
        if why is not None and workspace not in known
    ]
    ready, alive = daemon.is_ready, daemon.is_alive
    ok = not stale and database == _OK and ready and alive
    return Health(ok, len(projects), tuple(stale), database, ready, alive)


def _stale(project: ProjectStatus) -> Stale:
    task, age, last = project.task, project.last_success_age, project.last
    if last is None:
        return Stale(task.workspace, task.project, age, None, None, "still running" if project.is_running else None)
    return Stale(task.workspace, task.project, age, last.outcome, last.error_kind, last.error)
