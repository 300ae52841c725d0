"""Projects that are renamed: a new URL id whose batches belong to a project that is no longer there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from rfsync.api.answers import parse_one
from rfsync.api.client import Response
from rfsync.batch import Batch
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.renames import Owner
from rfsync.ledger.runs import Run
from rfsync.sync.removals import Confirmation
from rfsync.sync.task import SyncContext, SyncTask, log

#: Projects with the same batches that are looked for, those with the most of them first.
MAX_OWNERS: Final = 3


@dataclass(frozen=True, slots=True)
class FoundRename:
    """What is known of a project's former id after it was looked for."""

    #: As it was; if the project was renamed, with the stored project's state.
    run: Run
    #: Batches of the former project that were asked for.
    confirmation: Confirmation = field(default_factory=Confirmation)
    #: For people; None: nothing to tell.
    note: str | None = None


def find_rename(
    context: SyncContext, run: Run, task: SyncTask, response: Response, batches: Sequence[Batch]
) -> FoundRename:
    """Finds out whether a project that was never observed is one that had another id before.

    Args:
        response: of its batch list.
        batches: in that list.

    Raises:
        FetchError: its batches are another project's, and whether that is still there can't be told.
        DatabaseError: the database refused or vanished.
    """
    if run.observed:
        return FoundRename(run)
    search = _Search(context, run, task, response)
    return search.by_batches(batches) if batches else search.by_asking()


@dataclass(frozen=True, slots=True)
class _Search:
    _context: SyncContext
    _run: Run
    _task: SyncTask
    _response: Response

    def by_batches(self, batches: Sequence[Batch]) -> FoundRename:
        """Looks for the project that had the listed batches before."""
        owners = self._context.store.find_owners(self._run, [batch.id for batch in batches])
        for owner in owners[:MAX_OWNERS]:
            if owner.path == self._run.path or self._is_gone(owner):
                return self._renamed(owner, Confirmation())
        for owner in owners[:1]:
            log.warning(
                "%s: %d of its batches are those of %s too, which is still there: the two stay two",
                *(self._run.path, owner.shared, owner.path),
            )
        return FoundRename(self._run)

    def by_asking(self) -> FoundRename:
        """Asks a project without listed batches for those that missing projects had."""
        missing = [owner for owner in self._context.store.observed_projects(self._run) if self._may_be_missing(owner)]
        limit = self._context.removals.confirm_limit
        for owner, batch_id in islice(self._batches_of(missing, limit), limit):
            batch = self._ask(owner, batch_id)
            if batch is not None and self._is_gone(owner):
                return self._renamed(owner, Confirmation(existing=(batch,)))
        return FoundRename(self._run)

    def _ask(self, owner: Owner, batch_id: str) -> Batch | None:
        """Asks the project for another's batch; None: it does not have it."""
        try:
            # Once, since there may be many of them; the next run asks again.
            response = self._context.fetcher.get(*self._run.path, "batches", batch_id, key=self._task.key, attempts=1)
            return parse_one(response.body, batch_id)
        except FetchError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise self._undecided(owner, error.kind, str(error)) from None

    def _batches_of(self, owners: Sequence[Owner], limit: int) -> Iterator[tuple[Owner, str]]:
        """Batches of these projects, one of each in turn."""
        found = [self._context.store.newest_batches(owner, limit) for owner in owners[:limit]]
        for turn in range(limit):
            for owner, batch_ids in zip(owners, found, strict=False):
                if turn < len(batch_ids):
                    yield owner, batch_ids[turn]

    def _may_be_missing(self, owner: Owner) -> bool:
        """Tells without a request for it whether a project may be gone."""
        if owner.departed:
            return True
        if owner.path.workspace != self._task.workspace:
            # A renamed workspace's projects keep theirs.
            return (
                owner.path.project == self._task.project and self._context.workspaces.key(owner.path.workspace) is None
            )
        try:
            listed = self._context.workspaces.projects(self._task.workspace, self._task.key)
        except FetchError:
            return False
        return bool(listed) and owner.path.project not in listed

    def _is_gone(self, owner: Owner) -> bool:
        if owner.path in self._context.workspaces.answered:
            return False
        workspace, project = owner.path
        key = self._task.key
        if workspace != self._task.workspace:
            key = self._context.workspaces.key(workspace) or key
        try:
            listed = self._context.workspaces.projects(workspace, key)
            if listed:
                return project not in listed
        except FetchError:
            pass  # then its own list says more
        try:
            self._context.fetcher.get(workspace, project, "batches", key=key)
        except FetchError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return True
            raise self._undecided(owner, error.kind, str(error)) from None
        return False

    def _undecided(self, owner: Owner, kind: ErrorKind, why: str) -> FetchError:
        text = (
            f"its batches are those of {owner.path}, and whether that is still there can't be told ({why}): if it was "
            f"renamed, say so with: rfsync rename {owner.path} {self._run.path}"
        )
        response = self._response
        return FetchError(
            kind, text, http_status=response.status, attempts=response.attempts, response_bytes=response.response_bytes
        )

    def _renamed(self, owner: Owner, confirmation: Confirmation) -> FoundRename:
        run = replace(
            self._run, project_id=owner.project_id, etag=None, fingerprint=None, observed=True,
            old=None if owner.path == self._run.path else owner.path,
        )  # fmt: skip
        if run.old is None:
            return FoundRename(run)  # another run found that before
        note = f"{owner.path} was renamed to {run.path}: its history goes on under the new id"
        return FoundRename(run, confirmation, note)
