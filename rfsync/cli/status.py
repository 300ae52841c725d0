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
    from rfsync.history.place_rows import JobPlacesRow


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
    from rfsync.history.places import job_places

    named = [parse_target(target) for target in targets]
    config = options.begin()
    engine = wiring.open_reader(options, config)
    overview = look(engine, config, named)
    warn_of_renamed(overview.renamed)
    _warn(f"{path} is no longer in its workspace: nothing of it is current" for path in overview.departed)
    if max_age is None:
        _warn(_unobserved(overview))
    rows, now = [overview.rows[path] for path in sorted(overview.rows)], utc_now()
    if form == "table":
        if rows or not (overview.departed or overview.unobserved):
            with open_output(output) as file:
                # All jobs are read for it.
                known = [f"{row.workspace}/{row.project}" for row in rows if row.jobs_observed_at is not None]
                places = job_places(engine, known if named else None) if known else []
                print_status(rows, places, now, file, jobs_off=config.jobs.sync is False)
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


def print_status(
    rows: list[ProjectStatus],
    places: Iterable[JobPlacesRow],
    now: datetime,
    file: IO[str],
    *,
    jobs_off: bool = False,
) -> None:
    """Prints the status as a table for people.

    Args:
        places: of these projects, and maybe of others.
        jobs_off: job lists are not asked for.
    """
    if not rows:
        tell("no project yet; next: rfsync sync WORKSPACE/PROJECT")
        return
    numbers = ("BATCHES", "IMAGES", "JOBS", "APPROVED", "FAILED")
    headers = ["PROJECT", *numbers[:3], "OBSERVED", "LAST RUN", "OUTCOME", "FAILED", "ERROR"]
    table = [_cells(row, now) for row in rows]
    if any(row.jobs_observed_at or row.jobs_error_kind for row in rows):
        headers[4:4] = ["ANNOTATED", "APPROVED"]
        placed = {(row.workspace, row.project): row for row in places}
        for row, cells in zip(rows, table, strict=True):
            cells[4:4] = _progress(row, placed.get((row.workspace, row.project)), jobs_off=jobs_off)
    print_table(headers, table, right=numbers, file=file)
    if len(rows) > 1:
        counts = [(r.batches or 0, r.images or 0, r.num_jobs or 0) for r in rows]
        totals = [sum(column) for column in zip(*counts, strict=True)]
        text = f"{len(rows)} projects: {totals[0]:,} batches, {totals[1]:,} images, {totals[2]:,} jobs"
        click.echo(f"\n{text}", file=file)


def _progress(row: ProjectStatus, placed: JobPlacesRow | None, *, jobs_off: bool) -> tuple[str, str]:
    """How many images of the jobs are annotated and approved, and why that is not known, or not of now.

    What was approved or rejected since is annotated, too, whether or not the API's count still has it.
    """
    annotated = approved = "-"
    if row.jobs_observed_at is not None:
        done = (0, 0, 0) if placed is None else (placed.annotated, placed.approved, placed.rejected)
        annotated, approved = f"{sum(done):,} of {count(row.images_in_jobs)}", count(done[1])
    reason = "off" if jobs_off else row.jobs_error_kind
    return (annotated if reason is None else f"{annotated} ({reason})"), approved


def _cells(row: ProjectStatus, now: datetime) -> list[str]:
    totals = (count(row.batches), count(row.images), count(row.num_jobs))
    last_run = "never" if row.last_run_at is None else f"{age(now - row.last_run_at)} ago"
    # An error followed by a successful run is no longer relevant.
    error = (row.last_error or "") if row.consecutive_failures else ""
    outcome, failures = row.last_outcome or "never", count(row.consecutive_failures)
    return [f"{row.workspace}/{row.project}", *totals, ago(row.observed_at, now), last_run, outcome, failures, error]
