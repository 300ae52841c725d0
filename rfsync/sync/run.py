"""One project from start to finish, and many side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import replace
from typing import Final, Protocol

from rfsync.api.failures import describe_error
from rfsync.errors import BadResponse, Cancelled, DatabaseError, ErrorKind, FetchError
from rfsync.ledger.runs import Run, RunEnded, RunRow
from rfsync.logs import log_context
from rfsync.sync.observation import observe
from rfsync.sync.refresh import refresh
from rfsync.sync.task import Result, SyncContext, SyncTask, log, log_outcome, result_of

#: When the sync is stopped: seconds in which a transaction may still be committed, and then between two interruptions.
_GRACE: Final = 1.0
_AGAIN: Final = 0.05


def sync(context: SyncContext, task: SyncTask) -> Result:
    """One run, which does not raise for what can go wrong outside: the result says what did."""
    with log_context(workspace=task.workspace, project=task.project):
        return _begin(context, task)


def _begin(context: SyncContext, task: SyncTask) -> Result:
    try:
        run = context.store.begin_run(task.workspace, task.project, task.name, context.trigger, context.clock())
    except DatabaseError as error:
        log.log(context.failure_level(task), "%s: %s", task, error)
        row = RunRow("failed", error_kind=ErrorKind.DATABASE, error=context.redact(str(error)))
        return result_of(task, None, row)
    except Cancelled as error:
        return result_of(task, None, RunRow("abandoned", error=str(error)))
    with log_context(run_id=run.id):
        return _go_on(context, run, task)


def _go_on(context: SyncContext, run: Run, task: SyncTask) -> Result:
    try:
        return refresh(context, run, task) if task.batch_ids else observe(context, run, task)
    except FetchError as error:
        row = RunRow(
            "failed",
            attempts=error.attempts,
            http_status=error.http_status,
            response_bytes=error.response_bytes,
            rejected=error.rejected if isinstance(error, BadResponse) else 0,
            error_kind=error.kind,
            error=describe_error(error, context.redact),
        )
    except DatabaseError as error:
        row = RunRow("failed", error_kind=ErrorKind.DATABASE, error=str(error))
    except Cancelled as error:
        row = RunRow("abandoned", error=str(error))
    except RunEnded as ended:
        # Its commit was made, and only the word of it was lost.
        log_outcome(task, ended.row)
        return result_of(task, run.id, ended.row)
    return _fail(context, run, task, row)


def _fail(context: SyncContext, run: Run, task: SyncTask, row: RunRow) -> Result:
    row = replace(row, error=context.redact(row.error or ""))
    level = context.failure_level(task) if row.outcome == "failed" else logging.WARNING
    log.log(level, "%s: %s: %s", task, row.error_kind or row.outcome, row.error)
    try:
        ended = context.store.fail_run(run, row, context.clock())
    except DatabaseError as error:
        log.warning("%s: the failed run could not be recorded: %s", task, error)
        return result_of(task, run.id, row)
    if ended is not None:
        log.warning("%s: the run had ended before that, as %s", task, ended.outcome)
    return result_of(task, run.id, ended or row)


class Breaker(Protocol):
    """What ``sync_all`` needs of ``circuit.CircuitBreaker``."""

    def should_defer(self) -> bool:
        """See ``circuit.CircuitBreaker.should_defer``."""

    def last_round(self) -> None:
        """See ``circuit.CircuitBreaker.last_round``."""


def sync_all(context: SyncContext, tasks: Sequence[SyncTask], concurrency: int, circuit: Breaker) -> Iterator[Result]:
    """Syncs projects side by side, and gives each result as it comes.

    Where it is stopped in the middle, runs that have not begun never do, fetching ends at once, and a transaction is
    given a moment to be committed before it is given up.

    Args:
        circuit: says which projects are put off until the others were tried.
    """
    postponed: list[SyncTask] = []

    def sync_or_defer(task: SyncTask) -> Result | None:
        if circuit.should_defer():
            postponed.append(task)
            return None
        return sync(context, task)

    # In threads of their own, also where there is but one: this one has to hear the signal to stop at any time, and
    # would not while the database works.
    with ThreadPoolExecutor(max_workers=max(1, min(concurrency, len(tasks))), thread_name_prefix="rfsync") as pool:
        futures: list[Future[Result | None]] = []
        try:
            futures += (pool.submit(sync_or_defer, task) for task in tasks)
            yield from _results(futures)
            circuit.last_round()
            futures += (pool.submit(sync, context, task) for task in postponed)
            yield from _results(futures[len(tasks) :])
        except BaseException:
            for future in futures:
                future.cancel()
            context.fetcher.cancel()
            context.store.stop()
            seconds = _GRACE
            while wait(futures, seconds).not_done:
                context.store.interrupt()
                seconds = _AGAIN
            raise


def _results(futures: Iterable[Future[Result | None]]) -> Iterator[Result]:
    for future in as_completed(futures):
        result = future.result()
        if result is not None:
            yield result
