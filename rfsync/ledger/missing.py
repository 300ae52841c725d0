"""Batches that the last observation lacked: since when, and when the API was asked for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select, update

from rfsync.ledger.bulk import Bulk
from rfsync.schema.models import Batch, MissingBatch


@dataclass(frozen=True, slots=True)
class Missing:
    """A batch that the last observation lacked; see ``models.MissingBatch``."""

    missing_at: datetime
    refusal: int = 0
    asked_at: datetime | None = None
    #: It answered by its id, so it exists.
    unlisted: bool = False
    #: It was removed when its project departed, and was not listed since the project is back.
    removed: bool = False


_ROWS: Final = (
    select(
        *(MissingBatch.batch_id, MissingBatch.missing_at, MissingBatch.refusal, MissingBatch.asked_at),
        *(Batch.unlisted_at.is_not(None), Batch.removed_at.is_not(None)),
    )
    .join(Batch, (Batch.project_id == MissingBatch.project_id) & (Batch.batch_id == MissingBatch.batch_id))
    .where(MissingBatch.project_id == bindparam("of_project"))
)
_ALL: Final = MissingBatch.project_id == bindparam("of_project")
_ONE: Final = _ALL & (MissingBatch.batch_id == bindparam("of_batch"))
_DELETE_ALL: Final = delete(MissingBatch).where(_ALL)
_DELETE: Final = delete(MissingBatch).where(_ONE)
_UPDATE: Final = update(MissingBatch).where(_ONE)
_SET_UNLISTED: Final = (
    update(Batch)
    .where(Batch.project_id == bindparam("of_project"), Batch.batch_id == bindparam("of_batch"))
    .values(unlisted_at=bindparam("since", type_=Batch.unlisted_at.type))
)


def load_missing(connection: Connection, project_id: int) -> dict[str, Missing]:
    """Reads what the project's last observation lacked, by the id of the batch."""
    return {
        batch_id: Missing(missing_at, refusal, asked_at, bool(unlisted), bool(removed))
        for batch_id, missing_at, refusal, asked_at, unlisted, removed in connection.execute(
            _ROWS, {"of_project": project_id}
        )
    }


def write_missing(
    connection: Connection,
    bulk: Bulk,
    project_id: int,
    before: Mapping[str, Missing],
    after: Mapping[str, Missing],
    at: datetime,
) -> None:
    """Brings the rows from ``before`` to ``after``, and ``batches.unlisted_at`` with them.

    Args:
        at: since when those are unlisted that were not before.
    """
    same = {"of_project": project_id}
    gone = before.keys() - after.keys()
    if gone and not after:
        connection.execute(_DELETE_ALL, same)
    elif gone:
        connection.execute(_DELETE, [{**same, "of_batch": batch_id} for batch_id in gone])
    new = [(project_id, i, m.missing_at, m.refusal, m.asked_at) for i, m in after.items() if i not in before]
    if new:
        bulk.add_missing(connection, new)
    changed = [
        {**same, "of_batch": batch_id, "refusal": row.refusal, "asked_at": row.asked_at}
        for batch_id, row in after.items()
        if batch_id in before and (row.refusal, row.asked_at) != (before[batch_id].refusal, before[batch_id].asked_at)
    ]
    if changed:
        connection.execute(_UPDATE, changed)
    listed = {i for i, row in before.items() if row.unlisted and not (i in after and after[i].unlisted)}
    unlisted = {i for i, row in after.items() if row.unlisted and not (i in before and before[i].unlisted)}
    values = [{**same, "of_batch": i, "since": at if i in unlisted else None} for i in (*listed, *unlisted)]
    if values:
        connection.execute(_SET_UNLISTED, values)
