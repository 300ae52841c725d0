"""The configuration: from TOML and the environment to a frozen ``Config``. Every error names the table and the key.

Keys are not read here, but by ``rfsync.api.keys`` when a workspace is about to be fetched.
"""

from rfsync.config.file import find_file, load
from rfsync.config.tables import (
    DEFAULT_KEY_ENV,
    ApiConfig,
    Config,
    DatabaseConfig,
    JobsConfig,
    RemovalsConfig,
    WorkspaceConfig,
)

__all__ = [
    "DEFAULT_KEY_ENV",
    "ApiConfig",
    "Config",
    "DatabaseConfig",
    "JobsConfig",
    "RemovalsConfig",
    "WorkspaceConfig",
    "find_file",
    "load",
]
