"""``rfsync report``."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

import click

from rfsync.cli.options import Options, make_command
from rfsync.cli.output import replacing


@make_command(
    "report",
    example="""rfsync report -o report.html
rfsync report acme/widgets acme/gears --tz Europe/Berlin -o widgets-and-gears.html""",
)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("-o", "output", metavar="FILE", required=True, help="The page; one that is there is replaced.")
@click.option("--tz", default="UTC", metavar="ZONE", show_default=True, help="Time zone of the days and times.")
def command(options: Options, targets: tuple[str, ...], output: str, tz: str) -> int:
    """One self-contained page of charts, to open offline, mail or print.

    Of the last 365 days at most. TARGET is a workspace or workspace/project; none: all that the database has.
    """
    from rfsync.history import require_known
    from rfsync.history.periods import zone
    from rfsync.report import read, render

    now = datetime.now(UTC)
    calendar = zone(tz)
    config = options.load()
    options.start_logging()
    engine = options.reader(config)
    require_known(engine, targets)
    page = render(read(engine, targets, calendar, now))
    # As Ctrl-C does: a file that is half written is taken away again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with replacing(Path(output)) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    click.echo(f"rfsync: wrote {output}", err=True)
    return 0
