"""The rules for the configuration that its types don't express."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from rfsync.config.tables import ApiConfig, Config, ScheduleConfig, WorkspaceConfig
from rfsync.errors import ConfigError
from rfsync.parsing import is_loopback, is_url_id, parse_listen


def check(config: Config) -> None:
    """Checks all rules.

    Raises:
        ConfigError: one is broken; the message names the table and the key.
    """
    _check_api(config.api)
    _check_schedule("[schedule]", config.schedule)
    _check_listen(config.daemon.listen)
    _check_workspaces(config.workspaces)
    for number, workspace in enumerate(config.workspaces, 1):
        _check_schedule(f"[[workspaces]] number {number} ({workspace.id})", config.schedule_of(workspace.id))


def _check_api(api: ApiConfig) -> None:
    try:
        url = urlsplit(api.base_url)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in {"http", "https"} or not re.fullmatch(r"[!-~]+", api.base_url):
        raise ConfigError("[api] base_url must be a URL such as https://api.roboflow.com")
    if url.username is not None or "?" in api.base_url or "#" in api.base_url:
        raise ConfigError(
            "[api] base_url must not contain a key, user, query or fragment: only scheme, host, port and path"
        )
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"[api] base_url: plain http would send the key readable to {host}; use https (http only for loopback)"
        )


def _check_schedule(where: str, schedule: ScheduleConfig) -> None:
    if schedule.every is not None and schedule.every <= timedelta(0):
        raise ConfigError(f"{where} every must be longer than 0s")
    if schedule.cron is None and schedule.timezone == "UTC":
        return  # the imports below are slow
    from zoneinfo import ZoneInfo

    from rfsync.schedule import Cron

    try:
        timezone = ZoneInfo(schedule.timezone)
    except (KeyError, ValueError, OSError):  # KeyError: not found; the others: not the form of a name
        raise ConfigError(
            f"[schedule] timezone: {schedule.timezone!r} is not a time zone such as Europe/Berlin"
        ) from None
    if schedule.cron is not None:
        try:
            Cron(schedule.cron, timezone)
        except ValueError as error:
            raise ConfigError(f"{where} cron: {error}; five fields are needed, such as */5 * * * *") from None


def _check_listen(listen: str) -> None:
    if listen:
        try:
            parse_listen(listen)
        except ValueError as error:
            raise ConfigError(f'[daemon] listen: {error}; "" for none') from None


def _check_workspaces(workspaces: Iterable[WorkspaceConfig]) -> None:
    seen: set[str] = set()
    for number, workspace in enumerate(workspaces, 1):
        where = f"[[workspaces]] number {number}"
        if not is_url_id(workspace.id):
            raise ConfigError(f"{where} id: must be the id as in app.roboflow.com/ID")
        if workspace.id in seen:
            raise ConfigError(f"{where} id: {workspace.id!r} has another table already; name its projects in one")
        seen.add(workspace.id)
        _check_workspace(f"{where} ({workspace.id})", workspace)


def _check_workspace(where: str, workspace: WorkspaceConfig) -> None:
    # The value is not shown: if it is not the name of a variable, it is probably the key itself.
    if workspace.api_key_env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", workspace.api_key_env):
        raise ConfigError(
            f"{where} api_key_env: must be the NAME of an environment variable, in capitals, never the key itself"
        )
    if workspace.every is not None and workspace.cron is not None:
        raise ConfigError(f"{where} has both every and cron: keep one of them")
    if workspace.api_key_file is not None and not workspace.api_key_file:
        raise ConfigError(f"{where} api_key_file: is empty; leave it out, or name a file")
    if not workspace.projects:
        raise ConfigError(f'{where} projects: is empty; leave it out, or write ["*"] for all projects')
    if "*" in workspace.projects and len(workspace.projects) > 1:
        raise ConfigError(f'{where} projects: ["*"] means all projects, and must stand alone')
    for project in workspace.projects:
        if project != "*" and not is_url_id(project):
            raise ConfigError(
                f'{where} projects: {project!r} is not a project id; for all projects write ["*"], with exclude = [...]'
            )
