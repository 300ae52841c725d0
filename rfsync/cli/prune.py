"""``rfsync prune``."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from rfsync.cli.options import Options, make_command


@make_command("prune", example="rfsync prune\n0 3 * * *  cd /srv/rfsync && rfsync prune    in a crontab")
def command(options: Options) -> None:
    """Applies [retention]: deletes runs that changed nothing and are older than unchanged_runs.

    The ledger and the runs that wrote it are kept forever. The daemon prunes once a day by itself.
    """
    from rfsync.cli import wiring

    config = options.load()
    options.start_logging()
    store = wiring.open_store(options, config)
    try:
        deleted = store.prune(datetime.now(UTC) - config.retention.unchanged_runs)
    finally:
        store.close()
    click.echo(f"{deleted:,} run{'' if deleted == 1 else 's'} that changed nothing deleted")
