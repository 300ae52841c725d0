"""Who is measured: how each is started, and where its database says what it believes."""

import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from bench.measure import measure
from bench.stages import Stage

HERE = Path(__file__).parent
#: rfsync limits itself by default, the others don't: its limit is not what is measured.
CONFIGURATION = """
[api]
base_url = "{api}"
concurrency = 8
requests_per_second = 100000.0

[[workspaces]]
id = "acme"
api_key_env = "ROBOFLOW_API_KEY"
projects = {projects}
"""


class Task(NamedTuple):
    stage: Stage
    api: str
    projects: list[str]

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the caller's that would slow one of them down or send one of them elsewhere."""
        unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in unwanted and not name.lower().endswith("_proxy")
        }
        return kept | {
            "ROBOFLOW_API_KEY": "bench",
            "RFSYNC_CONFIG": str(self.stage.home / "rfsync.toml"),
            "RFSYNC_DATABASE_URL": self.stage.url,
            "DLT_DATA_DIR": str(self.stage.home / "dlt"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }


def _nothing(task: Task) -> None:
    """Most need no preparation."""


class Contender(NamedTuple):
    name: str
    command: Callable[[Task], list[str]]
    totals: tuple[str, ...]
    """Questions to its database that must each give the number of batches, images and jobs."""
    package: str
    """What must be installed for it."""
    prepare: Callable[[Task], None] = _nothing

    @property
    def installed(self) -> bool:
        return bool(list(metadata.distributions(name=self.package)))


def _floor(task: Task) -> list[str]:
    return [sys.executable, str(HERE / "floor.py"), task.api, task.stage.url, *task.projects]


def _rfsync(task: Task) -> list[str]:
    target = "acme" if len(task.projects) > 1 else f"acme/{task.projects[0]}"
    return [*_rfsync_command(), "sync", target, "--json"]


def _rfsync_command() -> list[str]:
    script = Path(sys.executable).parent / "rfsync"
    return [str(script)] if script.exists() else [sys.executable, "-m", "rfsync"]


def _rfsync_prepare(task: Task) -> None:
    """Its configuration and, on PostgreSQL, its tables. On SQLite it makes them itself, within the first poll."""
    text = CONFIGURATION.format(api=task.api, projects=json.dumps(task.projects))
    (task.stage.home / "rfsync.toml").write_text(text)
    if task.stage.name == "PostgreSQL":
        measure([*_rfsync_command(), "db", "upgrade"], task.environment, task.stage.home)


def _dlt(strategy: str) -> Callable[[Task], list[str]]:
    return lambda task: [sys.executable, str(HERE / "dlt_poll.py"), task.api, task.stage.url, strategy]


FLOOR = Contender(
    "floor",
    _floor,
    (
        "SELECT count(*), sum(images), sum(jobs) FROM batches",
        "SELECT count(DISTINCT id), sum(images_delta), sum(jobs_delta) FROM changes",
    ),
    "msgspec",
)
RFSYNC = Contender(
    "rfsync",
    _rfsync,
    (
        "SELECT count(*), sum(images), sum(num_jobs) FROM current_batches",
        "SELECT count(DISTINCT batch_id), sum(images_delta), sum(num_jobs_delta) FROM batch_changes",
    ),
    "rfsync",
    _rfsync_prepare,
)
MERGE = Contender("dlt merge", _dlt("merge"), ("SELECT count(*), sum(images), sum(num_jobs) FROM batches",), "dlt")
SCD2 = Contender(
    "dlt scd2",
    _dlt("scd2"),
    ("SELECT count(*), sum(images), sum(num_jobs) FROM batches WHERE _dlt_valid_to IS NULL",),
    "dlt",
)
