"""The projects that a command line or a configuration selects, each with its key."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rfsync.api.keys import exposed_file, find_key
from rfsync.config import Config, WorkspaceConfig
from rfsync.errors import ConfigError, ErrorKind, FetchError, RfsyncError
from rfsync.ledger.projects import KnownProject, ProjectPath
from rfsync.ledger.runs import RunRow
from rfsync.logs import with_fields
from rfsync.parsing import Target
from rfsync.redaction import Secret
from rfsync.sync.bugs import failed_by_bug
from rfsync.sync.result import Result
from rfsync.sync.suggestions import describe_unlisted
from rfsync.sync.task import Fetcher, SyncContext, SyncTask, log
from rfsync.sync.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected projects of a workspace."""

    workspace: WorkspaceConfig
    key: Secret
    #: Ids of the named projects, which may be excluded ones.
    projects: tuple[str, ...]
    #: All other projects of the workspace are selected too, except the excluded.
    discover: bool
    #: Those of ``projects`` that are named on the command line: they are looked for even if they have departed.
    insist: frozenset[str] = frozenset()

    def covers(self, project: str) -> bool:
        """True if a project of this id is selected, or would be if it existed."""
        return project in self.projects or (self.discover and not self.workspace.excludes(project))


def wanted(config: Config, targets: Sequence[Target], env: Mapping[str, str]) -> list[Selection]:
    """The selections that ``targets`` name, or if there are none, all that is configured. Sends no request.

    Raises:
        ConfigError: there is nothing to sync, or a workspace has no key.
    """
    if not targets:
        if not config.workspaces:
            raise ConfigError(
                "nothing to sync: name a TARGET such as acme/widgets, or uncomment the [[workspaces]] table of the "
                "configuration (rfsync init writes one)"
            )
        targets = [Target(workspace.id, None) for workspace in config.workspaces]
    whole: dict[str, bool] = {}
    named: dict[str, dict[str, None]] = {}
    insist: defaultdict[str, set[str]] = defaultdict(set)
    for target in targets:
        workspace = config.workspace(target.workspace)
        names = named.setdefault(workspace.id, {})
        if target.project is not None:
            names[target.project] = None
            insist[workspace.id].add(target.project)
        elif workspace.discovers:
            whole[workspace.id] = True
        else:
            listed = [p for p in workspace.projects if not workspace.excludes(p)]
            if not listed:
                raise ConfigError(
                    f"workspace {workspace.id!r} has no project to sync: exclude = {list(workspace.exclude)} in its "
                    f"[[workspaces]] table leaves none of {list(workspace.projects)}"
                )
            names.update(dict.fromkeys(listed))
    return [
        Selection(config.workspace(w), _key(config, w, env), tuple(names), whole.get(w, False), frozenset(insist[w]))
        for w, names in named.items()
    ]


def _key(config: Config, workspace_id: str, env: Mapping[str, str]) -> Secret:
    workspace = config.workspace(workspace_id)
    found = find_key(workspace, env, config.folder)
    path = exposed_file(workspace, found)
    if path is not None:
        log.warning("%s: every user can read its key in %s: chmod o-r %s", workspace.id, path, path)
    return found.key


def make_workspaces(
    selections: Sequence[Selection], fetcher: Fetcher, configured: Sequence[WorkspaceConfig] = ()
) -> Workspaces:
    """What a pass over these selections knows of their workspaces before it begins.

    Args:
        configured: all that the configuration has.
    """
    by_id = {selection.workspace.id: selection for selection in selections}
    keys = {workspace: selection.key for workspace, selection in by_id.items()}
    return Workspaces(fetcher, keys, lambda workspace, p: workspace in by_id and by_id[workspace].covers(p), configured)


def resolve(selections: Iterable[Selection], context: SyncContext) -> tuple[list[SyncTask], list[Result]]:
    """The projects to sync, and a failed result for each workspace whose projects can't be listed.

    Those that were observed before and that their workspace no longer lists are among them: they may have departed.
    Where a workspace can't be listed, all known ones are, so that each has a run that says how it went.

    Raises:
        DatabaseError: the database refused or vanished.
    """
    tasks: dict[ProjectPath, SyncTask] = {}
    failures: list[Result] = []
    for selection in selections:
        workspace = selection.workspace.id
        known = context.store.projects.of_workspace(workspace)
        found: list[SyncTask] = []
        if selection.discover:
            found, failure = _discover_or_known(selection, known, context)
            failures += failure
        observed = {project.project for project in known if project.observed}
        found_ids = {task.project for task in found}
        found += [SyncTask(workspace, p, selection.key) for p in selection.projects if p not in found_ids]
        renames = context.store.projects.find_renames(workspace) if len(found) > len(found_ids) else {}
        for task in found:
            marked = replace(task, new=task.project not in observed, insist=task.project in selection.insist)
            if not task.listed and task.project in renames:
                marked = follow_rename(context, marked, renames[task.project])
            tasks.setdefault(marked.path, marked)
    return list(tasks.values()), failures


def _discover_or_known(
    selection: Selection, known: Sequence[KnownProject], context: SyncContext
) -> tuple[list[SyncTask], list[Result]]:
    """As ``discover_with_known``; or all known projects, and the failure that is the reason."""
    workspace = selection.workspace.id
    try:
        return discover_with_known(selection, context.workspaces, known), []
    except FetchError as error:
        moved = _moved_projects(selection, context) if error.kind is ErrorKind.NOT_FOUND and not known else []
        if moved:
            return moved, []
        text = f"its projects can't be listed: {describe_unlisted(context, workspace, error)}"
        row = RunRow("failed", attempts=error.attempts, error_kind=error.kind, error=text)
        log.warning(
            "%s: %s (%s)", workspace, text, error.kind, extra=with_fields({"workspace": workspace, **row.log_fields})
        )
    except RfsyncError:
        raise
    except Exception as error:
        row = failed_by_bug(workspace, error, context.redact)
    kept = (p.project for p in known if not selection.workspace.excludes(p.project))
    return [SyncTask(workspace, project, selection.key) for project in kept], [Result(workspace, "*", row)]


def _moved_projects(selection: Selection, context: SyncContext) -> list[SyncTask]:
    """The projects that a workspace had which is no longer there, under their ids in another one."""
    workspace = selection.workspace.id
    paths = sorted(set(context.store.projects.find_renames(workspace).values()))
    if paths:
        names = ", ".join(sorted({path.workspace for path in paths}))
        log.warning("%s is no longer there, and its projects are in %s now: use that id", workspace, names)
    keys = (context.workspaces.key(path.workspace) or selection.key for path in paths)
    return [SyncTask(*path, key) for path, key in zip(paths, keys, strict=True)]


def follow_rename(context: SyncContext, task: SyncTask, new: ProjectPath) -> SyncTask:
    """The task of a project that was renamed, under its new id; or as it is, if another project has the old one now."""
    if context.workspaces.lists(task.workspace, task.project, task.key):
        return replace(task, listed=True)
    log.warning("%s is now %s: use the new id", task, new)
    key = task.key if new.workspace == task.workspace else context.workspaces.key(new.workspace) or task.key
    return replace(task, workspace=new.workspace, project=new.project, key=key, name=None, new=False)


def discover_with_known(selection: Selection, workspaces: Workspaces, known: Iterable[KnownProject]) -> list[SyncTask]:
    """All projects of the workspace that it lists, and those that it listed before, except the excluded.

    Raises:
        FetchError: the workspace can't be read.
    """
    workspace = selection.workspace
    found = discover(workspace, selection.key, workspaces)
    listed = workspaces.projects(workspace.id, selection.key)
    gone = [p.project for p in known if p.observed and p.project not in listed and not workspace.excludes(p.project)]
    return found + [SyncTask(workspace.id, project, selection.key) for project in gone]


def discover(workspace: WorkspaceConfig, key: Secret, workspaces: Workspaces) -> list[SyncTask]:
    """All projects of the workspace, except the excluded, in the order of the API.

    Raises:
        FetchError: the workspace can't be read.
    """
    listed = workspaces.projects(workspace.id, key)
    tasks = [
        SyncTask(workspace.id, id_, key, name, listed=True)
        for id_, name in listed.items()
        if not workspace.excludes(id_)
    ]
    if not tasks:
        left_out = f" but the {len(listed):,} that exclude leaves out" if listed else ""
        log.warning("%s: the workspace has no project to sync%s", workspace.id, left_out)
    return tasks
