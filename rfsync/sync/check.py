"""The checks of ``rfsync check``: configuration, database, keys and projects, each with a remedy."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Final

from rfsync.api.answers import parse
from rfsync.api.failures import describe_error
from rfsync.api.keys import exposed_file, find_key, readable_by_others
from rfsync.api.lenient import Rejected
from rfsync.config import DEFAULT_KEY_ENV, Config, WorkspaceConfig
from rfsync.errors import Cancelled, ConfigError, ErrorKind, FetchError, RfsyncError, RightsError, SchemaError
from rfsync.parsing import is_loopback, parse_listen
from rfsync.records import Kind
from rfsync.sync.bugs import failed_by_bug
from rfsync.sync.lists import DENIALS
from rfsync.sync.remedies import JOBS_REMEDY, remedy
from rfsync.sync.renames import MAX_OWNERS
from rfsync.sync.task import Fetcher, SyncTask
from rfsync.sync.workspaces import Workspaces
from rfsync.text import close_names, did_you_mean

#: Names that one line shows.
_MAX_NAMES: Final = 10


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    #: ``configuration``, ``worst case``, ``database``, ``endpoint``, ``key``, ``workspace``, ``project``, ``jobs`` or
    #: ``people``.
    what: str
    #: The name of what was checked.
    subject: str
    ok: bool
    found: str
    #: What to do; None: nothing.
    remedy: str | None = None
    #: It works, but is not as safe as it could be.
    warning: bool = False


def diagnose(
    config: Config,
    file: Path | None,
    fetcher: Fetcher,
    redact: Callable[[str], str],
    database: Callable[[], str],
    database_name: str,
    env: Mapping[str, str],
) -> Iterator[Check]:
    """Makes all checks, also after one that failed.

    Args:
        file: the file of the configuration; None: there is none.
        redact: takes secrets out of what is shown.
        database: checks the database, and returns what it found; raises ``RfsyncError`` if something is wrong.
        database_name: the file's absolute path, or the URL without a password.
    """
    where = str(file) if file is not None else "no file"
    number = len(config.workspaces)
    tables = f"{number} workspace{'' if number == 1 else 's'}"
    advice = None if number or file is None else "uncomment its [[workspaces]] table, or name TARGETs to each command"
    yield Check("configuration", where, True, "all defaults" if file is None else tables, advice)
    yield Check("worst case", "one project", True, worst_case(config))
    try:
        yield Check("database", database_name, True, database())
    except RfsyncError as error:
        remedy = (
            "look whether the server is running, and at the URL: --database, $RFSYNC_DATABASE_URL or [database] url"
        )
        if isinstance(error, SchemaError):
            is_older = "rfsync db upgrade" in str(error)
            remedy = "rfsync db upgrade" if is_older else "look at the message: another version made the tables"
        elif isinstance(error, RightsError):
            remedy = (
                "deploy/postgres/writer.sql makes a role that may; or GRANT SELECT, INSERT, UPDATE, DELETE to this one"
            )
        yield Check("database", database_name, False, redact(str(error)), remedy)
    except Exception as error:
        yield _bug("database", database_name, error, redact)
    if not config.workspaces and not env.get(DEFAULT_KEY_ENV, "").strip():
        yield Check("key", "default", True, f"${DEFAULT_KEY_ENV} is not set", f"export {DEFAULT_KEY_ENV}=…")
    for workspace in config.workspaces:
        yield from _workspace(config, workspace, fetcher, redact, env)


def look_at_exposure(config: Config, file: Path | None, *, has_password: bool) -> Iterator[Check]:
    """Warns of what others can read.

    Args:
        has_password: the file has the database's password in it.
    """
    if file is not None and has_password and readable_by_others(file):
        found = "every user can read it, and [database] url has a password"
        remedy = f"chmod o-r {file}, or the URL in $RFSYNC_DATABASE_URL, or the password in ~/.pgpass"
        yield Check("configuration", str(file), True, found, remedy, warning=True)
    host = parse_listen(config.daemon.listen)[0] if config.daemon.listen else "localhost"
    if not is_loopback(host):
        found = "others in the network can read ids and errors there: the daemon asks nobody for a password"
        remedy = '[daemon] listen = "127.0.0.1:9108", or a firewall or a proxy before it'
        yield Check("endpoint", config.daemon.listen, True, found, remedy, warning=True)


def worst_case(config: Config) -> str:
    """The longest time that a run of one project can take, whatever the API does.

    It does not include looking up the host's name, waiting for the database, and requests of other processes that share
    the rate limit.
    """
    api, limit = config.api, config.removals.confirm_limit
    # Each request may have to wait for its turn by requests_per_second, after those of all other threads.
    request = api.deadline_seconds + api.concurrency / api.requests_per_second
    retries = (api.attempts - 1) * (request + api.max_wait_seconds)
    fetch_list = request + retries
    lists = 1 if config.jobs.sync is False else 2
    # After a 304 that came too late, a list is fetched again. Of the missing records, only one is retried.
    run = lists * (fetch_list + request) + limit * request + (retries if limit else 0.0)
    # It may be the new id of another one: their workspaces and those themselves are asked, and it for their batches.
    new = run + limit * request + (1 + 2 * MAX_OWNERS) * fetch_list
    tries = f"{api.attempts} attempt{'s' if api.attempts > 1 else ''} of {api.deadline_seconds:g} s"
    return (
        f"a list is given up after {_span(fetch_list)} at the latest ({tries}, up to {api.max_wait_seconds:g} s "
        f"between them); if it is new, and may be another one's new id, its run after {_span(new)}; "
        f"with {limit} missing batches or jobs to ask for, its run after {_span(run)}"
    )


def _span(seconds: float) -> str:
    minutes, rest = divmod(math.ceil(round(seconds, 3)), 60)
    hours, minutes = divmod(minutes, 60)
    return " ".join(f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if n) or "0 s"


def _workspace(
    config: Config,
    workspace: WorkspaceConfig,
    fetcher: Fetcher,
    redact: Callable[[str], str],
    env: Mapping[str, str],
) -> Iterator[Check]:
    try:
        key = find_key(workspace, env, config.folder)
    except ConfigError as error:
        yield Check("key", workspace.id, False, str(error), _key_remedy(workspace))
        return
    exposed = exposed_file(workspace, key)
    found = f"from {key.source}" + (", which every user can read" if exposed else "")
    remedy = f"chmod o-r {exposed}" if exposed else None
    yield Check("key", workspace.id, True, found, remedy, warning=exposed is not None)
    explain = partial(_failed, redact, config.api.base_url, "[api] base_url")
    if workspace.base_url is not None:
        explain = partial(_failed, redact, workspace.base_url, "base_url in its [[workspaces]] table")
    workspaces = Workspaces(fetcher)
    try:
        # If the projects are named, the key need not be allowed to list them.
        listed = workspaces.projects(workspace.id, key.key) if workspace.discovers else workspace.projects
    except FetchError as error:
        yield explain("workspace", workspace.id, error, known=False)
        return
    except Cancelled:
        raise
    except Exception as error:
        yield _bug("workspace", workspace.id, error, redact)
        return
    yield _projects(workspace, listed)
    for task in [SyncTask(workspace.id, project, key.key) for project in listed if not workspace.excludes(project)]:
        known = None if workspace.discovers else workspaces
        check = _guarded("project", task, redact, partial(_project, task, fetcher, explain, known))
        yield check
        if check.ok and config.jobs.sync is not False:
            is_needed = config.jobs.sync is True
            yield _guarded("jobs", task, redact, partial(_jobs, task, fetcher, explain, is_needed=is_needed))


def _key_remedy(workspace: WorkspaceConfig) -> str:
    """How to give the key where the workspace's table says that it is."""
    variable = workspace.api_key_env or (None if workspace.api_key_file else DEFAULT_KEY_ENV)
    ways = [f"export {variable}=…"] if variable else []
    if workspace.api_key_file:
        ways.append("write the key into the file that api_key_file names, readable only by you (chmod 600)")
    return ", or ".join(ways)


def _projects(workspace: WorkspaceConfig, listed: Collection[str]) -> Check:
    """How many projects there are, and which are excluded, by which pattern."""
    patterns = {project: workspace.excluding_pattern(project) for project in listed}
    excluded = [f'{project} by "{pattern}"' for project, pattern in patterns.items() if pattern is not None]
    unused = [f'"{one}"' for one in workspace.exclude if not any(fnmatchcase(project, one) for project in listed)]
    found = f"{len(listed):,} project{'' if len(listed) == 1 else 's'}{'' if workspace.discovers else ' named'}"
    if excluded:
        found += f", {len(excluded):,} excluded: {_names(excluded)}"
    if unused:
        found += f"; no project is excluded by {_names(unused)}"
    is_any = len(excluded) < len(listed) or workspace.discovers
    remedy = None if is_any else "take at least one of them out of exclude, or the whole [[workspaces]] table"
    return Check("workspace", workspace.id, is_any, found, remedy)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _with_existing(check: Check, task: SyncTask, workspaces: Workspaces) -> Check:
    """The check of a project that is not there, with those that the workspace has, if its key may list them."""
    try:
        listed = list(workspaces.projects(task.workspace, task.key))
    except FetchError:
        return check
    meant = did_you_mean(close_names(task.project, listed)) or f"; the workspace has {_names(listed) or 'no project'}"
    return replace(check, found=f"{check.found}{meant}", remedy="correct projects in its [[workspaces]] table")


def _guarded(what: str, task: SyncTask, redact: Callable[[str], str], make: Callable[[], Check]) -> Check:
    try:
        return make()
    except Cancelled:
        raise
    except Exception as error:
        return _bug(what, str(task), error, redact)


def _project(task: SyncTask, fetcher: Fetcher, explain: Callable[..., Check], workspaces: Workspaces | None) -> Check:
    """Whether the key sees the project's batches.

    Args:
        workspaces: None: its workspace has it, as the API says.
    """
    try:
        answer = parse(fetcher.get(task.workspace, task.project, "batches", key=task.key).body)
    except FetchError as error:
        check = explain("project", str(task), error, known=workspaces is None)
        if error.kind is ErrorKind.NOT_FOUND and workspaces is not None:
            return _with_existing(check, task, workspaces)
        return check
    images = sum(batch.images or 0 for batch in answer.records)
    found = f"{len(answer.records):,} batches, {images:,} images"
    return Check("project", str(task), True, found + _rejected(answer.rejected))


def _jobs(task: SyncTask, fetcher: Fetcher, explain: Callable[..., Check], *, is_needed: bool) -> Check:
    """Whether the key sees the project's annotation jobs.

    Args:
        is_needed: a key that may not see them is wrong.
    """
    try:
        answer = parse(fetcher.get(task.workspace, task.project, "jobs", key=task.key).body, Kind.JOB)
    except FetchError as error:
        check = explain("jobs", str(task), error, known=True)
        if error.kind not in DENIALS:
            return check
        check = replace(check, remedy=JOBS_REMEDY)
        if is_needed:
            return check
        return replace(
            check, ok=True, warning=True, found=f"the key sees none, so only batches are synced: {check.found}"
        )
    images = sum(job.num_images or 0 for job in answer.records)
    found = f"{len(answer.records):,} jobs, {images:,} images in them"
    return Check("jobs", str(task), True, found + _rejected(answer.rejected))


def _rejected(rejected: Sequence[Rejected]) -> str:
    if not rejected:
        return ""
    first = rejected[0]
    return f"; {len(rejected)} records break the rules, the first at {first.position}: {first.reason}"


def _failed(
    redact: Callable[[str], str],
    base_url: str,
    setting: str,
    what: str,
    subject: str,
    error: FetchError,
    *,
    known: bool,
) -> Check:
    found = f"{error.kind}: {describe_error(error, redact)}"
    return Check(what, subject, False, found, remedy(error, base_url, setting, known=known))


def _bug(what: str, subject: str, error: Exception, redact: Callable[[str], str]) -> Check:
    return Check(what, subject, False, failed_by_bug(subject, error, redact).error or "")
