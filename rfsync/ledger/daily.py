"""The day of a project that an observation's changes are added to."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from rfsync.database.upsert import insert
from rfsync.ledger.changes import Tally
from rfsync.schema.models import FLOWS, ProjectDay

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert


@cache
def _statement(dialect: str) -> Insert:
    statement = insert(dialect, ProjectDay)
    sums = {flow: getattr(ProjectDay, flow) + statement.excluded[flow] for flow in FLOWS}
    now = {column: statement.excluded[column] for column in ("batches", "images", "num_jobs")}
    return statement.on_conflict_do_update(index_elements=["project_id", "day"], set_={**sums, **now})


def flows_of_tally(tally: Tally) -> dict[str, int]:
    """The sums over changes of batches, in the columns that every roll-up of them has."""
    return {
        "changes": tally.total,
        "batches_added": tally.added + tally.restored,
        "batches_removed": tally.removed,
        "images_gained": tally.gained[0],
        "images_lost": tally.lost[0],
        "jobs_gained": tally.gained[1],
        "jobs_lost": tally.lost[1],
    }


def roll_up(connection: Connection, project_id: int, day: date, flows: dict[str, int], totals: tuple[int, ...]) -> None:
    """Adds one observation's changes to its day.

    Args:
        flows: of ``flows_of_tally``.
        totals: batches, images and jobs of the project after the observation.
    """
    connection.execute(
        _statement(connection.dialect.name),
        {
            "project_id": project_id,
            "day": day,
            **flows,
            "batches": totals[0],
            "images": totals[1],
            "num_jobs": totals[2],
        },
    )
