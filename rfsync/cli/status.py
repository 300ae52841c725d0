"""``rfsync status``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, parsed_by, utc_now
from rfsync.cli.output import ago, count, format_options, open_output, print_table
from rfsync.parsing import parse_duration
from rfsync.text import age, printable

if TYPE_CHECKING:
    from rfsync.history import ProjectStatus


@make_command("""rfsync status
rfsync status --max-age 15m || mail -s "rfsync is late" ops@example.com </dev/null
rfsync status --json""")
@click.option("--max-age", callback=parsed_by(parse_duration), metavar="AGE",
              help="Exit with 1 if any project's last observation is older than this.")  # fmt: skip
@format_options
def command(options: Options, max_age: timedelta | None, form: str, output: str | None) -> int:
    """Each project's totals, last run, age and health."""
    from rfsync.cli import wiring
    from rfsync.history import ProjectStatus, status

    rows = status(wiring.open_reader(options, options.begin()))
    now = utc_now()
    if form == "table":
        with open_output(output) as file:
            print_status(rows, now, file)
    else:
        from rfsync.cli.formats import write_rows

        write_rows(rows, ProjectStatus, form, output)
    return _late(rows, max_age, now)


def _late(rows: list[ProjectStatus], max_age: timedelta | None, now: datetime) -> int:
    if max_age is None:
        return 0
    if not rows:
        click.echo("rfsync: no project was ever synced", err=True)
        return 1
    late = [r for r in rows if r.observed_at is None or now - r.observed_at > max_age]
    for row in late:
        seen = "never observed" if row.observed_at is None else f"last observed {age(now - row.observed_at)} ago"
        click.echo(printable(f"rfsync: {row.workspace}/{row.project} was {seen}"), err=True)
    return 1 if late else 0


def print_status(rows: list[ProjectStatus], now: datetime, file: IO[str]) -> None:
    """Prints the status as a table for people."""
    if not rows:
        click.echo("rfsync: no project yet; next: rfsync sync WORKSPACE/PROJECT", err=True)
        return
    numbers = ("BATCHES", "IMAGES", "JOBS", "FAILED")
    headers = ("PROJECT", *numbers[:3], "OBSERVED", "LAST RUN", "OUTCOME", "FAILED", "ERROR")
    print_table(headers, (_cells(row, now) for row in rows), right=numbers, file=file)
    if len(rows) > 1:
        counts = [(r.batches, r.images, r.num_jobs) for r in rows]
        totals = [sum(column) for column in zip(*counts, strict=True)]
        text = f"{len(rows)} projects: {totals[0]:,} batches, {totals[1]:,} images, {totals[2]:,} jobs"
        click.echo(f"\n{text}", file=file)


def _cells(row: ProjectStatus, now: datetime) -> tuple[str, ...]:
    totals = (count(row.batches), count(row.images), count(row.num_jobs))
    last_run = "never" if row.last_run_at is None else f"{age(now - row.last_run_at)} ago"
    # An error followed by a successful run is no longer relevant.
    error = (row.last_error or "") if row.consecutive_failures else ""
    outcome, failures = row.last_outcome or "never", count(row.consecutive_failures)
    return (f"{row.workspace}/{row.project}", *totals, ago(row.observed_at, now), last_run, outcome, failures, error)
