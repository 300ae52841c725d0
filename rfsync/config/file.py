"""The configuration file: found, read, and converted to its tables."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from rfsync.config.checks import check
from rfsync.config.tables import DEFAULT_KEY_ENV, Config, DatabaseConfig
from rfsync.errors import ConfigError
from rfsync.parsing import parse_duration

DEFAULT_FILE: Final = "rfsync.toml"


def find_file(given: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Path | None:
    """The configuration file: the given one, ``$RFSYNC_CONFIG``, ``./rfsync.toml``, or the user's; None: there is none.

    Raises:
        ConfigError: a named file does not exist.
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
        env: the environment; ``RFSYNC_DATABASE_URL`` overrides the file.
        database_url: overrides both.

    Raises:
        ConfigError: something is wrong; the message names the file, the table and the key.
    """
    try:
        raw = _read(path) if path is not None else {}
        config = _convert(raw)
        check(config)
        url = database_url or env.get("RFSYNC_DATABASE_URL")
        return msgspec.structs.replace(config, database=DatabaseConfig(url=url)) if url else config
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


def _convert(raw: dict[str, Any]) -> Config:
    _refuse_keys(raw)
    _parse_durations(raw)
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), raw)) from None


_SECRET_KEYS: Final = frozenset({"api_key", "apikey", "key", "token", "secret", "api_token", "roboflow_api_key"})
_DURATION_KEYS: Final = frozenset({"every", "jitter", "unchanged_runs"})


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
