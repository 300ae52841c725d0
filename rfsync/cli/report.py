"""``rfsync report``."""

import signal
from pathlib import Path

import click

from rfsync.cli.files import is_ordinary
from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import open_binary_output, tell
from rfsync.cli.queries import warn_of_renamed
from rfsync.errors import ConfigError
from rfsync.text import shown_name


@make_command("""rfsync report -o report.html
rfsync report acme/widgets acme/gears --tz Europe/Berlin -o widgets-and-gears.html""")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("-o", "output", metavar="FILE", required=True,
              help="Output file; an existing one is replaced. - is standard output.")  # fmt: skip
@click.option("--tz", default="UTC", metavar="ZONE", show_default=True, help="Time zone of days and times.")
def command(options: Options, targets: tuple[str, ...], output: str, tz: str) -> int:
    """Writes one self-contained page of charts, to open offline, mail or print.

    Covers at most the last 365 days. TARGET is a workspace or workspace/project; default: everything in the database.
    """
    from rfsync.cli import wiring
    from rfsync.history import require_known
    from rfsync.history.periods import zone
    from rfsync.report import read, render

    to_file = is_ordinary(output)
    if to_file and Path(output).suffix.lower() not in {"", ".html", ".htm"}:
        raise ConfigError(f"-o {shown_name(output)}: a report is a page of HTML: end the name with .html")
    now = utc_now()
    time_zone = zone(tz)
    config = options.begin()
    engine = wiring.open_reader(options, config)
    warn_of_renamed(require_known(engine, targets))
    page = render(read(engine, targets, time_zone, now, jobs_off=config.jobs.sync is False))
    # Like Ctrl-C: an incomplete file is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open_binary_output(output) as file:
        file.write(page.encode())
    if to_file:
        tell(f"wrote {output}")
    return 0
