"""``rfsync jobs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, utc_time
from rfsync.cli.queries import Layout, open_history, show, target_argument
from rfsync.text import shown_name

if TYPE_CHECKING:
    from rfsync.history import JobRow


@make_command("""rfsync jobs acme/widgets
rfsync jobs --status assigned                 those that are being worked on
rfsync jobs acme --as-of 7d -o then.csv""")
@target_argument
@click.option("--as-of", metavar="TIME", help="State at this time.  [default: now]")
@click.option("--status", metavar="WORD", help="Only jobs with this status, one of the API's words.")
@format_options
def command(
    options: Options, target: str | None, as_of: str | None, status: str | None, form: str, output: str | None
) -> int:
    """The annotation jobs that exist now, or existed at a given time, as they were at that time.

    TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO 8601, a date, or an age
    such as 7d.
    """
    from rfsync.history import JobRow, jobs
    from rfsync.history.arguments import read_past
    from rfsync.history.no_jobs import why_no_jobs

    moment = read_past(as_of, "--as-of", utc_now())
    engine = open_history(options, target)
    rows = jobs(engine, target, as_of=moment, status=status)
    having = "" if status is None else f" with the status {shown_name(status)}"
    layout = Layout(
        ("PROJECT", "JOB", "NAME", "BATCH", "STATUS", "LABELER", "REVIEWER", "IMAGES", "ANNOTATED", "UNANNOTATED",
         "APPROVED", "REJECTED", "CREATED", "CHANGED"),
        ("IMAGES", "ANNOTATED", "UNANNOTATED", "APPROVED", "REJECTED"),
        _cells,
        ("there is no job" if moment is None else f"there was no job at {utc_time(moment)}") + having,
        lambda: why_no_jobs(engine, target),
    )  # fmt: skip
    show(rows, JobRow, layout, form, output)
    return 0


def _cells(row: JobRow) -> tuple[str, ...]:
    words = (row.name, row.batch_id, row.status, row.labeler, row.reviewer)
    counts = (row.num_images, row.annotated, row.unannotated, row.approved, row.rejected)
    times = map(utc_time, (row.created_at, row.changed_at))
    project = f"{row.workspace}/{row.project}"
    return (project, row.job_id, *(word or "-" for word in words), *map(count, counts), *times)
