"""``rfsync status``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, parsed_by, utc_now
from rfsync.cli.output import ago, count, format_options, open_output, print_table, tell
from rfsync.cli.queries import warn_of_renamed
from rfsync.parsing import parse_duration, parse_target
from rfsync.text import age

if TYPE_CHECKING:
    from rfsync.cli.configured import Overview
    from rfsync.history import ProjectStatus


@make_command("""rfsync status
rfsync status acme/widgets
rfsync status --max-age 15m || mail -s "rfsync is late" ops@example.com </dev/null
rfsync status --json""")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--max-age", callback=parsed_by(parse_duration), metavar="AGE",
              help="Exit with 1 if a named, or else any configured project was not observed for so long.")  # fmt: skip
@format_options
def command(
    options: Options, targets: tuple[str, ...], max_age: timedelta | None, form: str, output: str | None
) -> int:
    """Each project's totals, last run, age and health.

    TARGET is a workspace or workspace/project; without any, all projects of the database are shown, and those that are
    configured and were never observed. For --max-age only configured ones count, or all if no workspace is configured.
    """
    from rfsync.cli import wiring
    from rfsync.cli.configured import look
    from rfsync.history import ProjectStatus

    named = [parse_target(target) for target in targets]
    config = options.begin()
    overview = look(wiring.open_reader(options, config), config, named)
    warn_of_renamed(overview.renamed)
    _warn(f"{path} is no longer in its workspace: nothing of it is current" for path in overview.departed)
    if max_age is None:
        _warn(_unobserved(overview))
    rows, now = [overview.rows[path] for path in sorted(overview.rows)], utc_now()
    if form == "table":
        if rows or not (overview.departed or overview.unobserved):
            with open_output(output) as file:
                print_status(rows, now, file)
    else:
        from rfsync.cli.formats import write_rows

        write_rows(rows, ProjectStatus, form, output)
    return 0 if max_age is None else _late(overview, max_age, now)


def _late(overview: Overview, max_age: timedelta, now: datetime) -> int:
    """Names what is too old; returns the exit code."""
    late = _unobserved(overview)
    for path in sorted(overview.expected):
        observed_at = overview.rows[path].observed_at
        if observed_at is None:
            late.append(f"{path} was never observed")
        elif now - observed_at > max_age:
            late.append(f"{path} was last observed {age(now - observed_at)} ago")
    if not overview.rows and not late and not overview.departed:
        late = ["no project was ever synced"]
    _warn(late)
    return 1 if late else 0


def _unobserved(overview: Overview) -> list[str]:
    return [f"{workspace}: none of its projects was ever observed" for workspace in overview.unobserved]


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        tell(line)


def print_status(rows: list[ProjectStatus], now: datetime, file: IO[str]) -> None:
    """Prints the status as a table for people."""
    if not rows:
        tell("no project yet; next: rfsync sync WORKSPACE/PROJECT")
        return
    numbers = ("BATCHES", "IMAGES", "JOBS", "FAILED")
    headers = ["PROJECT", *numbers[:3], "OBSERVED", "LAST RUN", "OUTCOME", "FAILED", "ERROR"]
    table = [_cells(row, now) for row in rows]
    if any(row.jobs_observed_at or row.jobs_error_kind for row in rows):
        headers.insert(4, "ANNOTATED")
        for row, cells in zip(rows, table, strict=True):
            cells.insert(4, _annotated(row))
    print_table(headers, table, right=numbers, file=file)
    if len(rows) > 1:
        counts = [(r.batches, r.images, r.num_jobs) for r in rows]
        totals = [sum(column) for column in zip(*counts, strict=True)]
        text = f"{len(rows)} projects: {totals[0]:,} batches, {totals[1]:,} images, {totals[2]:,} jobs"
        click.echo(f"\n{text}", file=file)


def _annotated(row: ProjectStatus) -> str:
    """How far the jobs are, and why that is not known, or not of now."""
    known = f"{row.annotated:,} of {row.images_in_jobs:,}" if row.jobs_observed_at else "-"
    return known if row.jobs_error_kind is None else f"{known} ({row.jobs_error_kind})"


def _cells(row: ProjectStatus, now: datetime) -> list[str]:
    totals = (count(row.batches), count(row.images), count(row.num_jobs))
    last_run = "never" if row.last_run_at is None else f"{age(now - row.last_run_at)} ago"
    # An error followed by a successful run is no longer relevant.
    error = (row.last_error or "") if row.consecutive_failures else ""
    outcome, failures = row.last_outcome or "never", count(row.consecutive_failures)
    return [f"{row.workspace}/{row.project}", *totals, ago(row.observed_at, now), last_run, outcome, failures, error]
