"""The configuration file: found, read, converted to its tables, and checked."""

import os
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from rfsync.config.tables import DEFAULT_KEY_ENV, Config, DatabaseConfig, ScheduleConfig, WorkspaceConfig
from rfsync.errors import ConfigError
from rfsync.parsing import is_loopback, is_url_id, parse_duration, parse_listen, read_variable
from rfsync.text import decode_utf8, shown_name

_DEFAULT_FILE: Final = "rfsync.toml"


def find_file(given: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Path | None:
    """The configuration file: the given one, ``$RFSYNC_CONFIG``, ``./rfsync.toml``, or the user's; None: there is none.

    Raises:
        ConfigError: a named file does not exist.
    """
    if given is not None:
        return _named_file("--config", os.fspath(given))
    named = read_variable(env, "RFSYNC_CONFIG")
    if named is not None:
        return _named_file("$RFSYNC_CONFIG", named)
    # Not Path.is_file(), which raises an error where a folder may not be searched: another user's home, for example.
    if os.path.isfile(_DEFAULT_FILE):  # noqa: PTH113
        return Path(_DEFAULT_FILE)
    from platformdirs import user_config_path

    users = user_config_path("rfsync", appauthor=False) / _DEFAULT_FILE
    return users if os.path.isfile(users) else None  # noqa: PTH113


def _named_file(source: str, name: str) -> Path:
    try:
        is_folder = Path(name).is_dir()
        Path(name).stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: there is a NUL in it
        reason = "there is no such file: rfsync init writes one"
    except OSError as error:
        reason = f"it can't be read: {error.strerror}"
    else:
        if not is_folder:
            return Path(name)
        reason = "that is a folder: name the file in it"
    raise ConfigError(f"{source} names {shown_name(name)}, and {reason}")


def load(path: Path | None, env: Mapping[str, str], *, database_url: str | None = None) -> Config:
    """Reads and checks the configuration.

    Args:
        path: a TOML file; None: all defaults.
        env: the environment; ``RFSYNC_DATABASE_URL`` overrides the file.
        database_url: overrides both.

    Raises:
        ConfigError: something is wrong; the message names the file, the table and the key.
    """
    url = database_url or read_variable(env, "RFSYNC_DATABASE_URL")
    try:
        raw = _read(path) if path is not None else {}
        config = _convert(raw)
        _check(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path is not None else str(error)) from error.__cause__
    return msgspec.structs.replace(config, database=DatabaseConfig(url=url)) if url else config


#: Quotes and blanks that word processors and web pages put in the place of plain ones.
_TYPOGRAPHIC: Final = re.compile("[\u2018-\u201f\u00ab\u00bb\u2032\u2033\u00a0]")


def _read(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = decode_utf8(path.read_bytes())
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, not UTF-8, a number of 5,000 digits
        raise ConfigError(f"not valid TOML: {_typographic(text, str(error)) or error}") from error


def _typographic(text: str, message: str) -> str | None:
    """An explanation for TOML that is invalid because of the kind of its quotes or blanks; None: it is not."""
    lines = text.rstrip().split("\n")
    named = re.search(r"at line (\d+)", message)
    number = int(named[1]) if named else len(lines)  # else at the end of the document
    found = _TYPOGRAPHIC.search(lines[number - 1]) if number <= len(lines) else None
    if found is None:
        return None
    return f'line {number} has a {unicodedata.name(found[0]).lower()}: write plain quotes (") and blanks'


def _convert(raw: dict[str, Any]) -> Config:
    _refuse_keys(raw)
    _parse_durations(raw)
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), raw)) from None


_SECRET_KEYS: Final = frozenset({"api_key", "apikey", "key", "token", "secret", "api_token", "roboflow_api_key"})
_DURATION_KEYS: Final = frozenset({"every", "jitter", "recheck", "unchanged_runs"})


def _tables(raw: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each table with its name as TOML writes it."""
    for name, value in raw.items():
        if isinstance(value, dict):
            yield f"[{name}]", value
        for number, table in enumerate(value if isinstance(value, list) else (), 1):
            if isinstance(table, dict):
                yield f"[[{name}]] number {number}", table


def _refuse_keys(raw: dict[str, Any]) -> None:
    """Keys in the file would sooner or later get into a repository or a backup."""
    for name, table in [("the top level", raw), *_tables(raw)]:
        for key in table:
            if key.lower().replace("-", "_") in _SECRET_KEYS:
                raise ConfigError(
                    f"{name} contains a key under {key!r}: take it out, and name where it is instead, "
                    f'api_key_env = "{DEFAULT_KEY_ENV}" or api_key_file = "/run/secrets/roboflow" in [[workspaces]]'
                )


def _parse_durations(raw: dict[str, Any]) -> None:
    schedule = raw.get("schedule")
    if isinstance(schedule, dict) and "cron" in schedule:
        if "every" in schedule:
            raise ConfigError("[schedule] has both every and cron: keep one of them")
        schedule["every"] = None
    for name, table in _tables(raw):
        for key in [key for key in table if key in _DURATION_KEYS and table[key] is not None]:
            if not isinstance(table[key], str):
                raise ConfigError(f'{name} {key} must be a duration in quotes, such as "5m"')
            try:
                table[key] = parse_duration(table[key])
            except ValueError as error:
                raise ConfigError(f"{name} {key}: {error}") from None


_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


def _explain(message: str, raw: Mapping[str, Any]) -> str:
    """msgspec's message, with the table and the key as in TOML."""
    match = _AT.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    parts = re.findall(r"\.?([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]", path)
    names = [name or f"[{index}]" for name, index in parts]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    if unknown:
        where = _table_name(names) if names else "the top level"
        return f"{where}: unknown key {unknown[1]!r}; rfsync init writes a file with every key"
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return f"{_table_name(names)}: {missing[1]} is missing"
    if what.startswith("Invalid enum value"):  # the value may be a key, pasted into the wrong place
        what = 'must be "bearer" or "query"'
    what = what[:1].lower() + what[1:]
    if len(names) == 1 and not isinstance(raw.get(names[0]), (dict, list)):
        return f"[{names[0]}] must be a table: {what}"
    key = next((n for n in names[1:] if not n.startswith("[")), "")
    return f"{_table_name(names)} {key}: {what}".replace(" :", ":")


def _table_name(names: list[str]) -> str:
    if names[0] != "workspaces":
        return f"[{names[0]}]"
    number = next((int(n[1:-1]) + 1 for n in names[1:2] if n[1:-1].isdigit()), None)
    return "[[workspaces]]" + (f" number {number}" if number else "")


def _check(config: Config) -> None:
    """Checks the rules that the types don't express."""
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
        raise ConfigError(f"{where} base_url must be a URL such as https://api.roboflow.com")
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
    if workspace.base_url is not None:
        _check_base_url(where, workspace.base_url)
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
