"""The rules that the types of the tables don't express."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from rfsync.config.tables import Config, ScheduleConfig, WorkspaceConfig
from rfsync.config.wording import EXAMPLES, assignment
from rfsync.errors import ConfigError
from rfsync.parsing import is_loopback, is_url_id, parse_listen
from rfsync.text import shown_name


def check_rules(config: Config) -> None:
    """Checks that each value can be used.

    Raises:
        ConfigError: one can't; the message names its table and key, and says how to write it.
    """
    _check_base_url("[api]", config.api.base_url)
    _check_schedule("[schedule]", config.schedule)
    _check_listen(config.daemon.listen)
    _check_workspaces(config.workspaces)
    for number, workspace in enumerate(config.workspaces, 1):
        _check_schedule(f"[[workspaces]] number {number} ({workspace.id})", config.schedule_of(workspace.id))


def _check_base_url(where: str, base_url: str) -> None:
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in {"http", "https"} or not re.fullmatch(r"[!-~]+", base_url):
        # Anything else may be a key.
        is_host = re.fullmatch(r"([a-z0-9-]+\.)+[a-z]+(:[0-9]+)?", base_url)
        corrected = f"https://{base_url}" if is_host else EXAMPLES["base_url"]
        raise ConfigError(f"{where} base_url must be a URL: write {assignment('base_url', corrected)}")
    if url.username is not None or "?" in base_url or "#" in base_url:
        raise ConfigError(
            f"{where} base_url must not contain a key, user, query or fragment: only scheme, host, port and path"
        )
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"{where} base_url: plain http would send the key readable to {host}; use https (http only for loopback)"
        )


def _check_schedule(where: str, schedule: ScheduleConfig) -> None:
    if schedule.every is not None and schedule.every <= timedelta(0):
        raise ConfigError(f"{where} every must be longer than 0s: such as {assignment('every', '5m')}")
    if schedule.cron is None and schedule.timezone == "UTC":
        return  # the imports below are slow
    from zoneinfo import ZoneInfo

    from rfsync.schedule import Cron

    try:
        timezone = ZoneInfo(schedule.timezone)
    except (KeyError, ValueError, OSError):  # KeyError: not found; the others: not the form of a name
        raise ConfigError(
            f'[schedule] timezone: {schedule.timezone!r} is not a time zone: such as timezone = "Europe/Berlin"'
        ) from None
    if schedule.cron is not None:
        try:
            Cron(schedule.cron, timezone)
        except ValueError as error:
            raise ConfigError(f"{where} cron: {error}: such as {assignment('cron', EXAMPLES['cron'])}") from None


def _check_listen(listen: str) -> None:
    if listen:
        try:
            parse_listen(listen)
        except ValueError as error:
            example = assignment("listen", EXAMPLES["listen"])
            raise ConfigError(f'[daemon] listen: {error}: such as {example}; "" for none') from None


def _check_workspaces(workspaces: Iterable[WorkspaceConfig]) -> None:
    seen: dict[str, WorkspaceConfig] = {}
    for number, workspace in enumerate(workspaces, 1):
        where = f"[[workspaces]] number {number}"
        if not is_url_id(workspace.id):
            raise ConfigError(f"{where} id: {_corrected_id(workspace)}")
        other = seen.setdefault(workspace.id, workspace)
        if other is not workspace:
            projects = list(dict.fromkeys([*other.projects, *workspace.projects]))
            corrected = assignment("projects", ["*"] if "*" in projects else projects)
            raise ConfigError(f"{where} id: {workspace.id!r} has another table already: keep one, with {corrected}")
        _check_workspace(f"{where} ({workspace.id})", workspace)


#: An address as the browser shows it, or an id with that of a project.
_ADDRESS: Final = re.compile(r"(?:https?://)?(?:app\.roboflow\.com/)?([^\s/]+)(?:/([^\s/]+))?(?:/.*)?")


def _corrected_id(workspace: WorkspaceConfig) -> str:
    """What is wrong with an id that is none."""
    found = _ADDRESS.fullmatch(workspace.id)
    if found is None or not is_url_id(found[1]):
        example = assignment("id", EXAMPLES["id"])
        return f"{shown_name(workspace.id)} is no id: write the one in app.roboflow.com/ID, such as {example}"
    more = ""
    if found[2] is not None and is_url_id(found[2]):
        others = () if workspace.discovers else workspace.projects
        more = f" and {assignment('projects', list(dict.fromkeys([*others, found[2]])))}"
    return f"{shown_name(workspace.id)} is more than the id of a workspace: write {assignment('id', found[1])}{more}"


def _check_workspace(where: str, workspace: WorkspaceConfig) -> None:
    # The value is not shown: if it is not the name of a variable, it is probably the key itself.
    if workspace.api_key_env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", workspace.api_key_env):
        raise ConfigError(
            f"{where} api_key_env: must be the NAME of an environment variable, in capitals, never the key itself: "
            f"such as {assignment('api_key_env', EXAMPLES['api_key_env'])}"
        )
    if workspace.every is not None and workspace.cron is not None:
        raise ConfigError(f"{where} has both every and cron: keep one of them")
    if workspace.base_url is not None:
        _check_base_url(where, workspace.base_url)
    if workspace.api_key_file is not None and not workspace.api_key_file:
        raise ConfigError(f"{where} api_key_file: is empty; leave it out, or name a file")
    _check_projects(where, workspace)


def _check_projects(where: str, workspace: WorkspaceConfig) -> None:
    if not workspace.projects:
        raise ConfigError(f'{where} projects: is empty; leave it out, or write ["*"] for all projects')
    for key, values in (("projects", workspace.projects), ("exclude", workspace.exclude)):
        for value in values:
            owner, slash, project = value.rpartition("/")
            if slash and project and (owner.rpartition("/")[2] == workspace.id or not is_url_id(owner)):
                plain = [v.rpartition("/")[2] if v.startswith(f"{owner}/") else v for v in values]
                raise ConfigError(
                    f"{where} {key}: {value!r} is more than the id of a project: write {assignment(key, plain)}"
                )
            if slash and is_url_id(owner) and project:
                raise ConfigError(
                    f"{where} {key}: {value!r} is of another workspace: it belongs into a [[workspaces]] table with "
                    f"{assignment('id', owner)}, as {assignment(key, [project])}"
                )
    if "*" in workspace.projects and len(workspace.projects) > 1:
        raise ConfigError(f'{where} projects: ["*"] means all projects, and must stand alone')
    for project in workspace.projects:
        if project != "*" and not is_url_id(project):
            raise ConfigError(
                f'{where} projects: {project!r} is not a project id; for all projects write ["*"], with exclude = [...]'
            )
