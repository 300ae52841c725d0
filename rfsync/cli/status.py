"""``rfsync status``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command
from rfsync.cli.output import ago, count, format_options, open_output, print_table, resolve_format
from rfsync.text import age, printable

if TYPE_CHECKING:
    from rfsync.history import ProjectStatus


def _age(_: click.Context, __: click.Parameter, value: str | None) -> timedelta | None:
    from rfsync.parsing import parse_duration

    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@make_command(
    "status",
    example="""rfsync status
rfsync status --max-age 15m || mail -s "rfsync is late" ops@example.com </dev/null
rfsync status --json""",
)
@click.option(
    "--max-age", callback=_age, metavar="AGE", help="Exit with 1 if any project's last observation is older than this."
)
@format_options
def command(options: Options, max_age: timedelta | None, form: str | None, as_json: bool, output: str | None) -> int:
    """Each project's totals, last run, age and health."""
    from rfsync.cli import wiring
    from rfsync.history import ProjectStatus, status

    config = options.load()
    options.start_logging()
    engine = wiring.open_reader(options, config)
    rows = status(engine)
    now = datetime.now(UTC)
    form = resolve_format(form, output, as_json=as_json)
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
        text = (
            "was never observed" if row.observed_at is None else f"was last observed {age(now - row.observed_at)} ago"
        )
        click.echo(printable(f"rfsync: {row.workspace}/{row.project} {text}"), err=True)
    return 1 if late else 0


def print_status(rows: list[ProjectStatus], now: datetime, file: IO[str]) -> None:
    """Prints the status as a table for people."""
    if not rows:
        click.echo("rfsync: no project yet; next: rfsync sync WORKSPACE/PROJECT", err=True)
        return
    numbers = ("BATCHES", "IMAGES", "JOBS", "FAILED")
    print_table(
        ("PROJECT", *numbers[:3], "OBSERVED", "LAST RUN", "OUTCOME", "FAILED", "ERROR"),
        [
            (
                f"{r.workspace}/{r.project}",
                count(r.batches),
                count(r.images),
                count(r.num_jobs),
                ago(r.observed_at, now),
                "never" if r.last_run_at is None else f"{age(now - r.last_run_at)} ago",
                r.last_outcome or "never",
                count(r.consecutive_failures),
                # An error followed by a successful run is no longer relevant.
                (r.last_error or "") if r.consecutive_failures else "",
            )
            for r in rows
        ],
        right=numbers,
        file=file,
    )
    if len(rows) > 1:
        counts = [(r.batches, r.images, r.num_jobs) for r in rows]
        totals = [sum(column) for column in zip(*counts, strict=True)]
        click.echo(
            f"\n{len(rows)} projects: {totals[0]:,} batches, {totals[1]:,} images, {totals[2]:,} jobs", file=file
        )
