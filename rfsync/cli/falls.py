"""``rfsync falls``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, tell, utc_time
from rfsync.cli.queries import SPAN, Layout, open_history, show, span_options, target_argument

if TYPE_CHECKING:
    from rfsync.history import FallRow


@make_command("""rfsync falls acme/widgets --since 7d
rfsync falls --batch dJ3kx8aq                 where the images of one batch went
rfsync falls --since 2026-01-01 --until 2026-02-01 -o january.csv""")
@target_argument
@click.option("--batch", "batch_ids", metavar="ID", multiple=True, help="Only this batch; may be repeated.")
@span_options
@format_options
def command(
    options: Options,
    target: str | None,
    batch_ids: tuple[str, ...],
    since: str | None,
    until: str | None,
    form: str,
    output: str | None,
) -> int:
    """Why the image count of a batch fell: into which jobs or new batch its images went.

    In chronological order. What neither jobs nor a new batch explain was removed with the batch, or is unexplained: the
    API does not tell what was merged or deleted. TARGET is a workspace or workspace/project; default: everything in the
    database. TIME is ISO 8601, a date, or an age such as 7d.
    """
    from rfsync.history import FallRow, falls
    from rfsync.history.arguments import read_span
    from rfsync.history.no_jobs import why_no_jobs

    first, end = read_span(since, until, utc_now(), names=SPAN)
    config = options.begin()
    engine = open_history(options, target, config)
    rows = falls(engine, target, batch_ids=batch_ids or None, since=first, until=end)
    layout = Layout(
        ("OBSERVED", "PROJECT", "BATCH", "NAME", "LOST", "INTO", "ID", "ITS NAME", "IMAGES"),
        ("LOST", "IMAGES"),
        _cells,
        "no count of a batch was seen to fall" + (" in that time" if first or end else ""),
    )
    show(rows, FallRow, layout, form, output)
    if reason := why_no_jobs(engine, target, is_off=config.jobs.sync is False):
        tell(f"nothing is known of jobs: {reason}")
    return 0


def _cells(row: FallRow) -> tuple[str, ...]:
    batch = (utc_time(row.observed_at), f"{row.workspace}/{row.project}", row.batch_id, row.name or "-")
    into = row.into if row.into != "unexplained" or row.jobs_observed else "unexplained (jobs were not read)"
    return (*batch, count(row.images_lost), into, row.into_id or "-", row.into_name or "-", count(row.images))
