"""Projects that are renamed: a new URL id whose batches belong to a project that is no longer there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from rfsync.api.answers import Reported, parse_one
from rfsync.api.client import Response
from rfsync.errors import OUTAGES, ErrorKind, FetchError
from rfsync.ledger.projects import KeptAnswer
from rfsync.ledger.renames import Owner
from rfsync.ledger.runs import Run
from rfsync.records import Kind
from rfsync.redaction import Secret
from rfsync.sync.lists import DENIALS, JobsFailure, ListAnswer
from rfsync.sync.removals import UNASKED, Confirmation, Confirmations
from rfsync.sync.task import SyncContext, SyncTask, log

#: Projects with the same batches that are looked for, those with the most of them first.
MAX_OWNERS: Final = 3
_UNTOLD: Final = "its lists don't tell whose project it was, and the API can't be asked"
#: Batches of one missing project that a project without listed ones is asked for.
_QUESTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class FoundRename:
    """What is known of a project's former id after it was looked for."""

    #: As it was; if the project was renamed, with the stored project's state.
    run: Run
    #: Batches and jobs of the former project that were asked for.
    confirmations: Confirmations = field(default_factory=lambda: UNASKED)
    #: For people; None: nothing to tell.
    note: str | None = None


def listed_ids(batches: ListAnswer, jobs: ListAnswer | JobsFailure | None) -> dict[Kind, list[str]]:
    """The ids in the lists of a project, of each kind that there is a list of."""
    lists = [listed for listed in (batches, jobs) if isinstance(listed, ListAnswer)]
    return {listed.kind: [r.id for r in listed.answer.records] for listed in lists if listed.answer is not None}


@dataclass(frozen=True, slots=True)
class Search:
    """Finds out whether a project that was never observed is one that had another id before.

    Its methods raise ``FetchError`` if its batches or jobs are another project's, and whether that is still there can't
    be told; and ``DatabaseError`` if the database refused or vanished.
    """

    _context: SyncContext
    _run: Run
    _task: SyncTask
    #: To the request for its batch list, or for a batch.
    _response: Response

    def before_writing(
        self, ids: Mapping[Kind, Sequence[str]], jobs: ListAnswer | JobsFailure | None
    ) -> FoundRename | None:
        """Asks by id where the lists don't tell: they are empty, or the job list could not be had.

        Args:
            ids: of ``listed_ids``.

        Returns:
            None: the lists tell; look for the owners of ``ids``.
        """
        is_empty = not any(ids.values())
        if not isinstance(jobs, JobsFailure) or jobs.kind in DENIALS:
            return self.by_asking([*ids]) if is_empty else None
        found = self.among(self._context.store.projects.find_owners(self._run, ids))
        return found if found.run is not self._run else self.by_asking([*(ids if is_empty else ()), Kind.JOB])

    def among(self, owners: Sequence[Owner]) -> FoundRename:
        """Looks for it among the projects that have the batches or jobs that it lists."""
        for owner in owners[:MAX_OWNERS]:
            if owner.path == self._run.path or self._is_gone(owner):
                return self._renamed(owner, UNASKED)
        for owner in owners[:1]:
            log.warning(
                "%s: %d of its batches and jobs are those of %s too, which is still there: the two stay two",
                *(self._run.path, owner.shared, owner.path),
            )
        return FoundRename(self._run)

    def by_asking(self, kinds: Sequence[Kind]) -> FoundRename:
        """Asks a project whose lists are empty for what missing projects had."""
        others = self._context.store.projects.observed(self._run)
        # Those that have not departed before are the likely ones.
        others.sort(key=lambda owner: (owner.departed, owner.path.workspace != self._task.workspace))
        missing = (owner for owner in others if self._may_be_missing(owner))
        for owner, kind, record_id in islice(self._some_records(missing, kinds), self._context.removals.confirm_limit):
            record = self._ask(kind, record_id)
            if record is not None and self._is_gone(owner):
                return self._renamed(owner, {**UNASKED, kind: Confirmation(existing=(record,))})
        return FoundRename(self._run)

    def _some_records(self, owners: Iterable[Owner], kinds: Sequence[Kind]) -> Iterator[tuple[Owner, Kind, str]]:
        projects = self._context.store.projects
        for owner in owners:
            found = ((kind, i) for kind in kinds for i in projects.some_records(kind, owner, _QUESTIONS))
            for kind, record_id in islice(found, _QUESTIONS):
                yield owner, kind, record_id

    def _ask(self, kind: Kind, record_id: str) -> Reported | None:
        """Asks the project for another's record; None: it does not have it, as far as it says."""
        try:
            # Once, since there may be many of them; the next run asks again.
            path = (*self._run.path, kind.value, record_id)
            response = self._context.fetcher.get(*path, key=self._task.key, attempts=1)
            return parse_one(response.body, record_id, kind)
        except FetchError as error:
            if error.kind in OUTAGES:
                raise self._undecided(_UNTOLD, error) from None
            return None

    def _may_be_missing(self, owner: Owner) -> bool:
        """Tells without a request for it whether a project may be gone."""
        if owner.departed or owner.path in self._context.workspaces.answered:
            return owner.departed
        workspace, project = owner.path
        if workspace == self._task.workspace:
            return self._is_unlisted(workspace, project, self._task.key)
        # A renamed workspace's projects keep their ids.
        key = self._context.workspaces.key(workspace)
        return project == self._task.project and (key is None or self._is_unlisted(workspace, project, key))

    def _is_unlisted(self, workspace: str, project: str, key: Secret) -> bool:
        """True if a workspace does not list a project, or may not say."""
        try:
            return project not in self._context.workspaces.projects(workspace, key)
        except FetchError as error:
            if error.kind in OUTAGES:
                raise self._undecided(_UNTOLD, error) from None
            return True

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
            what = f"its batches or jobs are those of {owner.path}, and it can't be told whether that is still there"
            raise self._undecided(what, error, str(owner.path)) from None
        return False

    def _undecided(self, what: str, error: FetchError, old: str = "OLD") -> FetchError:
        text = f"{what} ({error}): if it was renamed, say so with: rfsync rename {old} {self._run.path}"
        response = self._response
        return FetchError(
            error.kind, text, http_status=response.status, attempts=response.attempts,
            response_bytes=response.response_bytes,
        )  # fmt: skip

    def _renamed(self, owner: Owner, confirmations: Confirmations) -> FoundRename:
        run = replace(
            self._run, project_id=owner.project_id, kept={kind: KeptAnswer() for kind in Kind}, observed=True,
            old=None if owner.path == self._run.path else owner.path,
        )  # fmt: skip
        if run.old is None:
            return FoundRename(run)  # another run found that before
        note = f"{owner.path} was renamed to {run.path}: its history goes on under the new id"
        return FoundRename(run, confirmations, note)
