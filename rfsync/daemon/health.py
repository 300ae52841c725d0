"""Whether the daemon is well: every project fresh, and the database there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from rfsync.daemon.daemon import Daemon
from rfsync.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class Stale:
    """A project whose last success is older than three of its intervals, or a workspace that can't be listed."""

    workspace: str
    #: ``*``: the workspace's projects could not be found out.
    project: str
    #: None: none since the daemon was started.
    last_success_age_seconds: float | None
    outcome: str | None
    error_kind: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """What ``/healthz`` says."""

    ok: bool
    projects: int
    stale: tuple[Stale, ...]
    #: Why the database does not answer; None: it does.
    database: str | None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "stale": [asdict(one) for one in self.stale]}


def health(daemon: Daemon, ping: Callable[[], object]) -> Health:
    """How a daemon is.

    Args:
        ping: asks the database something; raises ``DatabaseError`` where it does not answer.
    """
    database = None
    try:
        ping()
    except DatabaseError as error:
        database = str(error)
    projects = daemon.projects()
    stale = [
        Stale(
            project.task.workspace,
            project.task.project,
            daemon.age(project),
            project.last.outcome if project.last else None,
            project.last.error_kind if project.last else None,
            project.last.error if project.last else "still running" if project.running else None,
        )
        for project in projects.values()
        if daemon.is_stale(project)
    ]
    known = {project.task.workspace for project in projects.values()}
    stale += [
        Stale(workspace, "*", None, "failed", kind, why)
        for workspace, (kind, why) in daemon.unlisted().items()
        if workspace not in known
    ]
    return Health(not stale and database is None and daemon.alive, len(projects), tuple(stale), database)
