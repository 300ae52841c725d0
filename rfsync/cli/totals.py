"""``rfsync totals``."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, signed
from rfsync.cli.queries import SPAN, Layout, open_history, show, span_options, target_argument

if TYPE_CHECKING:
    from rfsync.history import By, TotalRow


@make_command("""rfsync totals acme/widgets --since 30d
rfsync totals --by month --sum                all projects added up
rfsync totals --by day --tz Europe/Berlin --since 2026-01-01 -o days.csv""")
@target_argument
@span_options
@click.option("--by", type=click.Choice(("hour", "day", "week", "month")), default="day", show_default=True,
              help="Length of a period; weeks begin on Monday.")  # fmt: skip
@click.option("--sum", "summed", is_flag=True, help="Add up all projects.")
@click.option("--tz", default="UTC", metavar="ZONE", show_default=True,
              help="Time zone of the periods, and of a TIME without an offset.")  # fmt: skip
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
    return (name, _label(row.period, by, time_zone), *totals[:2], *images, totals[2], *jobs, *known)


def _label(period: datetime, by: By, time_zone: tzinfo) -> str:
    """``2026-01-31 18:00+01:00`` (in UTC without the offset), ``2026-01-31`` or ``2026-01``."""
    local = period.astimezone(time_zone)
    if by == "hour":
        written = local.isoformat(" ", "minutes")
        return written.removesuffix("+00:00") if str(time_zone) == "UTC" else written
    return f"{local:%Y-%m}" if by == "month" else f"{local:%Y-%m-%d}"
