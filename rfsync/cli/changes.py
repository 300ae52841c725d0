"""``rfsync changes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, signed, utc_time
from rfsync.cli.queries import SPAN, Layout, open_history, show, span_options, target_argument

if TYPE_CHECKING:
    from rfsync.history import ChangeRow


@make_command("""rfsync changes acme/widgets --since 24h
rfsync changes --batch dJ3kx8aq               one batch's whole history
rfsync changes --since 2026-01-01 --until 2026-02-01 -o january.parquet""")
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
    """The ledger: every change of every batch, in chronological order.

    TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO 8601, a date, or an age
    such as 7d.
    """
    from rfsync.history import ChangeRow, changes
    from rfsync.history.arguments import read_span

    first, end = read_span(since, until, utc_now(), names=SPAN)
    rows = changes(open_history(options, target), target, batch_ids=batch_ids or None, since=first, until=end)
    layout = Layout(
        ("OBSERVED", "PROJECT", "BATCH", "NAME", "CHANGE", "IMAGES", "±", "JOBS", "±"),
        ("IMAGES", "±", "JOBS"),
        _cells,
        "no change was observed" + (" in that time" if first or end else ""),
    )
    show(rows, ChangeRow, layout, form, output)
    return 0


def _cells(row: ChangeRow) -> tuple[str, ...]:
    what = (utc_time(row.observed_at), f"{row.workspace}/{row.project}", row.batch_id, row.name or "-", row.change)
    return (*what, count(row.images), signed(row.images_delta), count(row.num_jobs), signed(row.num_jobs_delta))
