"""The API key of a workspace: in a variable, a file, or the configuration of the official command line."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rfsync.config import DEFAULT_KEY_ENV, WorkspaceConfig
from rfsync.errors import ConfigError
from rfsync.parsing import read_variable
from rfsync.redaction import Secret
from rfsync.text import decode_utf8, shown_name

#: The folder of a unit's credentials: systemd.exec(5), "LoadCredential=".
_CREDENTIALS: Final = "$CREDENTIALS_DIRECTORY"


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and where it was found."""

    key: Secret
    source: str


def find_key(workspace: WorkspaceConfig, env: Mapping[str, str], folder: Path = Path()) -> FoundKey:
    """The key of a workspace.

    A variable or file that the workspace's table names comes first. The default variable is used only if neither is
    named, since its key is probably another workspace's.

    Args:
        folder: what a relative path of the file starts from.

    Raises:
        ConfigError: there is no key, or an invalid one.
    """
    tried: list[str] = []
    variable = workspace.api_key_env or (None if workspace.api_key_file else DEFAULT_KEY_ENV)
    if variable:
        if key := _bare(env.get(variable, "")):
            return _checked(key, f"${variable}")
        tried.append(f"${variable} is not set")
    if workspace.api_key_file:
        shown = _shown_file(workspace.api_key_file, folder)
        try:
            path = folder / _expanded(workspace.api_key_file, env)
            key = _bare(decode_utf8(path.read_bytes()))
        except (OSError, ValueError, RuntimeError) as error:  # also: not text, not a path, no home directory
            tried.append(f"{shown} can't be read ({getattr(error, 'strerror', None) or error})")
        else:
            if key:
                return _checked(key, str(path))
            tried.append(f"{shown} is empty")
    path = _official_file(env)
    found = _official_key(path, workspace.id)
    if isinstance(found, Secret):
        return _checked(found.reveal(), f"{path} of the Roboflow CLI")
    tried.append(f"{shown_name(str(path))} of the Roboflow CLI {found}")
    raise ConfigError(f"workspace {workspace.id!r} has no API key: {'; '.join(tried)}. {_way_out(workspace, folder)}")


def _shown_file(name: str, folder: Path) -> str:
    # A value that does not look like a path may be the key itself, pasted into the wrong place.
    if not {"/", "."} & set(name):
        return "the file that api_key_file names"
    shown = shown_name(name)
    if shown != repr(name) or name[0] in "$~":  # not shown as it is, or of a folder of its own
        return shown
    return repr(str(folder / name))


def _way_out(workspace: WorkspaceConfig, folder: Path) -> str:
    """The places where a key would count: the default variable does not where another place is named."""
    table = "in its [[workspaces]] table"
    if workspace.api_key_file is None:
        other = f"correct api_key_env {table}" if workspace.api_key_env else f"name api_key_file {table}"
        return f"Set {workspace.api_key_env or DEFAULT_KEY_ENV}, or {other}"
    file = f"write the key, and nothing else, into {_shown_file(workspace.api_key_file, folder)}"
    if workspace.api_key_env is not None:
        return f"Set {workspace.api_key_env}, or {file}, or correct api_key_env or api_key_file {table}"
    return f"{file[0].upper()}{file[1:]}, or correct api_key_file {table}"


def _expanded(name: str, env: Mapping[str, str]) -> Path:
    """The path with the folder that ``$CREDENTIALS_DIRECTORY`` at its start, or ``~``, stands for.

    Raises:
        ValueError: there are no credentials.
        RuntimeError: there is no home folder.
    """
    start, slash, rest = name.partition("/")
    if start != _CREDENTIALS or not slash:
        return Path(name).expanduser()
    folder = env.get(_CREDENTIALS.removeprefix("$"))
    if not folder:
        raise ValueError("systemd sets that variable, and only for a unit with LoadCredential=")
    return Path(folder, rest)


def _bare(text: str) -> str:
    """The content of a variable or file without blanks, a byte order mark and quotes around it, which no key has."""
    text = text.strip().removeprefix("\ufeff").strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in {'"', "'"} else text


def _checked(key: str, source: str) -> FoundKey:
    # A character that a header can't contain would fail later, in an exception that shows the key.
    if not key.isascii() or not key.isprintable() or " " in key:
        what = "there are characters in it that no key has; write the key there, and nothing else"
        raise ConfigError(f"{source} holds no API key: {what}")
    return FoundKey(Secret(key), source)


def _official_file(env: Mapping[str, str]) -> Path:
    """The same as in the ``roboflow`` package's config.py. Despite its name, the variable has the path of the file."""
    named = read_variable(env, "ROBOFLOW_CONFIG_DIR")
    # Not Path.home(), which raises an error where a user has no home.
    return Path(named or os.path.join(env.get("HOME") or os.path.expanduser("~"), ".config/roboflow/config.json"))  # noqa: PTH111, PTH118


def _official_key(path: Path, workspace: str) -> Secret | str:
    """The key in ``{"workspaces": {…: {"url": workspace, "apiKey": key}}}``, or why there is none."""
    try:
        content: Any = json.loads(decode_utf8(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except (json.JSONDecodeError, RecursionError):
        return "is not valid JSON"
    except (OSError, ValueError) as error:
        return f"can't be read ({getattr(error, 'strerror', None) or error})"
    workspaces = content.get("workspaces") if isinstance(content, dict) else None
    for name, entry in workspaces.items() if isinstance(workspaces, dict) else ():
        if isinstance(entry, dict) and workspace == entry.get("url", name):
            key = entry.get("apiKey")
            if isinstance(key, str) and key.strip():
                return Secret(key.strip())
    return "has none for it"


def exposed_file(workspace: WorkspaceConfig, found: FoundKey) -> Path | None:
    """The file named in the workspace's table, if the key is from there and every user can read it."""
    path = Path(found.source)
    return path if workspace.api_key_file and readable_by_others(path) else None


def readable_by_others(path: Path) -> bool:
    """Tells if others than the file's owner and group can read it, and its mode could be changed.

    Secrets that a container gets are readable by all users in it, in a file system that can't be written.
    """
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return False
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False
