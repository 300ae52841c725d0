"""The end of a run: written, logged and returned."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from rfsync.errors import OUTAGES, ErrorKind, RfsyncError
from rfsync.ledger.changes import Change, Tally
from rfsync.ledger.projects import ProjectPath, ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.logs import with_fields
from rfsync.records import Kind
from rfsync.sync.bugs import BUG
from rfsync.sync.lists import DENIALS
from rfsync.sync.task import SyncContext, log


class SyncResult(NamedTuple):
    """How a project's run went: what ``rfsync sync --json`` says of it.

    Attributes:
        workspace, project: URL ids; those that the project has now, if it was renamed.
        outcome: ``changed``, ``unchanged`` or ``superseded``; where it went wrong ``refused``, ``failed`` or
            ``abandoned``.
        run_id: of ``sync_runs``; None: there is no row of it.
        batches: in the answer; None: none came.
        added, changed, removed, restored: batches.
        rejected: records of both lists that broke the rules.
        images_delta, num_jobs_delta: sums over the batches.
        attempts: tries of the batch list's request.
        error_kind: a word of ``errors.ErrorKind``; None: no error.
        error: for people; None: neither an error nor a warning.
        jobs: in the answer; None: no job list was applied.
        jobs_changed: rows in the ledger of jobs.
        jobs_error_kind, jobs_error: why the job list was not applied; None: it was, or was not asked for.
    """

    workspace: str
    project: str
    outcome: str
    run_id: int | None
    batches: int | None
    added: int
    changed: int
    removed: int
    restored: int
    rejected: int
    images_delta: int
    num_jobs_delta: int
    attempts: int
    error_kind: str | None
    error: str | None
    jobs: int | None
    jobs_changed: int
    jobs_error_kind: str | None
    jobs_error: str | None


class SyncError(RfsyncError):
    """A project, or its job list, was not synced: failed or refused. What was applied stands.

    Attributes:
        result: how the run went.
    """

    def __init__(self, result: SyncResult) -> None:
        kind = result.error_kind or (result.jobs_error_kind if result.outcome in _APPLIED else result.outcome)
        what = "job list: " if result.outcome in _APPLIED else ""
        text = result.jobs_error if what else result.error
        super().__init__(f"{result.workspace}/{result.project}: {what}{kind}: {text}")
        self.result = result
        self._kind = kind

    def __reduce__(self) -> tuple[type[Self], tuple[SyncResult]]:
        # An orchestrator sends it from one process to another.
        return type(self), (self.result,)

    @property
    def retryable(self) -> bool:
        """True if the same may work in a minute.

        Not where it was refused: the next observation that lacks as much is applied, and is meant to come later.
        """
        return self._kind in {*OUTAGES, ErrorKind.DATABASE, "abandoned"}


#: Outcomes of runs whose batch list was applied, or needed not to be.
_APPLIED: Final = frozenset({"changed", "unchanged", "superseded"})


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a project's run."""

    workspace: str
    #: ``*``: the projects of the workspace could not be listed.
    project: str
    #: What ``sync_runs`` has of it.
    row: RunRow
    #: None: there is no row in ``sync_runs``: a dry run, or one that could not begin.
    run_id: int | None = None
    #: What was written, or would be, of each kind of record; only with ``SyncContext.keep_changes``.
    changes: Mapping[Kind, Sequence[Change]] = field(default_factory=dict)
    #: The job list was asked for and is not applied, although the key may see it.
    jobs_failed: bool = False
    #: The id that the project had until this run; None: the same.
    old: ProjectPath | None = None
    #: The project is gone.
    departed: bool = False
    #: Nothing was due: there was no run.
    skipped: bool = False

    def __str__(self) -> str:
        return f"{self.workspace}/{self.project}"

    @property
    def ok(self) -> bool:
        """True if the project's batches are in sync, by this run or by a newer one."""
        return self.row.outcome in _APPLIED

    @property
    def all_ok(self) -> bool:
        """True if the project's jobs are in sync, too, as far as the key may see them."""
        return self.ok and not self.jobs_failed

    def public(self) -> SyncResult:
        """What others are told of it."""
        row, tally = self.row, self.row.tally
        return SyncResult(
            self.workspace, self.project, row.outcome, self.run_id, row.batches,
            tally.added, tally.changed, tally.removed, tally.restored, row.rejected,
            row.images_delta, row.num_jobs_delta, row.attempts, row.error_kind, row.error,
            row.jobs, row.jobs_changed, row.jobs_error_kind, row.jobs_error,
        )  # fmt: skip

    @property
    def outcome(self) -> str:
        """See ``sync_runs.outcome``."""
        return self.row.outcome

    @property
    def tally(self) -> Tally:
        """Sums over the changes."""
        return self.row.tally

    @property
    def error_kind(self) -> str | None:
        """See ``errors.ErrorKind``; None: no error."""
        return self.row.error_kind

    @property
    def error(self) -> str | None:
        """For people; None: neither an error nor a warning."""
        return self.row.error

    @property
    def is_bug(self) -> bool:
        """True if a bug ended the run."""
        return (self.error or "").startswith(BUG)


def finish(
    context: SyncContext,
    run: Run,
    transaction: Transaction,
    state: ProjectState,
    row: RunRow,
    changes: Mapping[Kind, Sequence[Change]] = MappingProxyType({}),
) -> Result:
    """Ends a run in the transaction that writes its project.

    Args:
        row: to which what was applied is added.
    """
    tallies = transaction.tallies()
    row = replace(row, tally=tallies[Kind.BATCH], jobs_changed=tallies[Kind.JOB].total)
    transaction.finish(state, row, context.clock())
    return Result(
        *(run.path.workspace, run.path.project, row, run.id),
        changes=changes if context.keep_changes else {},
        jobs_failed=did_jobs_fail(context, row),
        old=run.old if row.outcome == "changed" and run.old == (state.workspace, state.project) else None,
        departed=state.departed_at is not None,
    )


def did_jobs_fail(context: SyncContext, row: RunRow) -> bool:
    """True if a run's job list failed otherwise than by a key that need not see it."""
    return row.jobs_error_kind is not None and not (context.jobs.sync == "auto" and row.jobs_error_kind in DENIALS)


def log_outcome(context: SyncContext, run: Run, result: Result) -> None:
    """Logs a change as news, a refusal or a doubt as a warning, and anything else for debugging."""
    tally, fields = result.tally, with_fields(result.row.log_fields)
    if result.outcome == "changed":
        in_jobs = f", {result.row.jobs_changed} changes of jobs" if result.row.jobs_changed else ""
        log.info(
            "%s: %d added, %d changed, %d removed, %d restored, images %+d, jobs %+d%s",
            *(result, tally.added, tally.changed, tally.removed, tally.restored, *tally.deltas, in_jobs),
            extra=fields,
        )
    elif result.outcome != "refused":
        log.debug("%s: %s", result, result.outcome, extra=fields)
    if result.error is not None:
        refused = "refused: " if result.outcome == "refused" else ""
        log.warning("%s: %s%s", result, refused, result.error, extra=fields)
    if result.row.jobs_error is not None:
        failed = f"job list: {result.row.jobs_error_kind}: " if result.jobs_failed else ""
        # What each poll of a daemon says again is no news.
        is_known = context.trigger != "cli" and run.jobs_error_kind == result.row.jobs_error_kind is not None
        level = logging.INFO if is_known else logging.WARNING
        log.log(level, "%s: %s%s", result, failed, result.row.jobs_error, extra=fields)
