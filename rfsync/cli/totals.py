"""``rfsync totals``."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, signed
from rfsync.cli.queries import (
    SPAN,
    Layout,
    open_history,
    period_label,
    period_options,
    show,
    span_options,
    target_argument,
)

if TYPE_CHECKING:
    from rfsync.history import By, TotalRow


@make_command("""rfsync totals acme/widgets --since 30d
rfsync totals --by month --sum                all projects added up
rfsync totals --by day --tz Europe/Berlin --since 2026-01-01 -o days.csv""")
@target_argument
@span_options
@period_options
@format_options
def command(
    options: Options,
    target: str | None,
    since: str | None,
    until: str | None,
    by: By,
    summed: bool,
    tz: str,
    form: str,
    output: str | None,
) -> int:
    """Totals of images and jobs over time, with gains and losses of each period.

    By default from the first observation until now. There are no gaps: a period without an observation has a row, too.
    TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO 8601, a date, or an age
    such as 7d.
    """
    from rfsync.history import TotalRow, totals
    from rfsync.history.arguments import read_span
    from rfsync.history.periods import zone

    now = utc_now()
    time_zone = zone(tz)
    first, end = read_span(since, until, now, time_zone, SPAN)
    rows = totals(open_history(options, target), target, by=by, since=first, until=end, tz=tz, summed=summed, now=now)
    layout: Layout[TotalRow] = Layout(
        (
            "PROJECT",
            by.upper(),
            "BATCHES",
            "IMAGES",
            "±",
            "GAINED",
            "LOST",
            "JOBS",
            "±",
            "GAINED",
            "LOST",
            "OBSERVED",
            "COMPLETE",
        ),
        ("BATCHES", "IMAGES", "±", "GAINED", "LOST", "JOBS"),
        lambda row: _cells(row, target or "all", by, time_zone),
        "nothing was observed",
    )
    show(rows, TotalRow, layout, form, output)
    return 0


def _cells(row: TotalRow, total_name: str, by: By, time_zone: tzinfo) -> tuple[str, ...]:
    name = total_name if row.project is None else f"{row.workspace}/{row.project}"
    totals = (count(row.batches), count(row.images), count(row.num_jobs))
    if row.observed:
        images = (signed(row.images_delta), count(row.images_gained), count(row.images_lost))
        jobs = (signed(row.num_jobs_delta), count(row.jobs_gained), count(row.jobs_lost))
    else:  # whether anything moved is unknown
        images = jobs = ("-", "-", "-")
    known = ("yes" if flag else "no" for flag in (row.observed, row.complete))
    return (name, period_label(row.period, by, time_zone), *totals[:2], *images, totals[2], *jobs, *known)
