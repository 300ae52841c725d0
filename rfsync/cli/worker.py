"""``rfsync worker``."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from rfsync.cli.daemon import load_setup, start_service_logging
from rfsync.cli.options import Options, make_command, utc_now
from rfsync.errors import ConfigError

if TYPE_CHECKING:
    from rfsync.config import Config


@make_command("""rfsync worker
rfsync worker --config /etc/rfsync/rfsync.toml --log-format json
kill -HUP PID                                 reads the configuration again""")
def command(options: Options) -> int:
    """Polls as one of many: the daemon for many machines, on PostgreSQL.

    Start as many as you like with the same configuration. Each tick of the schedule fires once for all, each poll is
    done by one, and those of a worker that died are done by others. Health, metrics and signals are the daemon's; where
    [daemon] listen is taken, it goes on without, with a warning.
    """
    from rfsync.daemon.metrics import PrometheusMetrics
    from rfsync.daemon.service import Service
    from rfsync.daemon.systemd import ServiceManager

    start_service_logging(options)
    try:
        from rfsync.worker.polls import THREADS, SharedPolls
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "rfsync":
            raise
        raise ConfigError(f"the worker needs {error.name}: pip install procrastinate 'psycopg[binary]'") from None
    # What matters of a job is logged by its run, and what becomes of the queue by rfsync.worker.
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    metrics = PrometheusMetrics()
    load = partial(
        load_setup, options, metrics, set(),
        trigger="worker", check=_require_queue, concurrency=lambda config: config.worker.concurrency, threads=THREADS,
    )  # fmt: skip
    Service(load, metrics, ServiceManager(os.environ), utc_now, SharedPolls, may_go_without=True).run()
    return 0


def _require_queue(options: Options, config: Config) -> None:
    from rfsync.cli import wiring
    from rfsync.database.engine import open_database
    from rfsync.database.url import sqlite_file
    from rfsync.schema import upgrade as schema
    from rfsync.schema.queue_tables import require_queue_tables

    url = wiring.parsed_database_url(options, config)
    if sqlite_file(url) is not None:
        raise ConfigError(
            f"workers share a PostgreSQL database, and this one is SQLite's ({wiring.shown_database(url)}, "
            f"{wiring.database_source(options)}): rfsync daemon polls into it, from one machine"
        )
    database = open_database(url)
    try:
        schema.require(database)
        require_queue_tables(database)
    finally:
        database.close()
