"""``rfsync jobs``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import count, format_options, utc_time
from rfsync.cli.queries import (
    Layout,
    labeler_option,
    note_jobs_off,
    note_unobserved,
    open_history,
    show,
    target_argument,
)
from rfsync.text import shown_name

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rfsync.history import JobRow

#: Most statuses that a message lists.
_MAX_STATUSES = 20


@make_command("""rfsync jobs acme/widgets
rfsync jobs --status assigned                 those that are being worked on
rfsync jobs --labeler ann@example.com --unchanged-for 7d
rfsync jobs acme --as-of 7d -o then.csv""")
@target_argument
@click.option("--as-of", metavar="TIME", help="State at this time.  [default: now]")
@click.option("--status", metavar="WORD", help="Only jobs with this status, one of the API's words.")
@labeler_option("Only jobs of this labeler")
@click.option("--reviewer", metavar="WHO", help="Only jobs of this reviewer, likewise.")
@click.option("--unchanged-for", metavar="AGE", help="Only jobs on which nothing has changed for so long.")
@format_options
def command(
    options: Options,
    target: str | None,
    as_of: str | None,
    status: str | None,
    labeler: str | None,
    reviewer: str | None,
    unchanged_for: str | None,
    form: str,
    output: str | None,
) -> int:
    """The annotation jobs that exist now, or existed at a given time, as they were at that time.

    TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO 8601, a date, or an age
    such as 7d. AGE is 90s, 5m, 12h or 7d, and ends at the time of --as-of, or now. WHO is a mail address, person-7, or
    nobody.
    """
    from rfsync.history import JobRow, jobs
    from rfsync.history.arguments import read_age, read_past
    from rfsync.history.no_jobs import why_no_jobs
    from rfsync.history.people import read_person
    from rfsync.records import Kind

    moment = read_past(as_of, "--as-of", utc_now())
    age = None if unchanged_for is None else read_age(unchanged_for, "--unchanged-for")
    config = options.begin()
    is_off = config.jobs.sync is False
    engine = open_history(options, target, config)
    for who, option in ((labeler, "--labeler"), (reviewer, "--reviewer")):
        read_person(engine, who, option)
    rows = jobs(engine, target, as_of=moment, status=status, labeler=labeler, reviewer=reviewer, unchanged_for=age)
    none = "there is no job" if moment is None else f"there was no job at {utc_time(moment)}"
    none += "".join(_named(status, labeler or reviewer, unchanged_for))
    if moment is not None and note_unobserved(engine, target, moment, Kind.JOB):
        none += ", as far as is known"
    if moment is None and is_off:
        note_jobs_off(engine, target)
    layout = Layout(
        ("PROJECT", "JOB", "NAME", "BATCH", "STATUS", "LABELER", "REVIEWER", "IMAGES", "ANNOTATED", "UNANNOTATED",
         "APPROVED", "REJECTED", "CREATED", "CHANGED"),
        ("IMAGES", "ANNOTATED", "UNANNOTATED", "APPROVED", "REJECTED"),
        _cells,
        none,
        lambda: why_no_jobs(engine, target, is_off=is_off) or _other_statuses(engine, target, moment, status),
    )  # fmt: skip
    show(rows, JobRow, layout, form, output)
    return 0


def _named(status: str | None, person: str | None, unchanged_for: str | None) -> Iterator[str]:
    """What was asked for, for the message that there is none."""
    if status is not None:
        yield f" with the status {shown_name(status)}"
    if person is not None:
        yield " of that person"
    if unchanged_for is not None:
        yield f" without a change for {unchanged_for}"


def _other_statuses(engine: Engine, target: str | None, moment: datetime | None, status: str | None) -> str | None:
    """The statuses that jobs have, if none has the one that was asked for."""
    from rfsync.history import jobs

    if status is None:
        return None
    found = Counter(row.status for row in jobs(engine, target, as_of=moment) if row.status is not None)
    if status in found or not found:
        return None
    shown = [f"{shown_name(word)} ({count(number)})" for word, number in found.most_common(_MAX_STATUSES)]
    return f"the jobs have {', '.join(shown)}" + (", …" if len(found) > _MAX_STATUSES else "")


def _cells(row: JobRow) -> tuple[str, ...]:
    words = (row.name, row.batch_id, row.status, row.labeler, row.reviewer)
    counts = (row.num_images, row.annotated, row.unannotated, row.approved, row.rejected)
    times = map(utc_time, (row.created_at, row.changed_at))
    project = f"{row.workspace}/{row.project}"
    return (project, row.job_id, *(word or "-" for word in words), *map(count, counts), *times)
