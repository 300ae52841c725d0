"""The API key of a workspace: in a variable, a file, or the configuration of the official command line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfsync.config import DEFAULT_KEY_ENV, WorkspaceConfig
from rfsync.errors import ConfigError
from rfsync.redaction import Secret


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and where it was found."""

    key: Secret
    source: str


def find_key(workspace: WorkspaceConfig, env: Mapping[str, str]) -> FoundKey:
    """The key of a workspace.

    A variable or file that the workspace's table names comes first. The default variable is used only if neither is
    named, since its key is probably another workspace's.

    Raises:
        ConfigError: there is no key, or an invalid one.
    """
    tried: list[str] = []
    variable = workspace.api_key_env or (None if workspace.api_key_file else DEFAULT_KEY_ENV)
    if variable:
        if env.get(variable, "").strip():
            return _checked(env[variable], f"${variable}")
        tried.append(f"${variable} is not set")
    if workspace.api_key_file:
        path = Path(workspace.api_key_file)
        # A value that does not look like a path may be the key itself, pasted into the wrong place.
        shown = str(path) if {"/", "."} & set(workspace.api_key_file) else "the file that api_key_file names"
        try:
            path = path.expanduser()
            text = path.read_text()
        except UnicodeDecodeError:
            tried.append(f"{shown} can't be read (not text)")
        except (OSError, ValueError, RuntimeError) as error:  # also: not a path, no home directory
            tried.append(f"{shown} can't be read ({getattr(error, 'strerror', None) or error})")
        else:
            if text.strip():
                return _checked(text, str(path))
            tried.append(f"{shown} is empty")
    path = _official_file(env)
    key = _official_key(path, workspace.id)
    if key:
        return _checked(key, f"{path} of the Roboflow CLI")
    tried.append(f"{path} of the Roboflow CLI has none for it")
    raise ConfigError(
        f"workspace {workspace.id!r} has no API key: {'; '.join(tried)}. "
        f"Set {variable or DEFAULT_KEY_ENV}, or name api_key_file in its [[workspaces]] table"
    )


def _checked(text: str, source: str) -> FoundKey:
    key = text.strip()
    # A character that a header can't contain would fail later, in an exception that shows the key.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{source} holds no API key: there are characters in it that no key has")
    return FoundKey(Secret(key), source)


def _official_file(env: Mapping[str, str]) -> Path:
    """The same as in the ``roboflow`` package's config.py. Despite its name, the variable has the path of the file."""
    named = env.get("ROBOFLOW_CONFIG_DIR")
    return Path(named) if named else Path(env.get("HOME") or Path.home()) / ".config" / "roboflow" / "config.json"


def _official_key(path: Path, workspace: str) -> str | None:
    """The key in ``{"workspaces": {…: {"url": workspace, "apiKey": key}}}``; None: there is no such file or key."""
    try:
        content: Any = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    workspaces = content.get("workspaces") if isinstance(content, dict) else None
    for name, entry in workspaces.items() if isinstance(workspaces, dict) else ():
        if isinstance(entry, dict) and workspace == entry.get("url", name):
            key = entry.get("apiKey")
            return key if isinstance(key, str) and key.strip() else None
    return None


def exposed_file(workspace: WorkspaceConfig, found: FoundKey) -> Path | None:
    """The file named in the workspace's table, if the key is from there and every user can read it."""
    path = Path(found.source)
    return path if workspace.api_key_file and readable_by_others(path) else None


def readable_by_others(path: Path) -> bool:
    """Tells if others than the file's owner and group can read it."""
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False
