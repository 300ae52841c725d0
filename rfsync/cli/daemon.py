"""``rfsync daemon``."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from rfsync.cli.options import Options, make_command, utc_now

if TYPE_CHECKING:
    from sqlalchemy import URL

    from rfsync.daemon.metrics import PrometheusMetrics
    from rfsync.daemon.service import Setup


@make_command("""rfsync daemon
rfsync daemon --config /etc/rfsync/rfsync.toml --log-format json
kill -HUP PID                                 reads the configuration again""")
def command(options: Options) -> int:
    """Polls all that is configured on its schedule, until SIGTERM or Ctrl-C.

    Starts at once; runs that are late are made up by one, and there are never two of a project at a time. Serves
    /healthz, /readyz and /metrics where [daemon] listen says.
    """
    from rfsync.daemon.metrics import PrometheusMetrics
    from rfsync.daemon.service import Service
    from rfsync.daemon.systemd import ServiceManager

    options.start_logging("info")
    # APScheduler logs each entry of the timetable.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    metrics = PrometheusMetrics()
    load = partial(_load, options, metrics, set())
    Service(load, metrics, ServiceManager(os.environ), utc_now).run()
    return 0


def _load(options: Options, metrics: PrometheusMetrics, databases: set[URL]) -> Setup:
    """Reads the configuration.

    Args:
        databases: those of the configurations before; this one's is added.
    """
    from rfsync.cli import wiring
    from rfsync.daemon.metrics import read_totals
    from rfsync.daemon.plan import Plan
    from rfsync.daemon.service import Setup
    from rfsync.sync.targets import make_workspaces
    from rfsync.sync.task import SyncContext

    config = options.load()
    selections = wiring.select(options, config, ())
    with ExitStack() as stack:
        store = wiring.open_store(options, config, make=True, had=databases)
        databases.add(wiring.database_url(options, config))
        stack.callback(store.close)
        engine = wiring.open_reader(options, config)
        stack.callback(engine.dispose)
        client = wiring.open_client(options, config, store)
        stack.callback(client.close)
        workspaces = make_workspaces(selections, client, config.workspaces)
        context = SyncContext(
            client, workspaces, store, config.removals, utc_now, options.redact,
            jobs=config.jobs, trigger="schedule", timer=metrics.time,
        )  # fmt: skip
        plan = Plan(
            context, selections, lambda workspace: config.schedule_of(workspace).build(),
            config.schedule.jitter, config.api.concurrency, config.retention.unchanged_runs,
        )  # fmt: skip
        totals = partial(read_totals, engine, with_jobs=config.jobs.sync is not False)
        return Setup(plan, config.daemon.listen, totals, stack.pop_all().close)
