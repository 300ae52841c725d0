"""Projects whose URL id changes: who had a batch or job before, what an old id means now, and two rows made one."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, delete, insert, or_, select, update

from rfsync.errors import ConfigError
from rfsync.ledger.projects import ProjectPath, ProjectState, read_known, read_state, unknown_target
from rfsync.ledger.quarter_hours import add_quarter_hours, read_quarter_hours, take_quarter_hours
from rfsync.ledger.record_types import RECORD_TYPES, RecordType
from rfsync.parsing import Target
from rfsync.records import Kind
from rfsync.schema.models import LabelerDay, Project, ProjectDay, ProjectRename, SyncRun

#: Ids in one statement: an older SQLite takes at most 999 values.
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Owner:
    """A project that has, or had until it departed, some of the batches or jobs that another one lists."""

    project_id: int
    path: ProjectPath
    #: It was found to be gone before.
    departed: bool
    #: Number of those that belong to it and to no third project.
    shared: int = 0


_PROJECT: Final = (Project.id, Project.workspace, Project.project, Project.departed_at)
_OTHERS: Final = Project.written_at.is_not(None) & (Project.id != bindparam("own"))


def _is_still_its_own(type_: RecordType) -> ColumnElement[bool]:
    removed_at = type_.column("removed_at")
    return or_(removed_at.is_(None), removed_at == Project.departed_at)


@cache
def _owners(type_: RecordType) -> Select[*tuple[Any, ...]]:
    among = type_.key_column.in_(bindparam("ids", expanding=True))
    return (
        select(type_.key_column, *_PROJECT)
        .join(Project, Project.id == type_.project_column)
        .where(among, _OTHERS, _is_still_its_own(type_))
    )


_OBSERVED: Final = select(*_PROJECT).where(_OTHERS).order_by(Project.id)


def _owner(project_id: int, workspace: str, project: str, departed_at: datetime | None) -> Owner:
    return Owner(project_id, ProjectPath(workspace, project), departed_at is not None)


def observed_projects(connection: Connection, *, but: int | None) -> list[Owner]:
    """All projects that were ever observed, in the order of their numbers.

    Args:
        but: without this one.
    """
    return [_owner(*row) for row in connection.execute(_OBSERVED, {"own": but or 0})]


def find_owners(connection: Connection, ids: Mapping[Kind, Sequence[str]], *, but: int | None) -> list[Owner]:
    """Other projects that have some of these records, those with the most of them first.

    A record that was removed from a project otherwise than by that project's departure is no longer its own.

    Args:
        ids: of the records of each kind.
        but: without this one.
    """
    own = {"own": but or 0}
    if sum(map(len, ids.values())) > _AT_ONCE and connection.execute(_OBSERVED.limit(1), own).first() is None:
        return []
    shared: Counter[Owner] = Counter()
    for kind, of_kind in ids.items():
        found: defaultdict[str, list[Owner]] = defaultdict(list)
        for some in _chunks(of_kind):
            for record_id, *project in connection.execute(_owners(RECORD_TYPES[kind]), {"ids": some, **own}):
                found[record_id].append(_owner(*project))
        shared.update(owners[0] for owners in found.values() if len(owners) == 1)
    return [replace(owner, shared=number) for owner, number in shared.most_common()]


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def some_records(connection: Connection, kind: Kind, project_id: int, number: int) -> list[str]:
    """The ids of some records that a project has, or had until it departed."""
    type_ = RECORD_TYPES[kind]
    query = (
        select(type_.key_column)
        .join(Project, Project.id == type_.project_column)
        .where(type_.project_column == project_id, _is_still_its_own(type_))
        .order_by(type_.key_column)
        .limit(number)
    )
    return list(connection.execute(query).scalars())


_RENAMES: Final = (
    select(ProjectRename.project, Project.workspace, Project.project)
    .join(Project, Project.id == ProjectRename.project_id)
    .where(ProjectRename.workspace == bindparam("workspace"))
    .order_by(ProjectRename.renamed_at)
)
_TAKEN: Final = select(Project.project).where(
    Project.workspace == bindparam("workspace"), Project.written_at.is_not(None)
)


def find_renames(connection: Connection, workspace: str) -> dict[str, ProjectPath]:
    """What the ids mean that projects of a workspace had before: id -> the project's id now.

    One that an observed project has now means that. If several projects had the same one, the last of them is meant.
    """
    values = {"workspace": workspace}
    renames = {old: ProjectPath(*new) for old, *new in connection.execute(_RENAMES, values)}
    if not renames:
        return {}
    taken = set(connection.execute(_TAKEN, values).scalars())
    return {old: new for old, new in renames.items() if old not in taken}


def find_state(connection: Connection, path: ProjectPath) -> ProjectState | None:
    """A project's row, locked; None: there is no such project."""
    query = select(Project.id).where(Project.workspace == path.workspace, Project.project == path.project)
    project_id = connection.execute(query).scalar()
    return None if project_id is None else read_state(connection, project_id, lock=True)


def rename_by_hand(
    connection: Connection, old: Target, new: Target, at: datetime
) -> list[tuple[ProjectPath, ProjectPath]]:
    """Gives a project, or all projects of a workspace, a new id.

    Returns:
        Each project's id before and now.

    Raises:
        ConfigError: there is nothing of the old id, or the new one was observed.
    """
    if old.project is not None and new.project is not None:
        pairs = [(ProjectPath(old.workspace, old.project), ProjectPath(new.workspace, new.project))]
    else:
        projects = [known.project for known in read_known(connection, old.workspace)]
        pairs = [(ProjectPath(old.workspace, project), ProjectPath(new.workspace, project)) for project in projects]
    if not pairs:
        raise unknown_target(connection, old)
    for path, renamed in pairs:
        state = find_state(connection, path)
        if state is None:
            raise unknown_target(connection, Target(*path))
        if not is_free(connection, renamed):
            raise ConfigError(f"{renamed} was observed: it has a history of its own, and two can't be made one")
        rename(connection, state, renamed, at)
    return pairs


def is_free(connection: Connection, path: ProjectPath) -> bool:
    """Tells whether no project of that id was ever observed."""
    query = select(Project.id).where(
        Project.workspace == path.workspace, Project.project == path.project, Project.written_at.is_not(None)
    )
    return connection.execute(query).scalar() is None


def rename(connection: Connection, state: ProjectState, new: ProjectPath, at: datetime) -> None:
    """Gives a locked project a new id, with the runs of the row that had it until now; that one goes.

    Args:
        state: the project's row as it is now.
        at: when the new id was found.

    Raises:
        sqlalchemy.exc.IntegrityError: the project that has the new id was observed.
    """
    placeholder = connection.execute(
        select(Project.id)
        .where(Project.workspace == new.workspace, Project.project == new.project, Project.written_at.is_(None))
        .with_for_update()
    ).scalar()
    if placeholder is not None:
        moved = update(SyncRun).where(SyncRun.project_id == placeholder).values(project_id=state.id)
        connection.execute(moved)
        connection.execute(delete(Project).where(Project.id == placeholder))
    old = {"workspace": state.workspace, "project": state.project}
    connection.execute(insert(ProjectRename), {"project_id": state.id, **old, "renamed_at": at})
    changed = update(Project).where(Project.id == state.id).values(workspace=new.workspace, project=new.project)
    if new.workspace == state.workspace:
        connection.execute(changed)
    else:
        _move(connection, state, new.workspace, changed)


#: The roll-ups whose sums over a workspace triggers keep, in the order in which a sync writes them.
_DAYS: Final[tuple[type[ProjectDay] | type[LabelerDay], ...]] = (ProjectDay, LabelerDay)


def _move(connection: Connection, state: ProjectState, workspace: str, changed: Update) -> None:
    """Executes an UPDATE that brings a project into another workspace, and moves its part in the workspace's sums."""
    assert state.id is not None  # noqa: S101 it is locked
    days = [(model, _take_days(connection, model, state.id)) for model in _DAYS]
    quarter_hours = read_quarter_hours(connection, state.id)
    take_quarter_hours(connection, state.workspace, quarter_hours)
    connection.execute(changed)
    for model, rows in days:
        if rows:
            connection.execute(insert(model), rows)
    add_quarter_hours(connection, workspace, quarter_hours)


def _take_days(
    connection: Connection, model: type[ProjectDay] | type[LabelerDay], project_id: int
) -> list[dict[str, Any]]:
    """Deletes a project's days, so that the triggers take them out of its workspace's sums, and returns them."""
    table = model.__table__
    rows = connection.execute(select(table).where(table.c.project_id == project_id)).mappings().all()
    connection.execute(delete(model).where(model.project_id == project_id))
    return [dict(row) for row in rows]
