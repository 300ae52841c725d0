"""``rfsync batches``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, utc_time
from rfsync.cli.queries import Layout, note_unobserved, open_history, show, target_argument

if TYPE_CHECKING:
    from rfsync.history import BatchRow


@make_command("""rfsync batches acme/widgets
rfsync batches --as-of 2026-01-31             at the start of that day, in UTC
rfsync batches acme --as-of 7d -o then.csv
rfsync batches --unchanged-for 7d             those that nobody has touched for a week""")
@target_argument
@click.option("--as-of", metavar="TIME", help="State at this time.  [default: now]")
@click.option("--unchanged-for", metavar="AGE", help="Only batches on which nothing has changed for so long.")
@format_options
def command(
    options: Options, target: str | None, as_of: str | None, unchanged_for: str | None, form: str, output: str | None
) -> int:
    """The batches that exist now, or existed at a given time, with their counts at that time.

    TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO 8601, a date, or an age
    such as 7d. AGE is 90s, 5m, 12h or 7d, and ends at the time of --as-of, or now.
    """
    from rfsync.history import BatchRow, batches
    from rfsync.history.arguments import read_age, read_past
    from rfsync.records import Kind

    moment = read_past(as_of, "--as-of", utc_now())
    age = None if unchanged_for is None else read_age(unchanged_for, "--unchanged-for")
    engine = open_history(options, target)
    rows = batches(engine, target, as_of=moment, unchanged_for=age)
    none = "there is no batch" if moment is None else f"there was no batch at {utc_time(moment)}"
    none += "" if age is None else f" without a change for {unchanged_for}"
    if moment is not None and note_unobserved(engine, target, moment, Kind.BATCH):
        none += ", as far as is known"
    layout = Layout(
        ("PROJECT", "BATCH", "NAME", "IMAGES", "JOBS", "UPLOADED", "FIRST SEEN", "CHANGED"),
        ("IMAGES", "JOBS"),
        _cells,
        none,
    )
    show(rows, BatchRow, layout, form, output)
    return 0


def _cells(row: BatchRow) -> tuple[str, ...]:
    times = map(utc_time, (row.uploaded_at, row.first_seen_at, row.changed_at))
    project = f"{row.workspace}/{row.project}"
    return (project, row.batch_id, row.name or "-", count(row.images), count(row.num_jobs), *times)
