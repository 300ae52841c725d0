"""The quarters of an hour of workspaces, of which the days and hours of any time zone consist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import BigInteger, Connection, TextualSelect, column, delete, text

from rfsync.database.upsert import insert
from rfsync.ledger.flows import QUARTER_HOUR, QUARTER_HOUR_FLOWS, quarter_hours
from rfsync.schema.models import WorkspaceQuarterHour
from rfsync.schema.types import UTCDateTime

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert

#: Start -> column -> sum; columns that are not in it are 0.
QuarterHours: TypeAlias = Mapping[datetime, Mapping[str, int]]

_NOTHING: Final = dict.fromkeys(QUARTER_HOUR_FLOWS, 0)


def start_of(at: datetime) -> datetime:
    """The start of the quarter of an hour of an instant in UTC."""
    return at - timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)


@cache
def _add(dialect: str) -> Insert:
    statement = insert(dialect, WorkspaceQuarterHour)
    sums = {name: getattr(WorkspaceQuarterHour, name) + statement.excluded[name] for name in QUARTER_HOUR_FLOWS}
    return statement.on_conflict_do_update(index_elements=["workspace", "start"], set_=sums)


def add_quarter_hours(connection: Connection, workspace: str, sums: QuarterHours) -> None:
    """Adds sums to the quarters of an hour of a workspace."""
    rows = [{"workspace": workspace, "start": start, **_NOTHING, **sums[start]} for start in sorted(sums)]
    if rows:
        connection.execute(_add(connection.dialect.name), rows)


def take_quarter_hours(connection: Connection, workspace: str, sums: QuarterHours) -> None:
    """Subtracts sums that were added before; what has nothing left goes."""
    add_quarter_hours(
        connection, workspace, {start: {name: -value for name, value in of.items()} for start, of in sums.items()}
    )
    empty = [WorkspaceQuarterHour.__table__.c[name] == 0 for name in QUARTER_HOUR_FLOWS]
    connection.execute(delete(WorkspaceQuarterHour).where(WorkspaceQuarterHour.workspace == workspace, *empty))


@cache
def _of_project(dialect: str) -> TextualSelect:
    sums = ", ".join(f"sum({name}) AS {name}" for name in QUARTER_HOUR_FLOWS)
    of_project = quarter_hours("WHERE project_id = :project_id").replace("{quarter_hour}", QUARTER_HOUR[dialect])
    columns = [column(name, BigInteger) for name in QUARTER_HOUR_FLOWS]
    query = text(f"SELECT start, {sums} FROM ({of_project}) c GROUP BY start")  # noqa: S608 names of ours
    return query.columns(column("start", UTCDateTime), *columns)


def read_quarter_hours(connection: Connection, project_id: int) -> QuarterHours:
    """The part of a project in its workspace's sums, from its ledgers."""
    rows: Sequence[Any] = connection.execute(_of_project(connection.dialect.name), {"project_id": project_id}).all()
    return {
        start: {name: int(value) for name, value in zip(QUARTER_HOUR_FLOWS, sums, strict=True)} for start, *sums in rows
    }
