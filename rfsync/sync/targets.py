"""The projects that a command line or a configuration selects, each with its key."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rfsync.api.answers import parse_projects
from rfsync.api.failures import describe_error
from rfsync.api.keys import exposed_file, find_key
from rfsync.config import Config, WorkspaceConfig
from rfsync.errors import ConfigError, FetchError
from rfsync.ledger.runs import RunRow
from rfsync.parsing import Target
from rfsync.redaction import Secret
from rfsync.sync.result import Result
from rfsync.sync.task import Fetcher, SyncTask, log


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected projects of a workspace."""

    workspace: WorkspaceConfig
    key: Secret
    #: Ids of the named projects, which may be excluded ones.
    projects: tuple[str, ...]
    #: All other projects of the workspace are selected too, except the excluded.
    discover: bool


def wanted(config: Config, targets: Sequence[Target], env: Mapping[str, str]) -> list[Selection]:
    """The selections that ``targets`` name, or if there are none, all that is configured. Sends no request.

    Raises:
        ConfigError: there is nothing to sync, or a workspace has no key.
    """
    if not targets:
        if not config.workspaces:
            raise ConfigError(
                "nothing to sync: name a TARGET such as acme/widgets, or write [[workspaces]] tables (rfsync init)"
            )
        targets = [Target(workspace.id, None) for workspace in config.workspaces]
    whole: dict[str, bool] = {}
    named: dict[str, dict[str, None]] = {}
    for target in targets:
        workspace = config.workspace(target.workspace)
        names = named.setdefault(workspace.id, {})
        if target.project is not None:
            names[target.project] = None
        elif workspace.discovers:
            whole[workspace.id] = True
        else:
            listed = [p for p in workspace.projects if not workspace.excludes(p)]
            if not listed:
                raise ConfigError(f"workspace {workspace.id!r} has no project to sync: its exclude leaves none")
            names.update(dict.fromkeys(listed))
    return [
        Selection(config.workspace(w), _key(config.workspace(w), env), tuple(names), whole.get(w, False))
        for w, names in named.items()
    ]


def _key(workspace: WorkspaceConfig, env: Mapping[str, str]) -> Secret:
    found = find_key(workspace, env)
    path = exposed_file(workspace, found)
    if path is not None:
        log.warning("%s: every user can read its key in %s: chmod o-r %s", workspace.id, path, path)
    return found.key


def resolve(
    wanted: Iterable[Selection], fetcher: Fetcher, redact: Callable[[str], str], known: Callable[[str], Iterable[str]]
) -> tuple[list[SyncTask], list[Result]]:
    """The projects to sync, and a failed result for each workspace whose projects can't be listed.

    Args:
        redact: takes secrets out of what is shown.
        known: the projects of a workspace that were synced before; they are used if it can't be listed, so that each
            has a run that says how it went.
    """
    tasks: list[SyncTask] = []
    failures: list[Result] = []
    for selection in wanted:
        workspace = selection.workspace.id
        found: list[SyncTask] = []
        try:
            if selection.discover:
                found = discover(selection.workspace, selection.key, fetcher)
        except FetchError as error:
            text = f"its projects can't be listed: {describe_error(error, redact)}"
            log.warning("%s: %s (%s)", workspace, text, error.kind)
            row = RunRow("failed", attempts=error.attempts, error_kind=error.kind, error=text)
            failures.append(Result(workspace, "*", row))
            kept = (p for p in known(workspace) if not selection.workspace.excludes(p))
            found = [SyncTask(workspace, p, selection.key) for p in kept]
        listed = {task.project for task in found}
        tasks += [SyncTask(workspace, p, selection.key) for p in selection.projects if p not in listed]
        tasks += found
    return tasks, failures


def discover(workspace: WorkspaceConfig, key: Secret, fetcher: Fetcher) -> list[SyncTask]:
    """All projects of the workspace, except the excluded, in the order of the API.

    Raises:
        FetchError: the workspace can't be read.
    """
    response = fetcher.get(workspace.id, key=key)
    projects, skipped = response.parse(parse_projects)
    for reason in skipped:
        log.warning("%s: a project is left out: %s", workspace.id, reason)
    tasks = [SyncTask(workspace.id, id_, key, name) for id_, name in projects.items() if not workspace.excludes(id_)]
    if not tasks:
        log.warning("%s: the workspace has no project to sync", workspace.id)
    return tasks
