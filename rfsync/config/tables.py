"""The tables of the configuration."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

if TYPE_CHECKING:
    from rfsync.schedule import Schedule

DEFAULT_KEY_ENV: Final = "ROBOFLOW_API_KEY"

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class DatabaseConfig(_Table, frozen=True):
    """``[database]``. The URL may contain a password: show ``str()`` of ``database.url.parse_url`` of it instead."""

    url: str = "sqlite:///rfsync.db"

    def __repr__(self) -> str:
        return "DatabaseConfig(url=…)"


class ApiConfig(_Table, frozen=True):
    """``[api]``: requests to Roboflow."""

    base_url: str = "https://api.roboflow.com"
    #: Projects fetched at once.
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    #: For each key, over all projects of the process.
    requests_per_second: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 10.0
    auth: Literal["bearer", "query"] = "bearer"
    #: Of one request, including the first.
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    #: For one request, from its start to the last byte.
    deadline_seconds: _Seconds = 60.0
    #: The longest wait between two attempts.
    max_wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0
    #: Of a body, after decompression.
    max_response_bytes: _Positive = 536_870_912


class RemovalsConfig(_Table, frozen=True):
    """``[removals]``: when a batch or a job that is no longer listed counts as removed."""

    #: Batches and jobs that are asked for by id in one run.
    confirm_limit: Annotated[int, msgspec.Meta(ge=0)] = 25
    #: Number of observations in a row that must lack more of them than that; 1: the first is accepted.
    repeat: _Positive = 2
    #: How often one that exists without being listed is asked for.
    recheck: timedelta = timedelta(days=1)


class JobsConfig(_Table, frozen=True):
    """``[jobs]``: the annotation jobs, and the people who work on them."""

    #: "auto": where the key may see them.
    sync: bool | Literal["auto"] = "auto"
    #: What the database keeps of a labeler or reviewer: the mail address, or only a keyed digest of it.
    people: Literal["address", "pseudonym"] = "address"


class ScheduleConfig(_Table, frozen=True):
    """``[schedule]``: exactly one of ``every`` and ``cron`` is set."""

    every: timedelta | None = timedelta(minutes=5)
    cron: str | None = None
    #: Of ``cron``.
    timezone: str = "UTC"
    #: The longest random delay of a poll.
    jitter: timedelta = timedelta(seconds=10)

    def build(self) -> Schedule:
        """The schedule that this describes.

        Raises:
            ValueError: ``cron`` is invalid.
            zoneinfo.ZoneInfoNotFoundError: there is no such time zone.
        """
        from zoneinfo import ZoneInfo

        from rfsync.schedule import Cron, Interval

        if self.cron is not None:
            return Cron(self.cron, ZoneInfo(self.timezone))
        if self.every is None:
            raise ValueError("neither every nor cron is set")
        return Interval(self.every)


class DaemonConfig(_Table, frozen=True):
    """``[daemon]``."""

    #: HOST:PORT of /healthz and /metrics; "": no HTTP.
    listen: str = "127.0.0.1:9108"


class RetentionConfig(_Table, frozen=True):
    """``[retention]``."""

    #: How long runs that changed nothing are kept.
    unchanged_runs: timedelta = timedelta(days=30)


class WorkerConfig(_Table, frozen=True):
    """``[worker]``."""

    #: Runs at once in each worker.
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8


class WorkspaceConfig(_Table, frozen=True):
    """One ``[[workspaces]]`` table."""

    id: str
    #: Name of the variable with the key; None: the default one, unless there is a file.
    api_key_env: str | None = None
    #: File that contains only the key.
    api_key_file: str | None = None
    #: ("*",): all projects of the workspace.
    projects: tuple[str, ...] = ("*",)
    #: Glob patterns of projects not to sync.
    exclude: tuple[str, ...] = ()
    #: Instead of the one in ``[api]``.
    base_url: str | None = None
    #: Instead of the ones in ``[schedule]``; at most one of them is set.
    every: timedelta | None = None
    cron: str | None = None

    @property
    def discovers(self) -> bool:
        """True if the list of projects comes from the API."""
        return "*" in self.projects

    def excludes(self, project: str) -> bool:
        """True if ``exclude`` matches the project."""
        return self.excluding_pattern(project) is not None

    def excluding_pattern(self, project: str) -> str | None:
        """The first pattern of ``exclude`` that matches the project; None: none does."""
        return next((pattern for pattern in self.exclude if fnmatchcase(project, pattern)), None)


class Config(_Table, frozen=True):
    """The whole configuration. Every key has a default."""

    database: DatabaseConfig = DatabaseConfig()
    api: ApiConfig = ApiConfig()
    removals: RemovalsConfig = RemovalsConfig()
    jobs: JobsConfig = JobsConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    daemon: DaemonConfig = DaemonConfig()
    retention: RetentionConfig = RetentionConfig()
    worker: WorkerConfig = WorkerConfig()
    workspaces: tuple[WorkspaceConfig, ...] = ()
    #: What the file's relative paths start from; no key of the file.
    folder: Path = Path()

    def workspace(self, workspace: str) -> WorkspaceConfig:
        """The table of a workspace, or the defaults if there is none."""
        return next((w for w in self.workspaces if w.id == workspace), WorkspaceConfig(id=workspace))

    @property
    def base_urls(self) -> dict[str, str]:
        """Workspace -> base URL, of those whose API is not the one in ``[api]``."""
        return {w.id: w.base_url for w in self.workspaces if w.base_url is not None}

    def schedule_of(self, workspace: str) -> ScheduleConfig:
        """The schedule of a workspace's projects."""
        own = self.workspace(workspace)
        if own.every is None and own.cron is None:
            return self.schedule
        return msgspec.structs.replace(self.schedule, every=own.every, cron=own.cron)


#: The name of each table of the file -> its keys.
TABLES: Final[dict[str, tuple[str, ...]]] = {
    "database": DatabaseConfig.__struct_fields__,
    "api": ApiConfig.__struct_fields__,
    "removals": RemovalsConfig.__struct_fields__,
    "jobs": JobsConfig.__struct_fields__,
    "schedule": ScheduleConfig.__struct_fields__,
    "daemon": DaemonConfig.__struct_fields__,
    "retention": RetentionConfig.__struct_fields__,
    "worker": WorkerConfig.__struct_fields__,
    "workspaces": WorkspaceConfig.__struct_fields__,
}
