"""rfsync in a process that stays, as its daemon does: one client, one store and one pool of threads for all polls.

`staying.py POLLS`; configuration and database are those of the command.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from bench.repeat import repeat
from rfsync.api.keys import find_key
from rfsync.cli import wiring
from rfsync.cli.options import Options
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    options = Options()
    options.start_logging()
    config = options.load()
    tasks = [
        SyncTask(workspace.id, project, find_key(workspace, os.environ).key)
        for workspace in config.workspaces
        for project in workspace.projects
    ]
    with (
        closing(wiring.open_store(options, config)) as store,
        closing(wiring.open_client(options, config, store)) as client,
        ThreadPoolExecutor(config.api.concurrency) as pool,
    ):
        context = SyncContext(
            client, Workspaces(client), store, config.removals, now, options.redact, config.jobs, trigger="schedule"
        )

        def poll() -> None:
            for result in pool.map(partial(sync, context), tasks):
                assert result.ok, result

        repeat(poll, int(sys.argv[1]))


if __name__ == "__main__":
    main()
