"""Configuration: TOML and environment in, one frozen ``Config`` out; every message names the key and its table.

Nothing here reads a key: ``rfsync.keys`` does, when a workspace is about to be asked.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from rfsync.errors import ConfigError
from rfsync.parsing import is_loopback, is_url_id, parse_duration, parse_listen

DEFAULT_FILE: Final = "rfsync.toml"
DEFAULT_KEY_ENV: Final = "ROBOFLOW_API_KEY"

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class DatabaseConfig(_Table, frozen=True):
    """``[database]``. The URL may hold a password: show ``str()`` of ``database.parse_url`` of it, never the URL."""

    url: str = "sqlite:///rfsync.db"

    def __repr__(self) -> str:
        return "DatabaseConfig(url=…)"


class ApiConfig(_Table, frozen=True):
    """``[api]``: how Roboflow is asked."""

    base_url: str = "https://api.roboflow.com"
    #: Projects fetched at once.
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    #: Over all projects of this process.
    requests_per_second: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 10.0
    auth: Literal["bearer", "query"] = "bearer"
    #: Tries of one request, the first included.
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    #: Of one request, from its start to the last byte.
    deadline_seconds: _Seconds = 60.0
    #: Between two attempts.
    max_wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0
    #: Of one body, after decompression.
    max_response_bytes: _Positive = 536_870_912


class RemovalsConfig(_Table, frozen=True):
    """``[removals]``: when a batch that is no longer listed counts as removed."""

    confirm_limit: Annotated[int, msgspec.Meta(ge=0)] = 25
    #: Observations in a row that must lack the same batches; 1: the first is believed.
    repeat: _Positive = 2


class ScheduleConfig(_Table, frozen=True):
    """``[schedule]``: exactly one of ``every`` and ``cron`` is in force."""

    every: timedelta | None = timedelta(minutes=5)
    cron: str | None = None
    #: In which ``cron`` is read.
    timezone: str = "UTC"
    #: A poll is up to that much later than it is due.
    jitter: timedelta = timedelta(seconds=10)


class DaemonConfig(_Table, frozen=True):
    """``[daemon]``."""

    #: HOST:PORT of /healthz and /metrics; "": none.
    listen: str = "127.0.0.1:9108"


class RetentionConfig(_Table, frozen=True):
    """``[retention]``."""

    #: How long runs that changed nothing are kept.
    unchanged_runs: timedelta = timedelta(days=30)


class WorkspaceConfig(_Table, frozen=True):
    """One ``[[workspaces]]`` table."""

    id: str
    #: Name of the variable that holds the key; None: the default one, unless there is a file.
    api_key_env: str | None = None
    #: File that holds nothing but the key.
    api_key_file: str | None = None
    #: ("*",): all that the workspace has.
    projects: tuple[str, ...] = ("*",)
    #: Glob patterns of projects to leave out.
    exclude: tuple[str, ...] = ()
    #: In place of ``[schedule]``'s, at most one of the two.
    every: timedelta | None = None
    cron: str | None = None

    @property
    def discovers(self) -> bool:
        """Whether the API is asked which projects there are."""
        return "*" in self.projects

    def excludes(self, project: str) -> bool:
        """Whether ``exclude`` names the project."""
        return any(fnmatchcase(project, pattern) for pattern in self.exclude)


class Config(_Table, frozen=True):
    """All of it. Every key has a default."""

    database: DatabaseConfig = DatabaseConfig()
    api: ApiConfig = ApiConfig()
    removals: RemovalsConfig = RemovalsConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    daemon: DaemonConfig = DaemonConfig()
    retention: RetentionConfig = RetentionConfig()
    workspaces: tuple[WorkspaceConfig, ...] = ()

    def workspace(self, workspace: str) -> WorkspaceConfig:
        """The table of a workspace, or the defaults if no table names it."""
        return next((w for w in self.workspaces if w.id == workspace), WorkspaceConfig(id=workspace))

    def schedule_of(self, workspace: str) -> ScheduleConfig:
        """When a workspace's projects are polled."""
        own = self.workspace(workspace)
        if own.every is None and own.cron is None:
            return self.schedule
        return msgspec.structs.replace(self.schedule, every=own.every, cron=own.cron)


def find_file(given: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Path | None:
    """The configuration file: the given one, else ``$RFSYNC_CONFIG``, else here, else the user's own; None: none.

    Raises:
        ConfigError: a file was named and is not there.
    """
    for source, named in (("--config", given), ("$RFSYNC_CONFIG", env.get("RFSYNC_CONFIG") or None)):
        if named is not None:
            if not Path(named).is_file():
                raise ConfigError(
                    f"{source} names {os.fspath(named)!r}, and there is no such file: rfsync init writes one"
                )
            return Path(named)
    here = Path(DEFAULT_FILE)
    if here.is_file():
        return here
    from platformdirs import user_config_path

    users = user_config_path("rfsync", appauthor=False) / DEFAULT_FILE
    return users if users.is_file() else None


def load(path: Path | None, env: Mapping[str, str], *, database_url: str | None = None) -> Config:
    """Reads and checks the configuration.

    Args:
        path: a TOML file; None: all defaults.
        env: the environment; ``RFSYNC_DATABASE_URL`` beats the file.
        database_url: beats both.

    Raises:
        ConfigError: with the file, the table and the key in its message.
    """
    try:
        raw = _read(path) if path is not None else {}
        return _check(raw, database_url or env.get("RFSYNC_DATABASE_URL") or None)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path is not None else str(error)) from error.__cause__


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, not UTF-8, a number of 5,000 digits
        raise ConfigError(f"not valid TOML: {error}") from error


def _check(raw: dict[str, Any], url: str | None) -> Config:
    _refuse_keys(raw)
    _read_durations(raw)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), raw)) from None
    if url is not None:
        config = msgspec.structs.replace(config, database=DatabaseConfig(url=url))
    _check_api(config.api)
    _check_schedule("[schedule]", config.schedule)
    _check_listen(config.daemon.listen)
    _check_workspaces(config.workspaces)
    for number, workspace in enumerate(config.workspaces, 1):
        _check_schedule(f"[[workspaces]] number {number} ({workspace.id})", config.schedule_of(workspace.id))
    return config


_SECRET_KEYS: Final = frozenset({"api_key", "apikey", "key", "token", "secret", "api_token", "roboflow_api_key"})


def _refuse_keys(raw: dict[str, Any]) -> None:
    """A key in the file would sooner or later be in a repository, a backup or a ticket."""
    tables = [("[[workspaces]]", t) for t in _tables(raw.get("workspaces"))]
    tables += [(f"[{name}]", t) for name, t in raw.items() if isinstance(t, dict)]
    for name, table in [("the top level", raw), *tables]:
        for key in table:
            if key.lower().replace("-", "_") in _SECRET_KEYS:
                raise ConfigError(
                    f"{name} holds a key under {key!r}: take it out, and name where it is instead, "
                    f'api_key_env = "{DEFAULT_KEY_ENV}" or api_key_file = "/run/secrets/roboflow" in [[workspaces]]'
                )


def _tables(value: object) -> Iterable[dict[str, Any]]:
    return [t for t in value if isinstance(t, dict)] if isinstance(value, list) else []


_DURATION_KEYS: Final = (("schedule", "every"), ("schedule", "jitter"), ("retention", "unchanged_runs"))


def _read_durations(raw: dict[str, Any]) -> None:
    schedule = raw.get("schedule")
    if isinstance(schedule, dict) and "cron" in schedule:
        if "every" in schedule:
            raise ConfigError("[schedule] has both every and cron: keep one of them")
        schedule["every"] = None
    for name, key in _DURATION_KEYS:
        table = raw.get(name)
        if isinstance(table, dict):
            _read_duration(f"[{name}]", table, key)
    for number, table in enumerate(_tables(raw.get("workspaces")), 1):
        _read_duration(f"[[workspaces]] number {number}", table, "every")


def _read_duration(where: str, table: dict[str, Any], key: str) -> None:
    if table.get(key) is None:
        return
    if not isinstance(table[key], str):
        raise ConfigError(f'{where} {key} must be a duration in quotes, such as "5m"')
    try:
        table[key] = parse_duration(table[key])
    except ValueError as error:
        raise ConfigError(f"{where} {key}: {error}") from None


_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


def _explain(message: str, raw: Mapping[str, Any]) -> str:
    """msgspec's message with the place as TOML writes it: the table, then the key."""
    match = _AT.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    parts = re.findall(r"\.?([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]", path)
    names = [name or f"[{index}]" for name, index in parts]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    if unknown:
        where = _table(names) if names else "the top level"
        return f"{where}: unknown key {unknown[1]!r}; rfsync init writes a file with every key"
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return f"{_table(names)}: {missing[1]} is missing"
    if what.startswith("Invalid enum value"):  # the value may be a key, pasted into the wrong place
        what = 'must be "bearer" or "query"'
    what = what[:1].lower() + what[1:]
    if len(names) == 1 and not isinstance(raw.get(names[0]), (dict, list)):
        return f"[{names[0]}] must be a table: {what}"
    key = next((n for n in names[1:] if not n.startswith("[")), "")
    return f"{_table(names)} {key}: {what}".replace(" :", ":")


def _table(names: list[str]) -> str:
    if names[0] != "workspaces":
        return f"[{names[0]}]"
    number = next((int(n[1:-1]) + 1 for n in names[1:2] if n[1:-1].isdigit()), None)
    return "[[workspaces]]" + (f" number {number}" if number else "")


def _check_api(api: ApiConfig) -> None:
    try:
        url = urlsplit(api.base_url)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in {"http", "https"} or not re.fullmatch(r"[!-~]+", api.base_url):
        raise ConfigError("[api] base_url must be an address such as https://api.roboflow.com")
    if url.username is not None or "?" in api.base_url or "#" in api.base_url:
        raise ConfigError("[api] base_url must hold no key, user, query or fragment: only scheme, host, port and path")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"[api] base_url: plain http would send the key readable to {host}; use https (http only for loopback)"
        )


def _check_schedule(where: str, schedule: ScheduleConfig) -> None:
    if schedule.every is not None and schedule.every <= timedelta(0):
        raise ConfigError(f"{where} every must be longer than 0s")
    if schedule.cron is None and schedule.timezone == "UTC":
        return  # what stands below is slow to import
    from zoneinfo import ZoneInfo

    from rfsync.schedule import Cron

    try:
        timezone = ZoneInfo(schedule.timezone)
    except (KeyError, ValueError, OSError):  # KeyError: not found; the others: of names that are no names
        raise ConfigError(f"[schedule] timezone: {schedule.timezone!r} is none, such as Europe/Berlin") from None
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
            raise ConfigError(f"{where} id: {workspace.id!r} has a table already; put its projects together in one")
        seen.add(workspace.id)
        _check_workspace(f"{where} ({workspace.id})", workspace)


def _check_workspace(where: str, workspace: WorkspaceConfig) -> None:
    # The value is not shown: what is no variable's name here is most likely the key itself.
    if workspace.api_key_env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", workspace.api_key_env):
        raise ConfigError(
            f"{where} api_key_env: must be the NAME of an environment variable, in capitals, never the key itself"
        )
    if workspace.every is not None and workspace.cron is not None:
        raise ConfigError(f"{where} has both every and cron: keep one of them")
    if workspace.api_key_file is not None and not workspace.api_key_file:
        raise ConfigError(f"{where} api_key_file: is empty; leave it out, or name a file")
    if not workspace.projects:
        raise ConfigError(f'{where} projects: is empty; leave it out, or write ["*"], for all of them')
    if "*" in workspace.projects and len(workspace.projects) > 1:
        raise ConfigError(f'{where} projects: ["*"] is all of them and stands alone')
    for project in workspace.projects:
        if project != "*" and not is_url_id(project):
            raise ConfigError(
                f'{where} projects: {project!r} is no project id; for all of them write ["*"], with exclude = [...]'
            )
