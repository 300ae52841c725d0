"""``rfsync daemon``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from rfsync.cli.options import Options, make_command, utc_now

if TYPE_CHECKING:
    from sqlalchemy import URL

    from rfsync.config import Config
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

    start_service_logging(options)
    metrics = PrometheusMetrics()
    load = partial(load_setup, options, metrics, set())
    Service(load, metrics, ServiceManager(os.environ), utc_now).run()
    return 0


def start_service_logging(options: Options) -> None:
    """Begins to log as a service does."""
    options.start_logging("info")
    # APScheduler logs each entry of the timetable.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)


def load_setup(
    options: Options,
    metrics: PrometheusMetrics,
    databases: set[URL],
    *,
    trigger: str = "schedule",
    check: Callable[[Options, Config], None] = lambda _options, _config: None,
    concurrency: Callable[[Config], int] = lambda config: config.api.concurrency,
    threads: int | None = None,
) -> Setup:
    """Reads the configuration.

    Args:
        databases: those of the configurations before; this one's is added.
        trigger: see ``SyncContext.trigger``.
        check: raises ``RfsyncError`` where the configuration can't be followed.
        concurrency: polls at once.
        threads: see ``Plan``.
    """
    from msgspec.structs import replace

    from rfsync.cli import wiring
    from rfsync.daemon.metrics import read_totals
    from rfsync.daemon.plan import Plan
    from rfsync.daemon.service import Setup
    from rfsync.sync.targets import make_workspaces
    from rfsync.sync.task import SyncContext

    config = options.load()
    check(options, config)
    selections = wiring.select(options, config, ())
    with ExitStack() as stack:
        store = wiring.open_store(options, config, make=True, had=databases)
        databases.add(wiring.database_url(options, config))
        stack.callback(store.close)
        engine = wiring.open_reader(options, config)
        stack.callback(engine.dispose)
        at_once = concurrency(config)
        client = wiring.open_client(options, replace(config, api=replace(config.api, concurrency=at_once)), store)
        stack.callback(client.close)
        workspaces = make_workspaces(selections, client, config.workspaces)
        context = SyncContext(
            client, workspaces, store, config.removals, utc_now, options.redact,
            jobs=config.jobs, trigger=trigger, timer=metrics.time,
        )  # fmt: skip
        plan = Plan(
            context, selections, lambda workspace: config.schedule_of(workspace).build(),
            config.schedule.jitter, at_once, config.retention.unchanged_runs, threads,
        )  # fmt: skip
        totals = partial(read_totals, engine, with_jobs=config.jobs.sync is not False)
        return Setup(plan, config.daemon.listen, totals, stack.pop_all().close)
