"""Taking projects out of the database, with all that it has of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Table, delete, func, select, update

from rfsync.ledger.projects import ProjectPath, unknown_target
from rfsync.ledger.quarter_hours import read_quarter_hours, take_quarter_hours
from rfsync.ledger.renames import find_renames
from rfsync.parsing import Target
from rfsync.schema.models import (
    LABELER_FLOWS,
    Batch,
    BatchChange,
    Job,
    JobChange,
    LabelerDay,
    Project,
    ProjectDay,
    SyncRun,
    WorkspaceDay,
    WorkspaceLabelerDay,
    metadata,
)


@dataclass(frozen=True, slots=True)
class Holding:
    """What the database has of a project."""

    path: ProjectPath
    #: Removed ones too, as of the jobs.
    batches: int
    jobs: int
    #: Rows of both ledgers.
    changes: int
    runs: int
    #: The observation of its first change; None: there is none.
    since: datetime | None


def _tables() -> list[Table]:
    """All tables with rows of a project, those first that refer to others.

    The days come last: the triggers on them lock the sums of the workspace, for which syncs of its other projects wait;
    in the order in which those write them.
    """
    tables = [table for table in reversed(metadata.sorted_tables) if "project_id" in table.c]
    days = (ProjectDay.__tablename__, LabelerDay.__tablename__)
    return sorted(tables, key=lambda table: days.index(table.name) if table.name in days else -1)


_TABLES: Final = _tables()


def find_projects(connection: Connection, target: Target) -> list[ProjectPath]:
    """The projects that a target means, by the ids that they have now, in their order.

    An id that a project has now means that; else the one that had it before, or those that the workspace had.

    Raises:
        ConfigError: there is none.
    """
    query = select(Project.workspace, Project.project).where(Project.workspace == target.workspace)
    if target.project is not None:
        query = query.where(Project.project == target.project)
    found = {ProjectPath(*row) for row in connection.execute(query)}
    if not found:
        renames = find_renames(connection, target.workspace)
        found = {now for old, now in renames.items() if target.project in {None, old}}
    if not found:
        raise unknown_target(connection, target)
    return sorted(found)


def measure(connection: Connection, paths: Iterable[ProjectPath]) -> list[Holding]:
    """Counts what the database has of some projects."""
    return [_measure(connection, path) for path in paths]


def _measure(connection: Connection, path: ProjectPath) -> Holding:
    own = select(Project.id).where(Project.workspace == path.workspace, Project.project == path.project)
    project_id = own.scalar_subquery()
    batches, jobs, runs = (
        connection.execute(select(func.count()).select_from(table).where(table.project_id == project_id)).scalar_one()
        for table in (Batch, Job, SyncRun)
    )
    changes, since = 0, None
    for ledger in (BatchChange, JobChange):
        query = select(func.count(), func.min(ledger.observed_at)).where(ledger.project_id == project_id)
        number, first = connection.execute(query).one()
        changes += number
        since = min(filter(None, (since, first)), default=None)
    return Holding(path, batches, jobs, changes, runs, since)


def drop_project(connection: Connection, path: ProjectPath) -> bool:
    """Deletes a project and all rows of it; False: there is no such project.

    A sync of it that is under way ends with ``ProjectDropped``, or has ended before.
    """
    own = select(Project.id).where(Project.workspace == path.workspace, Project.project == path.project)
    # Not even a run may begin meanwhile.
    project_id = connection.execute(own.with_for_update()).scalar()
    if project_id is None:
        return False
    quarter_hours = read_quarter_hours(connection, project_id)
    for table in _TABLES:
        if table is SyncRun.__table__:
            # PostgreSQL's trigger looks through the whole ledger for the changes of each run that has some, if it is to
            # go. They are gone.
            changed = update(SyncRun).where(SyncRun.project_id == project_id, SyncRun.outcome == "changed")
            connection.execute(changed.values(outcome="unchanged"))
        connection.execute(delete(table).where(table.c.project_id == project_id))
    # What the triggers have left of days on which no other project changed.
    connection.execute(delete(WorkspaceDay).where(WorkspaceDay.workspace == path.workspace, WorkspaceDay.changes == 0))
    days = WorkspaceLabelerDay
    empty = [days.__table__.c[name] == 0 for name in LABELER_FLOWS]
    connection.execute(delete(days).where(days.workspace == path.workspace, *empty))
    take_quarter_hours(connection, path.workspace, quarter_hours)
    connection.execute(delete(Project).where(Project.id == project_id))
    return True
