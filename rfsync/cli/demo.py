"""``rfsync demo``."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import open_binary_output
from rfsync.text import printable
from rfsync.threads import starting

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rfsync.config import Config
    from rfsync.ledger.store import Store
    from rfsync.simulator import World

_DATABASE = Path("rfsync-demo.db")
_REPORT = _DATABASE.with_suffix(".html")
_DAYS = 60
_INTERVAL = timedelta(hours=6)
_PROJECTS = ("widgets", "gears", "scratch-tests")

_NEXT = f"""
The report is FOLDER/{_REPORT}: open it in a browser.
The database is FOLDER/{_DATABASE}. Have a look at it:
  COMMAND status --database sqlite:///{_DATABASE}
  COMMAND jobs acme/gears --database sqlite:///{_DATABASE}
  COMMAND progress acme/gears --database sqlite:///{_DATABASE}
  COMMAND work --since 30d --by week --labelers --database sqlite:///{_DATABASE}
  COMMAND verify --database sqlite:///{_DATABASE}
  sqlite3 {_DATABASE}, or any other SQLite tool, for example

  -- the latest changes, batch by batch
  SELECT observed_at, project, change, name, images_delta, num_jobs_delta
  FROM change_log ORDER BY id DESC LIMIT 10;

  -- images without a job in each project, day by day
  SELECT day, project, images, images_gained, images_lost FROM project_totals_daily ORDER BY day DESC LIMIT 12;

  -- what each labeler annotated, day by day
  SELECT day, project, labeler, annotated_gained, approved_gained, rejected_gained
  FROM labeler_totals_daily ORDER BY day DESC LIMIT 12;

  -- the batches as they were a week ago
  SELECT project, batch_id, name, images, num_jobs FROM batch_history
  JOIN (SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now', '-7 days') AS t)
  WHERE valid_from <= t AND (valid_to > t OR valid_to IS NULL);

Then sync your own project: ROBOFLOW_API_KEY=… COMMAND sync WORKSPACE/PROJECT
"""  # noqa: S608 only printed, never executed


@make_command("rfsync demo")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same history.")
def command(options: Options, seed: int) -> int:
    """Runs a tour against the stand-in: 60 days of a workspace, synced over HTTP in seconds.

    Creates or replaces rfsync-demo.db and rfsync-demo.html, a report of it, in the current folder. Needs no key and no
    network.
    """
    from rfsync.cli import wiring

    options.start_logging()
    failed = tour(options, utc_now().replace(minute=0, second=0, microsecond=0), seed)
    engine = wiring.open_reader(options, _config())
    _show(engine)
    _write_report(engine)
    # `make demo` runs in a virtual environment that is not on the PATH.
    executable = "rfsync" if shutil.which("rfsync") else os.path.relpath(sys.argv[0])
    click.echo(_NEXT.rstrip().replace("COMMAND", executable).replace("FOLDER", printable(str(Path.cwd()))))
    return 1 if failed else 0


def tour(options: Options, end: datetime, seed: int) -> int:
    """Creates the database with the 60 days before ``end``; returns the number of failed runs."""
    from rfsync.simulator import Simulator, World

    for suffix in ("", "-wal", "-shm", "-runs"):
        _DATABASE.with_name(_DATABASE.name + suffix).unlink(missing_ok=True)
    world = World(seed, start=end - timedelta(days=_DAYS), projects=_PROJECTS)
    with ExitStack() as stack:
        with starting():
            simulator = stack.enter_context(Simulator(world))
        click.echo(f"{_DAYS} days of a workspace at {simulator.url}, observed every 6 hours:")
        return _sync_history(world, simulator.url, options, end)


def _sync_history(world: World, url: str, options: Options, end: datetime) -> int:
    """Advances the simulated world and syncs it at each interval."""
    from rfsync.api.client import Client
    from rfsync.config import ApiConfig, RemovalsConfig
    from rfsync.redaction import Secret
    from rfsync.sync.run import sync
    from rfsync.sync.task import SyncContext, SyncTask
    from rfsync.sync.workspaces import Workspaces

    now = end - timedelta(days=_DAYS)

    def clock() -> datetime:
        return now

    tasks = [SyncTask("acme", project, Secret("demo-key")) for project in _PROJECTS]
    runs = changes = jobs = failed = 0
    with (
        closing(_open_store()) as store,
        closing(Client(ApiConfig(base_url=url, requests_per_second=100_000), options.redact, clock)) as client,
    ):
        context = SyncContext(client, Workspaces(client), store, RemovalsConfig(), clock, options.redact)
        while now < end:
            now += _INTERVAL
            world.advance(now)
            for task in tasks:
                result = sync(context, task)
                runs, failed = runs + 1, failed + (not result.ok or result.jobs_failed)
                changes, jobs = changes + result.tally.total, jobs + (result.row.jobs_changed)
    click.echo(
        f"{runs:,} runs, {changes:,} changes of batches and {jobs:,} of jobs in the ledger, {failed} failures.\n"
    )
    return failed


def _open_store() -> Store:
    from rfsync.ledger.run_locks import FileLocks
    from rfsync.ledger.store import Store
    from rfsync.schema.upgrade import ensure_sqlite

    return Store(ensure_sqlite(_DATABASE), FileLocks(_DATABASE))


def _show(engine: Engine) -> None:
    from rfsync.cli.demo_tables import print_job_tables
    from rfsync.cli.status import print_status
    from rfsync.history import status
    from rfsync.history.places import job_places
    from rfsync.ledger.verify import verify

    now = utc_now()
    print_status(status(engine), job_places(engine), now, sys.stdout)
    print_job_tables(engine, now)
    verdict = verify(engine)
    click.echo("\nThe books balance." if verdict.ok else f"\nThe books do not balance: {verdict.total} findings.")


def _write_report(engine: Engine) -> None:
    from rfsync.report import read, render

    page = render(read(engine, (), ZoneInfo("UTC"), utc_now()))
    with open_binary_output(str(_REPORT)) as file:
        file.write(page.encode())


def _config() -> Config:
    from rfsync.config import Config, DatabaseConfig

    return Config(database=DatabaseConfig(url=f"sqlite:///{_DATABASE}"))
