"""Which projects a command line and a configuration mean, each with its key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rfsync.answers import parse_projects
from rfsync.config import Config, Target, WorkspaceConfig
from rfsync.errors import ConfigError, FetchError
from rfsync.keys import find_key
from rfsync.runs import Fetcher, Job, Result
from rfsync.secrets import Secret

log = logging.getLogger("rfsync.sync")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A workspace, and what is wanted of it."""

    workspace: WorkspaceConfig
    key: Secret
    #: Project ids; None: all that the workspace has, but for the excluded.
    projects: tuple[str, ...] | None


def wanted(config: Config, targets: Sequence[Target], env: Mapping[str, str]) -> list[Wanted]:
    """What ``targets`` name, or where there are none all that is configured. Asks nobody.

    Raises:
        ConfigError: there is nothing to sync, or a workspace has no key.
    """
    if not targets:
        if not config.workspaces:
            raise ConfigError(
                "nothing to sync: name a TARGET such as acme/widgets, or write [[workspaces]] tables (rfsync init)"
            )
        targets = [Target(workspace.id, None) for workspace in config.workspaces]
    projects: dict[str, dict[str, None] | None] = {}
    for target in targets:
        if target.project is None:
            workspace = config.workspace(target.workspace)
            names = None if workspace.discovers else [p for p in workspace.projects if not workspace.excludes(p)]
        else:
            names = [target.project]
        before = projects.get(target.workspace, {})
        # All of a workspace covers each of its projects.
        projects[target.workspace] = None if names is None or before is None else {**before, **dict.fromkeys(names)}
    for workspace_id, chosen in projects.items():
        if chosen is not None and not chosen:
            raise ConfigError(
                f"workspace {workspace_id!r} has no project to sync: its exclude leaves none of its projects"
            )
    return [
        Wanted(config.workspace(w), find_key(config.workspace(w), env).key, None if p is None else tuple(p))
        for w, p in projects.items()
    ]


def resolve(wanted: Iterable[Wanted], fetcher: Fetcher, redact: Callable[[str], str]) -> tuple[list[Job], list[Result]]:
    """The projects to sync, and the workspaces whose projects could not be found out (as failed results)."""
    jobs: list[Job] = []
    failures: list[Result] = []
    for want in wanted:
        workspace = want.workspace.id
        if want.projects is not None:
            jobs += [Job(workspace, project, want.key) for project in want.projects]
            continue
        try:
            jobs += discover(want.workspace, want.key, fetcher)
        except FetchError as error:
            text = redact(f"its projects can't be listed: {error}")
            log.warning("%s: %s: %s", workspace, error.kind, text)
            failures.append(
                Result(
                    workspace, "*", "failed",
                    attempts=error.attempts, error_kind=error.kind, error=text,
                )
            )  # fmt: skip
    return jobs, failures


def discover(workspace: WorkspaceConfig, key: Secret, fetcher: Fetcher) -> list[Job]:
    """All projects that the workspace has now, but for the excluded, in the API's order.

    Raises:
        FetchError: the workspace can't be read; a 404 names it.
    """
    response = fetcher.get(workspace.id, key=key)
    projects, skipped = parse_projects(response.body)
    for reason in skipped:
        log.warning("%s: a project is left out: %s", workspace.id, reason)
    jobs = [Job(workspace.id, id_, key, name) for id_, name in projects.items() if not workspace.excludes(id_)]
    if not jobs:
        log.warning("%s: the workspace has no project to sync", workspace.id)
    return jobs


def single(jobs: Sequence[Job], batch_ids: tuple[str, ...]) -> list[Job]:
    """The one project that ``--batch`` is about.

    Raises:
        ConfigError: there is none, or more than one.
    """
    if len(jobs) != 1:
        raise ConfigError("--batch needs exactly one project: rfsync sync WORKSPACE/PROJECT --batch ID")
    job = jobs[0]
    return [Job(job.workspace, job.project, job.key, job.name, tuple(dict.fromkeys(batch_ids)))]
