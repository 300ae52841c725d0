"""The project or workspace that may have been meant by an id that is none."""

from collections.abc import Iterable
from typing import Final

from rfsync.api.failures import describe_error
from rfsync.errors import DatabaseError, ErrorKind, FetchError
from rfsync.ledger.projects import ProjectPath
from rfsync.sync.task import SyncContext
from rfsync.text import close_names, did_you_mean

#: Projects of the same name that a message proposes.
_MAX_NAMED: Final = 3


def describe_unlisted(context: SyncContext, workspace: str, error: FetchError) -> str:
    """One line for people: why a workspace can't be listed, and if there is none of its id, the likely ones."""
    text = describe_error(error, context.redact)
    if error.kind is not ErrorKind.NOT_FOUND:
        return text
    known = _known_projects(context)
    # Somebody may have left out the workspace.
    meant = sorted(str(path) for path in known if path.project == workspace)[:_MAX_NAMED]
    return text + did_you_mean(meant or close_names(workspace, _workspaces(context, known)))


def suggest_project(task: ProjectPath, listed: Iterable[str]) -> str:
    """A question that follows the error of a project which its workspace lacks; empty: none of the others is close."""
    return did_you_mean([f"{task.workspace}/{project}" for project in close_names(task.project, listed)])


def suggest_workspace(context: SyncContext, task: ProjectPath) -> str:
    """What follows the error of a project in a workspace that is not there either."""
    close = close_names(task.workspace, _workspaces(context, _known_projects(context)))
    question = did_you_mean([f"{workspace}/{task.project}" for workspace in close])
    return f"; its workspace can't be listed either: it is not there, or the key may not see it{question}"


def _known_projects(context: SyncContext) -> set[ProjectPath]:
    """Those that the configuration names, and those of the database."""
    named = {
        ProjectPath(workspace.id, project)
        for workspace in context.workspaces.configured
        for project in workspace.projects
        if project != "*"
    }
    try:
        return named | set(context.store.projects.paths())
    except DatabaseError:
        return named


def _workspaces(context: SyncContext, known: Iterable[ProjectPath]) -> set[str]:
    return {path.workspace for path in known} | {workspace.id for workspace in context.workspaces.configured}
