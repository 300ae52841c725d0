"""``rfsync changes``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, signed, utc_time
from rfsync.cli.queries import SPAN, Layout, open_history, show, span_options, target_argument
from rfsync.errors import ConfigError

if TYPE_CHECKING:
    from rfsync.history import ChangeRow, JobChangeRow


@make_command("""rfsync changes acme/widgets --since 24h
rfsync changes --batch dJ3kx8aq               one batch's whole history
rfsync changes --of jobs --batch dJ3kx8aq     that of the jobs that its images are in
rfsync changes --since 2026-01-01 --until 2026-02-01 -o january.parquet""")
@target_argument
@click.option("--of", type=click.Choice(("batches", "jobs")), help="Which ledger.  [default: batches; jobs with --job]")
@click.option("--batch", "batch_ids", metavar="ID", multiple=True,
              help="Only this batch, or the jobs that its images are in; may be repeated.")  # fmt: skip
@click.option("--job", "job_ids", metavar="ID", multiple=True, help="Only this job; may be repeated.")
@span_options
@format_options
def command(
    options: Options,
    target: str | None,
    of: str | None,
    batch_ids: tuple[str, ...],
    job_ids: tuple[str, ...],
    since: str | None,
    until: str | None,
    form: str,
    output: str | None,
) -> int:
    """The ledger: every change of every batch, or of every annotation job, in chronological order.

    TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO 8601, a date, or an age
    such as 7d.
    """
    from rfsync.history import ChangeRow, JobChangeRow, changes, job_changes
    from rfsync.history.arguments import read_span
    from rfsync.history.no_jobs import why_no_jobs

    if job_ids and of == "batches":
        raise ConfigError("--job is of the ledger of jobs: leave out --of batches")
    first, end = read_span(since, until, utc_now(), names=SPAN)
    config = options.begin()
    engine = open_history(options, target, config)
    none = "no change was observed" + (" in that time" if first or end else "")
    if of == "jobs" or job_ids:
        job_rows = job_changes(
            engine, target, job_ids=job_ids or None, batch_ids=batch_ids or None, since=first, until=end
        )
        is_off = config.jobs.sync is False
        why = partial(why_no_jobs, engine, target, is_off=is_off)
        job_layout = Layout(_JOB_HEADERS, _JOB_COUNTS, _job_cells, none, why)
        show(job_rows, JobChangeRow, job_layout, form, output)
        return 0
    rows = changes(engine, target, batch_ids=batch_ids or None, since=first, until=end)
    layout = Layout(
        ("OBSERVED", "PROJECT", "BATCH", "NAME", "CHANGE", "IMAGES", "±", "JOBS", "±"),
        ("IMAGES", "±", "JOBS"),
        _cells,
        none,
    )
    show(rows, ChangeRow, layout, form, output)
    return 0


def _cells(row: ChangeRow) -> tuple[str, ...]:
    what = (utc_time(row.observed_at), f"{row.workspace}/{row.project}", row.batch_id, row.name or "-", row.change)
    return (*what, count(row.images), signed(row.images_delta), count(row.num_jobs), signed(row.num_jobs_delta))


_JOB_COUNTS = ("IMAGES", "±", "ANNOTATED", "APPROVED", "REJECTED")
_JOB_HEADERS = (
    *("OBSERVED", "PROJECT", "JOB", "NAME", "BATCH", "CHANGE", "STATUS", "LABELER"),
    *(header for counted in ("IMAGES", "ANNOTATED", "APPROVED", "REJECTED") for header in (counted, "±")),
)


def _job_cells(row: JobChangeRow) -> tuple[str, ...]:
    what = (utc_time(row.observed_at), f"{row.workspace}/{row.project}", row.job_id)
    words = (row.name, row.batch_id, row.change, row.status, row.labeler)
    counted = (
        (row.num_images, row.num_images_delta), (row.annotated, row.annotated_delta),
        (row.approved, row.approved_delta), (row.rejected, row.rejected_delta),
    )  # fmt: skip
    counts = (cell for number, delta in counted for cell in (count(number), signed(delta)))
    return (*what, *(word or "-" for word in words), *counts)
