"""The days of labelers that an observation's changes of jobs are added to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from rfsync.database.upsert import insert
from rfsync.ledger.changes import Change, ChangeKind
from rfsync.ledger.flows import WORK_COUNTS
from rfsync.schema.models import LABELER_FLOWS, LabelerDay

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert


def flows_of(changes: Iterable[Change]) -> dict[int, dict[str, int]]:
    """What moved, by the number of the labeler (0: nobody), in the columns of ``labeler_daily`` that are not 0.

    What a removed job takes along is work done, no loss; a restored one counts by what it differs from its last known
    counts and labeler.
    """
    flows: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for change in changes:
        if change.kind is ChangeKind.REMOVED:
            continue
        after, before = change.record, change.before
        labeler, labeler_before = after.labeler_id or 0, (before and before.labeler_id) or 0
        grown = after.num_images - (before.num_images if before else 0)
        if before is None or labeler != labeler_before:
            flows[labeler]["jobs_opened"] += 1
            flows[labeler]["images_assigned"] += after.num_images
        elif grown > 0:
            flows[labeler]["images_assigned"] += grown
        for name in WORK_COUNTS:
            delta = getattr(after, name) - (getattr(before, name) if before else 0)
            if delta > 0:
                flows[labeler][f"{name}_gained"] += delta
            elif delta < 0:
                flows[labeler_before][f"{name}_lost"] -= delta
    return {labeler: {name: value for name, value in moved.items() if value} for labeler, moved in flows.items()}


@cache
def _statement(dialect: str) -> Insert:
    statement = insert(dialect, LabelerDay)
    sums = {flow: getattr(LabelerDay, flow) + statement.excluded[flow] for flow in LABELER_FLOWS}
    return statement.on_conflict_do_update(index_elements=["project_id", "day", "labeler_id"], set_=sums)


def roll_up_labelers(
    connection: Connection, project_id: int, day: date, flows: Mapping[int, Mapping[str, int]]
) -> None:
    """Adds what one observation's changes of jobs moved to the day of each labeler.

    Args:
        flows: of ``flows_of``.
    """
    nothing = dict.fromkeys(LABELER_FLOWS, 0)
    key = {"project_id": project_id, "day": day}
    rows = [{**key, "labeler_id": labeler, **nothing, **moved} for labeler, moved in sorted(flows.items()) if moved]
    if rows:
        connection.execute(_statement(connection.dialect.name), rows)
