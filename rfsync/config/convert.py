"""From what TOML says to ``Config``; each error says what was written and, if that is known, the corrected line."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from rfsync.config.tables import DEFAULT_KEY_ENV, TABLES, Config
from rfsync.config.wording import EXAMPLES, assignment, type_error
from rfsync.errors import ConfigError
from rfsync.parsing import parse_duration

_SECRET_KEYS: Final = frozenset({"api_key", "apikey", "key", "token", "secret", "api_token", "roboflow_api_key"})
_DURATION_KEYS: Final = frozenset({"every", "jitter", "recheck", "unchanged_runs"})


def convert(raw: dict[str, Any]) -> Config:
    """The configuration that TOML's tables describe.

    Raises:
        ConfigError: a table, a key or the type of a value is wrong.
    """
    _refuse_secrets(raw)
    for name, value in raw.items():
        _check_table(name, value)
    for title, name, table in _tables(raw):
        for key in table:
            _check_key(title, name, key)
    _parse_durations(raw)
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), raw)) from None


def _tables(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each table: as TOML writes its name, its name alone, and what is in it."""
    for name, value in raw.items():
        if isinstance(value, dict):
            yield f"[{name}]", name, value
        for number, table in enumerate(value if isinstance(value, list) else (), 1):
            if isinstance(table, dict):
                yield f"[[{name}]] number {number}", name, table


def _refuse_secrets(raw: dict[str, Any]) -> None:
    """Keys in the file would sooner or later get into a repository or a backup."""
    for title, _, table in [("the top level", "", raw), *_tables(raw)]:
        for key in table:
            if key.lower().replace("-", "_") in _SECRET_KEYS:
                raise ConfigError(
                    f"{title} contains a key under {key!r}: take it out, and name where it is instead, "
                    f'api_key_env = "{DEFAULT_KEY_ENV}" or api_key_file = "/run/secrets/roboflow" in [[workspaces]]'
                )


def _header(table: str) -> str:
    """The line with which a table begins."""
    return "[[workspaces]]" if table == "workspaces" else f"[{table}]"


def _check_table(name: str, value: Any) -> None:
    """Checks the name of a table, and its brackets."""
    if name not in TABLES:
        raise ConfigError(f"the top level: {_unknown_key(name, TABLES)}")
    header = _header(name)
    is_list = isinstance(value, list) and all(isinstance(table, dict) for table in value)
    if name != "workspaces":
        if is_list and value:
            raise ConfigError(f"[[{name}]] has too many brackets: write {header}")
        if not isinstance(value, dict):
            raise ConfigError(f"{header} must be a table: write {header} in a line of its own, and its keys below it")
    elif isinstance(value, dict):
        inner = next((key for key, table in value.items() if isinstance(table, dict)), None)
        if inner is not None:
            raise ConfigError(f"[workspaces.{inner}] must be {header}, with {assignment('id', inner)} below it")
        raise ConfigError(f"[workspaces] has too few brackets: write {header}, one for each workspace")
    elif not is_list:
        raise ConfigError(f"{header} must be a table: write {header} in a line of its own, and its keys below it")


def _check_key(title: str, table: str, key: str) -> None:
    if key not in TABLES[table]:
        raise ConfigError(f"{title}: {_unknown_key(key, TABLES[table])}")


def _unknown_key(key: str, known: Collection[str]) -> str:
    """What an unknown key was probably meant to be.

    Args:
        known: the keys of its table; at the top level, the names of the tables.
    """
    from difflib import get_close_matches

    plain = key.lower().replace("-", "_")
    similar = [plain] if plain in known or _owners(plain) else get_close_matches(plain, known, 1)
    similar = similar or get_close_matches(plain, {key for keys in TABLES.values() for key in keys}, 1)
    if not similar:
        remedy = f"the keys here are {', '.join(known)}"
    elif similar[0] in known:
        remedy = f"write {_header(similar[0]) if similar[0] in TABLES else similar[0]}"
    else:
        remedy = f"{similar[0]} belongs below a line {' or '.join(map(_header, _owners(similar[0])))}"
    return f"unknown key {key!r}: {remedy}"


def _owners(key: str) -> list[str]:
    """The tables that have such a key."""
    return [table for table, keys in TABLES.items() if key in keys]


def _parse_durations(raw: dict[str, Any]) -> None:
    schedule = raw.get("schedule", {})
    if "cron" in schedule:
        if "every" in schedule:
            raise ConfigError("[schedule] has both every and cron: keep one of them")
        schedule["every"] = None
    for title, _, table in _tables(raw):
        for key in [key for key in table if key in _DURATION_KEYS and table[key] is not None]:
            value = table[key]
            if not isinstance(value, str):
                example = assignment(key, EXAMPLES[key])
                raise ConfigError(f"{title} {key} must be a duration in quotes, with its unit: such as {example}")
            try:
                table[key] = parse_duration(value)
            except ValueError as error:
                raise ConfigError(f"{title} {key}: {error}; such as {assignment(key, EXAMPLES[key])}") from None


_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


def _explain(message: str, raw: Mapping[str, Any]) -> str:
    """msgspec's message in words, with the table and the key as in TOML."""
    match = _AT.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    table, *rest = (name or int(index) for name, index in re.findall(r"\.?([A-Za-z_]\w*)|\[(\d+)\]", path))
    title, value = f"[{table}]", raw[str(table)]
    if rest and isinstance(rest[0], int):
        title, value = f"[[{table}]] number {rest[0] + 1}", value[rest[0]]
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return f"{title}: {missing[1]} is missing: write {assignment(missing[1], EXAMPLES[missing[1]])}"
    key = next(name for name in rest if isinstance(name, str))
    return f"{title} {key}: {type_error(what, key, value[key])}"
