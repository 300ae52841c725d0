"""``rfsync work``."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options
from rfsync.cli.queries import (
    SPAN,
    Layout,
    labeler_option,
    open_history,
    period_label,
    period_options,
    show,
    span_options,
    target_argument,
)

if TYPE_CHECKING:
    from rfsync.history import By, WorkRow


@make_command("""rfsync work acme/widgets --since 30d
rfsync work --by week --labelers              each labeler by itself
rfsync work --labeler ann@example.com --since 7d
rfsync work --by month --sum --tz Europe/Berlin -o months.csv""")
@target_argument
@span_options
@period_options
@click.option("--labelers", is_flag=True, help="Each labeler by itself.")
@labeler_option("Only this labeler")
@format_options
def command(
    options: Options,
    target: str | None,
    since: str | None,
    until: str | None,
    by: By,
    summed: bool,
    tz: str,
    labelers: bool,
    labeler: str | None,
    form: str,
    output: str | None,
) -> int:
    """Images assigned, annotated, approved and rejected over time, for each project or each labeler.

    By default from the first observation of the jobs until now; what was done before that is in no period. There are no
    gaps. TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO 8601, a date, or
    an age such as 7d. WHO is a mail address, person-7, or nobody. The work of reviewers can't be told apart: the API
    does not say who approved what.
    """
    from rfsync.history import WorkRow, work
    from rfsync.history.arguments import read_span
    from rfsync.history.no_jobs import why_no_jobs
    from rfsync.history.people import read_person
    from rfsync.history.periods import zone

    now = utc_now()
    time_zone = zone(tz)
    first, end = read_span(since, until, now, time_zone, SPAN)
    config = options.begin()
    engine = open_history(options, target, config)
    read_person(engine, labeler, "--labeler")
    labelers = labelers or labeler is not None
    span = {"since": first, "until": end, "now": now}
    rows = work(engine, target, by=by, tz=tz, labelers=labelers, labeler=labeler, summed=summed, **span)
    layout: Layout[WorkRow] = Layout(
        ("PROJECT", *(("LABELER",) if labelers else ()), by.upper(), "JOBS", "IMAGES", "ANNOTATED", "LOST", "APPROVED",
         "LOST", "REJECTED", "LOST", "OBSERVED", "COMPLETE"),
        ("JOBS", "IMAGES", "ANNOTATED", "LOST", "APPROVED", "REJECTED"),
        lambda row: _cells(row, target or "all", by, time_zone, labelers=labelers),
        f"no work{' of that labeler' if labeler else ''} was observed{' in that time' if first or end else ''}",
        lambda: why_no_jobs(engine, target, is_off=config.jobs.sync is False),
    )  # fmt: skip
    show(rows, WorkRow, layout, form, output)
    return 0


def _cells(row: WorkRow, total_name: str, by: By, time_zone: tzinfo, *, labelers: bool) -> tuple[str, ...]:
    name = total_name if row.project is None else f"{row.workspace}/{row.project}"
    who = (row.labeler or "nobody",) if labelers else ()
    # Where nobody looked, whether anything was done is unknown.
    flows = map(count, row[4:12]) if row.observed else ["-"] * 8
    known = ("yes" if flag else "no" for flag in (row.observed, row.complete))
    return (name, *who, period_label(row.period, by, time_zone), *flows, *known)
