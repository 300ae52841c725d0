"""The programs that are measured: how each is started, and the queries that check its database."""

import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from bench.databases import Sqlite
from bench.job_data import JobTotals
from bench.measure import measure

HERE = Path(__file__).parent
#: Without rfsync's default rate limit, which the others don't have.
CONFIGURATION = """
[api]
base_url = "{api}"
concurrency = {concurrency}
requests_per_second = 100000.0

[[workspaces]]
id = "acme"
api_key_env = "ROBOFLOW_API_KEY"
projects = {projects}

[jobs]
sync = {jobs}
"""


class Task(NamedTuple):
    database: Sqlite
    api: str
    projects: list[str]
    polls: int = 1
    jobs: bool = False
    """Poll the job lists too."""
    concurrency: int = 8
    """Requests at once."""

    @property
    def environment(self) -> dict[str, str]:
        """The caller's, without what would slow a contender down or redirect it."""
        unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in unwanted and not name.lower().endswith("_proxy")
        }
        return kept | {
            "ROBOFLOW_API_KEY": "bench",
            "RFSYNC_CONFIG": str(self.database.home / "rfsync.toml"),
            "RFSYNC_DATABASE_URL": self.database.url,
            "PYTHONPATH": str(HERE.parent),
            "DLT_DATA_DIR": str(self.database.home / "dlt"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }


class Contender(NamedTuple):
    name: str
    command: Callable[[Task], list[str]]
    totals: tuple[str, ...]
    """Queries that must each give the number of batches, images and jobs."""
    package: str
    """The distribution that must be installed for it."""
    prepare: Callable[[Task], None] | None = None
    job_totals: tuple[str, ...] = ()
    """Queries that must each give the number of jobs and the sum of each of their counts."""

    @property
    def installed(self) -> bool:
        return bool(list(metadata.distributions(name=self.package)))


def _script(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(HERE / name), *arguments]


def _floor(task: Task) -> list[str]:
    lists = "batches+jobs" if task.jobs else "batches"
    return _script(
        "floor.py", task.api, task.database.url, str(task.polls), lists, str(task.concurrency), *task.projects
    )


def _core(task: Task) -> list[str]:
    return _script("sqlalchemy_core.py", task.api, task.database.url, *task.projects)


def _dlt(strategy: str) -> Callable[[Task], list[str]]:
    return lambda task: _script("dlt_poll.py", task.api, task.database.url, strategy)


def _rfsync(task: Task) -> list[str]:
    if task.polls > 1:
        return _script("staying.py", str(task.polls))
    target = "acme" if len(task.projects) > 1 else f"acme/{task.projects[0]}"
    return [*rfsync_command(), "sync", target, "--json"]


def rfsync_command() -> list[str]:
    script = Path(sys.executable).parent / "rfsync"
    return [str(script)] if script.exists() else [sys.executable, "-m", "rfsync"]


def configure(task: Task) -> None:
    """Write rfsync's configuration."""
    projects, jobs = json.dumps(task.projects), json.dumps(task.jobs)
    text = CONFIGURATION.format(api=task.api, concurrency=task.concurrency, projects=projects, jobs=jobs)
    (task.database.home / "rfsync.toml").write_text(text)


def _rfsync_prepare(task: Task) -> None:
    """Write its configuration and, on PostgreSQL, create its tables. On SQLite its first poll creates them."""
    configure(task)
    if task.database.name == "PostgreSQL":
        measure([*rfsync_command(), "db", "upgrade"], task.environment, task.database.home)


_BATCHES = "SELECT count(*), sum(images), sum(jobs) FROM batches"
_LEDGER = "SELECT count(DISTINCT id), sum(images_delta), sum(jobs_delta) FROM changes"


def _sums(suffix: str = "") -> str:
    return ", ".join(f"sum({name}{suffix})" for name in JobTotals._fields[1:])


FLOOR = Contender(
    "floor",
    _floor,
    (_BATCHES, _LEDGER),
    "msgspec",
    job_totals=(
        f"SELECT count(*), {_sums()} FROM jobs",
        f"SELECT count(DISTINCT id), {_sums('_delta')} FROM job_changes",
    ),
)
CORE = Contender("SQLAlchemy Core", _core, (_BATCHES, _LEDGER), "sqlalchemy")
RFSYNC = Contender(
    "rfsync",
    _rfsync,
    (
        "SELECT count(*), sum(images), sum(num_jobs) FROM current_batches",
        "SELECT count(DISTINCT batch_id), sum(images_delta), sum(num_jobs_delta) FROM batch_changes",
    ),
    "rfsync",
    _rfsync_prepare,
    (
        f"SELECT count(*), {_sums()} FROM current_jobs",
        f"SELECT count(DISTINCT job_id), {_sums('_delta')} FROM job_changes",
    ),
)
_DLT_BATCHES = "SELECT count(*), sum(images), sum(num_jobs) FROM batches"
MERGE = Contender("dlt merge", _dlt("merge"), (_DLT_BATCHES,), "dlt")
SCD2 = Contender("dlt scd2", _dlt("scd2"), (f"{_DLT_BATCHES} WHERE _dlt_valid_to IS NULL",), "dlt")
