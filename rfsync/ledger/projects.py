"""A project's row: what is known of it before a run, and its state under the lock."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import BigInteger, Connection, and_, bindparam, exists, literal, outerjoin, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from rfsync.database.upsert import insert
from rfsync.errors import ConfigError
from rfsync.ledger.record_types import RECORD_TYPES, RecordType
from rfsync.ledger.run_locks import is_running_of
from rfsync.parsing import Target
from rfsync.records import Kind
from rfsync.schema.models import PeopleKey, Project, ProjectRename, SyncRun
from rfsync.schema.upgrade import VERSION, require_revision
from rfsync.text import close_names, did_you_mean

#: How often a departed project is looked for.
AWAY_INTERVAL: Final = timedelta(days=1)


class ProjectPath(NamedTuple):
    """The URL ids of a project and its workspace."""

    workspace: str
    project: str

    def __str__(self) -> str:
        return f"{self.workspace}/{self.project}"


@dataclass(frozen=True, slots=True)
class KnownProject:
    """A project of the database, as far as it matters for what to sync."""

    project: str
    #: Anything was ever observed of it.
    observed: bool


@dataclass(frozen=True, slots=True)
class ListState:
    """What a project's row has of one of its lists; see ``models.Project`` for what each field means."""

    #: Records that exist, and the sums of their counts.
    number: int = 0
    sums: tuple[int, ...] = ()
    observed_at: datetime | None = None
    sent_us: int | None = None
    etag: str | None = None
    fingerprint: str | None = None
    listed: int | None = None
    missing_streak: int = 0
    missing: int = 0
    recheck_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project's row; see ``models.Project`` for what each field means."""

    id: int | None = None
    workspace: str = ""
    project: str = ""
    written_at: datetime | None = None
    departed_at: datetime | None = None
    jobs_error_kind: str | None = None
    jobs_asked_at: datetime | None = None
    jobs_key: str | None = None
    batches: ListState = ListState(sums=(0, 0))
    jobs: ListState = ListState(sums=(0, 0, 0, 0, 0))

    def of(self, kind: Kind) -> ListState:
        """The state of one list."""
        return self.batches if kind is Kind.BATCH else self.jobs

    def with_list(self, kind: Kind, **changes: Any) -> Self:
        """The same, but for these fields of one list."""
        lists: dict[str, Any] = {kind.value: replace(self.of(kind), **changes)}
        return replace(self, **lists)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """How the last answer of a list that was applied whole is known again."""

    #: None: there was none, or it sent none.
    etag: str | None = None
    #: None: there was none.
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """The API has said that a key may see no jobs."""

    at: datetime
    #: A digest of the key.
    key: str


@dataclass(frozen=True, slots=True)
class ProjectSnapshot:
    """What the database has of a project, before anything is locked."""

    #: None: it was never seen.
    id: int | None
    name: str | None
    #: Latest instant written for it; None: none yet.
    seen: datetime | None
    #: Its last observation; None: it was never observed.
    observed_at: datetime | None
    departed_at: datetime | None
    kept: Mapping[Kind, KeptAnswer]
    denial: Denial | None
    jobs_error_kind: str | None
    #: ``people_key.mode``; None: nobody was seen yet.
    people_mode: str | None
    #: A run of it is under way, or was when its process was killed.
    has_running: bool
    #: It got another id since its last observation.
    is_renamed: bool
    #: See ``Run.clock_offset_us``.
    clock_offset_us: int

    def is_away(self, at: datetime) -> bool:
        """True if the project has departed, and was looked for within a day under the id that it has now."""
        if self.departed_at is None or self.observed_at is None or self.is_renamed:
            return False
        return self.observed_at <= at < self.observed_at + AWAY_INTERVAL


class _SharedClock(FunctionElement[int]):
    """Microseconds of the clock that all who write to the database share; NULL: the monotonic clock of this machine.

    PostgreSQL's is the server's. An SQLite file is on this machine, whose processes have the monotonic clock in common.
    The time of day of this machine is no such clock.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(_SharedClock, "postgresql")
def _server_clock(_element: _SharedClock, _compiler: Any, **_options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


@compiles(_SharedClock, "sqlite")
def _no_clock(_element: _SharedClock, _compiler: Any, **_options: Any) -> str:
    return "NULL"


_LIST_FIELDS: Final = [field.name for field in fields(ListState) if field.name not in {"number", "sums"}]
_OWN_FIELDS: Final = [field.name for field in fields(ProjectState) if field.name not in set(Kind)]


def _list_columns(type_: RecordType) -> list[str]:
    """The columns of a ``ListState``, its sums first."""
    return [*type_.sum_columns, type_.number_column, *(type_.prefix + name for name in _LIST_FIELDS)]


_LIST_COLUMNS: Final = {kind: _list_columns(type_) for kind, type_ in RECORD_TYPES.items()}
_COLUMNS: Final = [*_OWN_FIELDS, *chain.from_iterable(_LIST_COLUMNS.values())]
_STATE: Final = select(*(getattr(Project, name) for name in _COLUMNS)).where(Project.id == bindparam("project_id"))
# NO KEY: other runs of the project may begin meanwhile. On SQLite the whole database is locked already.
_LOCKED_STATE: Final = _STATE.with_for_update(key_share=True)
_SAVE: Final = update(Project).where(Project.id == bindparam("project_id"))
_ONE_ROW: Final = select(literal(1).label("one")).subquery()
# The clock is read whether there is such a project or not.
_SNAPSHOT: Final = select(
    *(_SharedClock(), Project.id, Project.name, Project.written_at, Project.observed_at, Project.departed_at),
    *(Project.etag, Project.fingerprint, Project.jobs_etag, Project.jobs_fingerprint),
    *(
        Project.jobs_asked_at,
        Project.jobs_key,
        Project.jobs_error_kind,
        *(select(PeopleKey.mode).scalar_subquery(), select(VERSION.c.version_num).scalar_subquery()),
    ),
    exists(SyncRun.id).where(is_running_of(Project.__table__.c.id)),
    exists(ProjectRename.project_id).where(
        ProjectRename.project_id == Project.__table__.c.id, ProjectRename.renamed_at > Project.__table__.c.observed_at
    ),
).select_from(
    outerjoin(
        _ONE_ROW,
        Project,
        and_(Project.workspace == bindparam("workspace"), Project.project == bindparam("project")),
    )
)


def read_snapshot(connection: Connection, path: ProjectPath) -> ProjectSnapshot:
    """Reads what is known of a project, and how far the shared clock is ahead of this process's.

    Raises:
        SchemaError: the database was upgraded since this process has opened it.
    """
    values = path._asdict()
    row = connection.execute(_SNAPSHOT, values).one()
    clock, id_, name, seen, observed_at, departed_at, *known, revision, has_running, is_renamed = row
    etag, fingerprint, jobs_etag, jobs_fingerprint, asked_at, asked_key, jobs_error_kind, people_mode = known
    require_revision(revision)
    # Read after the server's, so that a request never counts as later than it was: a run that begins while another's
    # request is under way is the newer one, however long its process took to get the answer.
    offset_us = 0 if clock is None else clock - time.monotonic_ns() // 1000
    kept = {Kind.BATCH: KeptAnswer(etag, fingerprint), Kind.JOB: KeptAnswer(jobs_etag, jobs_fingerprint)}
    denial = None if asked_at is None or asked_key is None else Denial(asked_at, asked_key)
    return ProjectSnapshot(
        id_,
        name,
        seen,
        observed_at,
        departed_at,
        kept,
        denial,
        jobs_error_kind,
        people_mode,
        has_running,
        is_renamed,
        offset_us,
    )


def read_state(connection: Connection, project_id: int, *, lock: bool) -> ProjectState | None:
    """Reads a project's row; None: it was one with another's, and is gone.

    Args:
        lock: keep others from writing to the project until the transaction ends.
    """
    statement = _LOCKED_STATE if lock else _STATE
    row = connection.execute(statement, {"project_id": project_id}).one_or_none()
    if row is None:
        return None
    values = iter(row)
    own = dict(zip(_OWN_FIELDS, values, strict=False))
    lists: dict[str, Any] = {}
    for kind, type_ in RECORD_TYPES.items():
        sums = tuple(islice(values, len(type_.sum_columns)))
        number = next(values)
        lists[kind.value] = ListState(number, sums, *islice(values, len(_LIST_FIELDS)))
    return ProjectState(**own, **lists)


def write_state(connection: Connection, state: ProjectState) -> None:
    """Brings a project's row up to date."""
    values: list[object] = [getattr(state, name) for name in _OWN_FIELDS]
    for kind in RECORD_TYPES:
        of_list = state.of(kind)
        values += [*of_list.sums, of_list.number, *(getattr(of_list, name) for name in _LIST_FIELDS)]
    connection.execute(_SAVE, {"project_id": state.id, **dict(zip(_COLUMNS, values, strict=True))})


def read_known(connection: Connection, workspace: str) -> list[KnownProject]:
    """Reads a workspace's projects, in the order of their ids."""
    query = (
        select(Project.project, Project.written_at.is_not(None))
        .where(Project.workspace == workspace)
        .order_by(Project.project)
    )
    return [KnownProject(project, observed) for project, observed in connection.execute(query)]


def read_paths(connection: Connection) -> list[ProjectPath]:
    """Reads the ids of all projects."""
    return [ProjectPath(*row) for row in connection.execute(select(Project.workspace, Project.project))]


def unknown_target(connection: Connection, target: Target) -> ConfigError:
    """The error for a target that the database does not have, with the likely ones."""
    names = {str(path) if target.project else path.workspace for path in read_paths(connection)}
    meant = did_you_mean(close_names(str(target), names))
    return ConfigError(f"the database has no {target}: rfsync status shows what it has{meant}")


def add_project(connection: Connection, path: ProjectPath, name: str | None) -> None:
    """Adds a project, unless another process has added it meanwhile."""
    statement = insert(connection.dialect.name, Project).on_conflict_do_nothing(index_elements=["workspace", "project"])
    connection.execute(statement, {**path._asdict(), "name": name})


def set_name(connection: Connection, project_id: int, name: str) -> None:
    """Keeps the project's new name for people."""
    connection.execute(_SAVE, {"project_id": project_id, "name": name})
