"""When a project was observed, kept in a quarter of an hour's detail where the runs that did it are deleted."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, exists, or_, select

from rfsync.database.upsert import insert
from rfsync.ledger.record_types import RECORD_TYPES
from rfsync.records import Kind
from rfsync.schema.models import ProjectObserved, SyncRun

QUARTER: Final = timedelta(minutes=15)
#: Quarters of an hour in half a day: an integer of the database has 63 usable bits.
NOON: Final = 48


def halves(quarters: int) -> tuple[int, int]:
    """Splits a day's quarters of an hour, bit n the n-th, into those before noon and those after it."""
    return quarters & (1 << NOON) - 1, quarters >> NOON


def was_observed(connection: Connection, project_id: int, kind: Kind, at: datetime) -> bool:
    """Whether that list of a project was observed then, or in that quarter of an hour where the run is deleted."""
    day, quarter = _quarter(at)
    am, pm = halves(1 << quarter)
    kept = ProjectObserved
    changes: Any = RECORD_TYPES[kind].changes
    of_batches = kind is Kind.BATCH
    listed, kept_am, kept_pm = (
        (SyncRun.batches, kept.am, kept.pm) if of_batches else (SyncRun.jobs, kept.jobs_am, kept.jobs_pm)
    )
    found = or_(
        exists().where(changes.project_id == project_id, changes.observed_at == at),
        exists().where(
            *(SyncRun.project_id == project_id, SyncRun.outcome == "unchanged", SyncRun.started_at == at),
            listed.is_not(None),
        ),
        exists().where(
            kept.project_id == project_id,
            kept.day == day,
            or_(kept_am.bitwise_and(am) != 0, kept_pm.bitwise_and(pm) != 0),
        ),
    )
    return bool(connection.execute(select(found)).scalar())


def _quarter(at: datetime) -> tuple[date, int]:
    """The UTC day of an instant, and which quarter of an hour of it."""
    at = at.astimezone(UTC)
    return at.date(), timedelta(hours=at.hour, minutes=at.minute) // QUARTER


def keep_observed(
    connection: Connection, project_id: int, batches: Iterable[datetime] = (), jobs: Iterable[datetime] = ()
) -> None:
    """Notes that the project's batches were observed at these instants, and its jobs at those."""
    quarters: defaultdict[date, list[int]] = defaultdict(lambda: [0, 0])
    for place, instants in enumerate((batches, jobs)):
        for at in instants:
            day, quarter = _quarter(at)
            quarters[day][place] |= 1 << quarter
    if not quarters:
        return
    statement = insert(connection.dialect.name, ProjectObserved)
    columns = ("am", "pm", "jobs_am", "jobs_pm")
    added = {name: getattr(ProjectObserved, name).bitwise_or(statement.excluded[name]) for name in columns}
    statement = statement.on_conflict_do_update(index_elements=["project_id", "day"], set_=added)
    rows = [
        {"project_id": project_id, "day": day, **dict(zip(columns, (*halves(b), *halves(j)), strict=True))}
        for day, (b, j) in quarters.items()
    ]
    connection.execute(statement, rows)
