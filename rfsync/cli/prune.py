"""``rfsync prune``."""

from contextlib import closing

import click

from rfsync.cli.options import Options, make_command, utc_now


@make_command("rfsync prune\n0 3 * * *  /opt/rfsync/bin/rfsync prune --config /etc/rfsync/rfsync.toml    in a crontab")
def command(options: Options) -> None:
    """Applies [retention]: deletes runs that changed nothing and are older than unchanged_runs.

    The ledger and the runs that wrote it are kept forever. The daemon prunes once a day by itself.
    """
    from rfsync.cli import wiring

    config = options.begin()
    with closing(wiring.open_store(options, config)) as store:
        deleted = store.prune(utc_now() - config.retention.unchanged_runs)
    click.echo(f"{deleted:,} run{'' if deleted == 1 else 's'} that changed nothing deleted")
