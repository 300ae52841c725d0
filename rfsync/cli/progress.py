"""``rfsync progress``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rfsync.cli.options import Options, make_command
from rfsync.cli.output import count, format_options, tell
from rfsync.cli.queries import Layout, note_jobs_off, open_history, show, target_argument

if TYPE_CHECKING:
    from rfsync.history import ProgressRow


@make_command("""rfsync progress acme/widgets
rfsync progress -o progress.csv""")
@target_argument
@format_options
def command(options: Options, target: str | None, form: str, output: str | None) -> int:
    """Where the images of each batch are now: in no job, or in jobs, and of these annotated, approved and rejected.

    TARGET is a workspace or workspace/project; default: everything in the database.
    """
    from rfsync.history import ProgressRow, progress
    from rfsync.history.no_jobs import why_no_jobs

    config = options.begin()
    is_off = config.jobs.sync is False
    engine = open_history(options, target, config)
    layout = Layout(
        ("PROJECT", "BATCH", "NAME", "IN NO JOB", "IN JOBS", "ANNOTATED", "APPROVED", "REJECTED", "TOTAL"),
        ("IN NO JOB", "IN JOBS", "ANNOTATED", "APPROVED", "REJECTED", "TOTAL"),
        _cells,
        "there is no batch",
    )
    show(progress(engine, target), ProgressRow, layout, form, output)
    if reason := why_no_jobs(engine, target, is_off=is_off):
        tell(f"nothing is known of jobs: {reason}")
    elif is_off:
        note_jobs_off(engine, target)
    return 0


def _cells(row: ProgressRow) -> tuple[str, ...]:
    return (f"{row.workspace}/{row.project}", row.batch_id or "-", row.name or "-", *map(count, row[4:]))
