"""What the database knows of projects, and of the ids that they had; each question is a transaction of its own."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection, exists, select

from rfsync.ledger import drop, renames
from rfsync.ledger.drop import Holding
from rfsync.ledger.observed import was_observed
from rfsync.ledger.projects import KnownProject, ProjectPath, ProjectSnapshot, read_known, read_paths, read_snapshot
from rfsync.ledger.renames import Owner
from rfsync.ledger.runs import Run
from rfsync.parsing import Target
from rfsync.records import Kind
from rfsync.schema.models import Batch, Project, SyncRun

_T = TypeVar("_T")


class Transact(Protocol):
    """Runs some work in a transaction, as ``Store`` does."""

    def __call__(self, doing: str, work: Callable[[Connection], _T], /) -> _T:
        """Args: ``doing``: for the message of an error."""


class Projects:
    """The projects of a store."""

    def __init__(self, transact: Transact) -> None:
        self._transact = transact

    def of_workspace(self, workspace: str) -> list[KnownProject]:
        """Returns a workspace's projects that the database has, in the order of their ids.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._transact("reading the projects", partial(read_known, workspace=workspace))

    def paths(self) -> list[ProjectPath]:
        """Returns the ids of all projects.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._transact("reading the projects", read_paths)

    def snapshot(self, path: ProjectPath) -> ProjectSnapshot:
        """Returns what the database has of a project now.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._transact("reading the project", partial(read_snapshot, path=path))

    def find_renames(self, workspace: str) -> dict[str, ProjectPath]:
        """See ``renames.find_renames``.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._transact("reading the renames", partial(renames.find_renames, workspace=workspace))

    def was_observed(self, path: ProjectPath, kind: Kind, at: datetime) -> bool:
        """Tells whether a list of a project was observed then; to a quarter of an hour, where the run was pruned.

        Raises:
            DatabaseError: the database refused or vanished.
        """

        def read(connection: Connection) -> bool:
            known = read_snapshot(connection, path)
            return known.id is not None and was_observed(connection, known.id, kind, at)

        return self._transact("reading the project", read)

    def was_refused(self, path: ProjectPath, kind: Kind, at: datetime) -> bool:
        """Tells whether the list of that moment was refused before, by itself or with the whole observation.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        outcome = SyncRun.outcome == "refused"
        if kind is Kind.JOB:
            outcome |= SyncRun.jobs_error_kind == "refused"
        refused = exists().where(
            *(SyncRun.project_id == Project.id, outcome, SyncRun.started_at == at),
            *(Project.workspace == path.workspace, Project.project == path.project),
        )
        return self._transact("reading the runs", lambda connection: bool(connection.execute(select(refused)).scalar()))

    def rename(self, old: Target, new: Target, at: datetime) -> list[tuple[ProjectPath, ProjectPath]]:
        """See ``renames.rename_by_hand``.

        Raises:
            ConfigError: there is nothing of the old id, or the new one was observed.
            DatabaseError: the database refused or vanished.
        """
        return self._transact("renaming", partial(renames.rename_by_hand, old=old, new=new, at=at))

    def holdings(self, target: Target) -> list[Holding]:
        """Returns what the database has of the projects that a target means; see ``drop.find_projects``.

        Raises:
            ConfigError: there is none.
            DatabaseError: the database refused or vanished.
        """
        return self._transact("reading the projects", lambda c: drop.measure(c, drop.find_projects(c, target)))

    def drop(self, path: ProjectPath) -> bool:
        """See ``drop.drop_project``.

        Raises:
            DatabaseError: the database refused or vanished; all of it is still there.
        """
        return self._transact(f"dropping {path}", partial(drop.drop_project, path=path))

    def find_owners(self, run: Run, ids: Mapping[Kind, Sequence[str]]) -> list[Owner]:
        """See ``renames.find_owners``: of the projects but the run's own.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        find = partial(renames.find_owners, ids=ids, but=run.project_id)
        return self._transact("looking for the batches and jobs of other projects", find)

    def observed(self, run: Run) -> list[Owner]:
        """All projects that were ever observed, but the run's own.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._transact("reading the projects", partial(renames.observed_projects, but=run.project_id))

    def batches_of_name(self, run: Run, name: str) -> list[str]:
        """The ids of the run's project's batches that have this name, the existing ones first.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        query = select(Batch.batch_id).where(Batch.project_id == run.project_id, Batch.name == name)
        query = query.order_by(Batch.removed_at.is_not(None), Batch.batch_id)
        return self._transact("reading the batches", lambda connection: list(connection.execute(query).scalars()))

    def some_records(self, kind: Kind, owner: Owner, number: int) -> list[str]:
        """See ``renames.some_records``.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        some = partial(renames.some_records, kind=kind, project_id=owner.project_id, number=number)
        return self._transact("reading the batches and jobs", some)
