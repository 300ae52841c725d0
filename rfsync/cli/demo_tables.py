"""What ``rfsync demo`` shows of annotation jobs: a few rows of each table."""

from __future__ import annotations

import heapq
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import click

from rfsync.cli.output import count, print_table
from rfsync.text import age

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ROWS = 5


def print_job_tables(engine: Engine, now: datetime) -> None:
    """Prints open jobs, batches with their progress, and each labeler's work."""
    click.echo("\nThe jobs that are open longest:")
    _print_jobs(engine, now)
    click.echo("\nWhere the images of the batches with most in jobs are:")
    _print_progress(engine)
    click.echo("\nWhat labelers did in the last 7 days:")
    _print_work(engine, now)


def _print_jobs(engine: Engine, now: datetime) -> None:
    from rfsync.history import open_jobs

    print_table(
        ("PROJECT", "NAME", "STATUS", "LABELER", "OPEN FOR", "IMAGES", "TO DO", "APPROVED", "REJECTED"),
        (
            (
                *(f"{row.workspace}/{row.project}", row.name or "-", row.status or "-", row.labeler or "nobody"),
                age(now - row.opened_at),
                *map(count, (row.num_images, row.unannotated, row.approved, row.rejected)),
            )
            for row in open_jobs(engine, limit=_ROWS, now=now)
        ),
        right=("IMAGES", "TO DO", "APPROVED", "REJECTED"),
    )


def _print_progress(engine: Engine) -> None:
    from rfsync.history import progress

    counts = ("IN NO JOB", "IN JOBS", "ANNOTATED", "APPROVED", "REJECTED", "TOTAL")
    print_table(
        ("PROJECT", "NAME", *counts),
        (
            (
                f"{row.workspace}/{row.project}",
                row.name or "-",
                *map(count, (row.images, row.in_jobs, row.annotated, row.approved, row.rejected, row.total)),
            )
            for row in heapq.nlargest(_ROWS, progress(engine), key=lambda row: row.in_jobs)
        ),
        right=counts,
    )


def _print_work(engine: Engine, now: datetime) -> None:
    from rfsync.history import work

    flows = ("annotated_gained", "approved_gained", "rejected_gained")
    done: Counter[tuple[str, str]] = Counter()
    for row in work(engine, since="7d", labelers=True, summed=True, now=now):
        done.update({(row.labeler or "nobody", flow): getattr(row, flow) for flow in flows})
    labelers = sorted(
        {labeler for (labeler, _), images in done.items() if images}, key=lambda one: (-done[one, flows[0]], one)
    )
    print_table(
        ("LABELER", "ANNOTATED", "APPROVED", "REJECTED"),
        ((labeler, *(count(done[labeler, flow]) for flow in flows)) for labeler in labelers),
        right=("ANNOTATED", "APPROVED", "REJECTED"),
    )
