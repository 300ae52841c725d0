"""Records that the last observation lacked: since when, and when the API was asked for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, select, update
from sqlalchemy.sql.dml import Delete, Update

from rfsync.ledger.bulk import Bulk
from rfsync.ledger.record_types import RecordType
from rfsync.schema.types import UTCDateTime


@dataclass(frozen=True, slots=True)
class Missing:
    """A record that the last observation lacked; see ``models.MissingBatch``."""

    missing_at: datetime
    refusal: int = 0
    asked_at: datetime | None = None
    #: It answered by its id, so it exists.
    unlisted: bool = False
    #: It was removed when its project departed, and was not listed since the project is back.
    removed: bool = False


@cache
def _rows(type_: RecordType) -> Select[*tuple[Any, ...]]:
    missing: Any = type_.missing
    model: Any = type_.model
    key = getattr(missing, type_.key)
    return (
        select(
            *(key, missing.missing_at, missing.refusal, missing.asked_at),
            *(model.unlisted_at.is_not(None), model.removed_at.is_not(None)),
        )
        .join(model, (model.project_id == missing.project_id) & (type_.key_column == key))
        .where(missing.project_id == bindparam("of_project"))
    )


@cache
def _delete_all(type_: RecordType) -> Delete:
    missing: Any = type_.missing
    return delete(missing).where(missing.project_id == bindparam("of_project"))


@cache
def _delete_one(type_: RecordType) -> Delete:
    return _delete_all(type_).where(getattr(type_.missing, type_.key) == bindparam("of_record"))


@cache
def _update(type_: RecordType) -> Update:
    missing: Any = type_.missing
    return update(missing).where(
        missing.project_id == bindparam("of_project"), getattr(missing, type_.key) == bindparam("of_record")
    )


@cache
def _set_unlisted(type_: RecordType) -> Update:
    return (
        update(type_.model)
        .where(type_.project_column == bindparam("of_project"), type_.key_column == bindparam("of_record"))
        .values(unlisted_at=bindparam("since", type_=UTCDateTime))
    )


def load_missing(connection: Connection, type_: RecordType, project_id: int) -> dict[str, Missing]:
    """Reads what the project's last observation lacked, by the id of the record."""
    return {
        record_id: Missing(missing_at, refusal, asked_at, bool(unlisted), bool(removed))
        for record_id, missing_at, refusal, asked_at, unlisted, removed in connection.execute(
            _rows(type_), {"of_project": project_id}
        )
    }


def write_missing(
    connection: Connection,
    bulk: Bulk,
    type_: RecordType,
    project_id: int,
    before: Mapping[str, Missing],
    after: Mapping[str, Missing],
    at: datetime,
) -> None:
    """Brings the rows from ``before`` to ``after``, and ``unlisted_at`` of the records with them.

    Args:
        at: since when those are unlisted that were not before.
    """
    same = {"of_project": project_id}
    gone = before.keys() - after.keys()
    if gone and not after:
        connection.execute(_delete_all(type_), same)
    elif gone:
        connection.execute(_delete_one(type_), [{**same, "of_record": record_id} for record_id in gone])
    new = [(project_id, i, m.missing_at, m.refusal, m.asked_at) for i, m in after.items() if i not in before]
    if new:
        bulk.add_missing(connection, type_, new)
    changed = [
        {**same, "of_record": record_id, "refusal": row.refusal, "asked_at": row.asked_at}
        for record_id, row in after.items()
        if record_id in before
        and (row.refusal, row.asked_at) != (before[record_id].refusal, before[record_id].asked_at)
    ]
    if changed:
        connection.execute(_update(type_), changed)
    listed = {i for i, row in before.items() if row.unlisted and not (i in after and after[i].unlisted)}
    unlisted = {i for i, row in after.items() if row.unlisted and not (i in before and before[i].unlisted)}
    values = [{**same, "of_record": i, "since": at if i in unlisted else None} for i in (*listed, *unlisted)]
    if values:
        connection.execute(_set_unlisted(type_), values)
