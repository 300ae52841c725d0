"""The configuration file: found, read, and its relative paths taken as meant from its folder."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from rfsync.config.convert import convert
from rfsync.config.rules import check_rules
from rfsync.config.tables import Config, DatabaseConfig
from rfsync.config.toml import parse_toml
from rfsync.errors import ConfigError
from rfsync.parsing import read_variable
from rfsync.text import shown_name

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
        # A shell expands ~; a crontab or an environment file does not.
        return _named_file("$RFSYNC_CONFIG", os.path.expanduser(named))  # noqa: PTH111 Path's raises where there is no home
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
        config = convert(raw)
        check_rules(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path is not None else str(error)) from error.__cause__
    folder = _folder(path) if path is not None else Path()
    database = DatabaseConfig(url=url or _from_folder(config.database.url, folder))
    return msgspec.structs.replace(config, database=database, folder=folder)


#: Where a process finds its open files: no folder that a person would mean.
_OPEN_FILES: Final = re.compile(r"/dev|/dev/fd|/proc/\d+(?:/task/\d+)?/fd")


def _folder(path: Path) -> Path:
    """What relative paths in a file start from.

    Of a symbolic link it is the folder of the link: where the target lies is a matter of whoever made the link, such as
    a dotfiles repository, or a container's volume, which moves at each update. What comes through a pipe has no folder.
    """
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError:  # it went away after it was read
        is_file = True
    return Path() if not is_file or _OPEN_FILES.fullmatch(os.path.realpath(path.parent)) else path.parent


def _from_folder(url: str, folder: Path) -> str:
    """The database's URL; the relative path of an SQLite file starts from the folder."""
    scheme, separator, file = url.strip().partition(":///")
    is_sqlite = separator and scheme.startswith("sqlite")
    is_relative = is_sqlite and file != ":memory:" and file[:1] not in {"", "/", "~", "?"}
    return f"{scheme}:///{folder / file}" if is_relative else url


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}") from error
