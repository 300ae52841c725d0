"""What a run is given and gives: task, context and result, and the rules about time that all runs share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from rfsync.api.client import Response
from rfsync.config import RemovalsConfig
from rfsync.ledger.changes import Change, Tally
from rfsync.ledger.projects import ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.store import Store
from rfsync.logs import NO_METRICS, Metrics
from rfsync.redaction import Secret

log = logging.getLogger("rfsync.sync")

_TICK: Final = timedelta(microseconds=1)
#: Two machines that keep time are closer together than that.
_WORTH_A_WARNING: Final = timedelta(seconds=10)


class Fetcher(Protocol):
    """What a sync needs of ``client.Client``."""

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """See ``client.Client.get``."""

    def cancel(self) -> None:
        """See ``client.Client.cancel``."""


@dataclass(frozen=True, slots=True)
class SyncTask:
    """A project to be synced."""

    workspace: str
    project: str
    key: Secret
    #: For people; None: not known.
    name: str | None = None
    #: Only these, by their own address; empty: the whole list.
    batch_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.workspace}/{self.project}"


@dataclass(frozen=True, slots=True)
class SyncContext:
    """What a sync works with; all of it is handed in."""

    #: Asks the API.
    fetcher: Fetcher
    #: The database.
    store: Store
    #: ``[removals]``.
    removals: RemovalsConfig
    #: The time of day, aware.
    clock: Callable[[], datetime]
    #: Takes secrets out of what is stored and shown.
    redact: Callable[[str], str]
    #: The word for ``sync_runs.trigger``.
    trigger: str = "cli"
    #: Is told how long things take.
    metrics: Metrics = NO_METRICS
    #: The level at which the failure of a project's run is logged.
    failure_level: Callable[[SyncTask], int] = lambda _: logging.WARNING
    #: Believe every answer in what it lacks.
    allow_removals: bool = False
    #: Hand the changes out with the result.
    keep_changes: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended; the fields are those of ``sync_runs``."""

    workspace: str
    project: str
    outcome: str
    run_id: int | None = None
    batches: int | None = None
    rejected: int = 0
    tally: Tally = field(default_factory=Tally)
    attempts: int = 0
    response_bytes: int | None = None
    error_kind: str | None = None
    error: str | None = None
    #: Filled only on demand: what was, or would be, written.
    changes: Sequence[Change] = ()

    @property
    def ok(self) -> bool:
        """Whether the project is in sync, by this run or by a newer one."""
        return self.outcome in {"changed", "unchanged", "superseded"}


def is_superseded(run: Run, state: ProjectState, response: Response) -> bool:
    """Whether something newer was written since the run's request was sent.

    Only what was written since the run began can have overtaken it. Which of the two was asked for later is told by a
    clock that all who write share; the time of day may differ from machine to machine, and may be set meanwhile.
    """
    if state.written_at == run.seen or state.sent_us is None:
        return False
    return state.sent_us >= sent_us(run, response)


def sent_us(run: Run, response: Response) -> int:
    """When an answer's request was sent, by the clock that all who write share."""
    return response.sent_us + run.clock_offset_us


def observed_at(run: Run, state: ProjectState, response: Response) -> datetime:
    """The instant of an observation: when its request was sent, but always after the last one."""
    at = response.sent_at
    if state.written_at is None or at > state.written_at:
        return at
    behind = state.written_at - at
    if behind > _WORTH_A_WARNING:
        log.warning(
            "%s/%s: the clock is %s behind the last observation: times go on from that one, %s UTC",
            *(run.workspace, run.project, behind, state.written_at.strftime("%Y-%m-%d %H:%M:%S")),
        )
    return state.written_at + _TICK


def log_outcome(task: SyncTask, row: RunRow) -> None:
    """What was written: a change is news, what was refused or is in doubt a warning, anything else neither."""
    tally = row.tally
    if row.outcome == "changed":
        log.info(
            "%s: %d added, %d changed, %d removed, %d restored, images %+d, jobs %+d",
            *(task, tally.added, tally.changed, tally.removed, tally.restored),
            *(tally.images_delta, tally.num_jobs_delta),
        )
    elif row.outcome != "refused":
        log.debug("%s: %s", task, row.outcome)
    if row.error is not None:
        log.warning("%s: %s%s", task, "refused: " if row.outcome == "refused" else "", row.error)


def result_of(task: SyncTask, run_id: int | None, row: RunRow, changes: Sequence[Change] = ()) -> Result:
    """The result that says what the row says."""
    return Result(
        workspace=task.workspace,
        project=task.project,
        outcome=row.outcome,
        run_id=run_id,
        batches=row.batches,
        rejected=row.rejected,
        tally=row.tally,
        attempts=row.attempts,
        response_bytes=row.response_bytes,
        error_kind=row.error_kind,
        error=row.error,
        changes=changes,
    )
