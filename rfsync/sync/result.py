"""The end of a run: written, logged and returned."""

from collections.abc import Sequence
from dataclasses import dataclass

from rfsync.ledger.changes import Change, Tally
from rfsync.ledger.projects import ProjectPath, ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.logs import with_fields
from rfsync.sync.bugs import BUG
from rfsync.sync.task import SyncContext, log


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
    #: What was written, or would be; only with ``SyncContext.keep_changes``.
    changes: Sequence[Change] = ()
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
        """True if the project is in sync, by this run or by a newer one."""
        return self.row.outcome in {"changed", "unchanged", "superseded"}

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
    changes: Sequence[Change] = (),
) -> Result:
    """Ends a run in the transaction that writes its project."""
    transaction.finish(state, row, context.clock())
    return Result(
        *(run.path.workspace, run.path.project, row, run.id),
        changes=changes if context.keep_changes else (),
        old=run.old if row.outcome == "changed" and run.old == (state.workspace, state.project) else None,
        departed=state.departed_at is not None,
    )


def log_outcome(result: Result) -> None:
    """Logs a change as news, a refusal or a doubt as a warning, and anything else for debugging."""
    tally, fields = result.tally, with_fields(result.row.log_fields)
    if result.outcome == "changed":
        log.info(
            "%s: %d added, %d changed, %d removed, %d restored, images %+d, jobs %+d",
            *(result, tally.added, tally.changed, tally.removed, tally.restored),
            *(tally.images_delta, tally.num_jobs_delta),
            extra=fields,
        )
    elif result.outcome != "refused":
        log.debug("%s: %s", result, result.outcome, extra=fields)
    if result.error is not None:
        refused = "refused: " if result.outcome == "refused" else ""
        log.warning("%s: %s%s", result, refused, result.error, extra=fields)
