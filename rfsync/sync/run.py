"""One project from start to finish, and many side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import replace
from typing import Final, Protocol

from rfsync.api.failures import explained
from rfsync.errors import BadResponse, Cancelled, DatabaseError, ErrorKind, FetchError
from rfsync.ledger.runs import Run, RunEnded, RunRow
from rfsync.logs import about
from rfsync.sync.observation import observe
from rfsync.sync.refresh import refresh
from rfsync.sync.task import Job, Parts, Result, log, log_outcome, result_of

#: When the sync is stopped: seconds in which a transaction may still be committed, and then between two interruptions.
_GRACE: Final = 1.0
_AGAIN: Final = 0.05


def sync(parts: Parts, job: Job) -> Result:
    """One run, which does not raise for what can go wrong outside: the result says what did."""
    with about(workspace=job.workspace, project=job.project):
        return _begin(parts, job)


def _begin(parts: Parts, job: Job) -> Result:
    try:
        run = parts.store.begin_run(job.workspace, job.project, job.name, parts.trigger, parts.clock())
    except DatabaseError as error:
        log.log(parts.failure_level(job), "%s: %s", job, error)
        row = RunRow("failed", error_kind=ErrorKind.DATABASE, error=parts.redact(str(error)))
        return result_of(job, None, row)
    except Cancelled as error:
        return result_of(job, None, RunRow("abandoned", error=str(error)))
    with about(run_id=run.id):
        return _go_on(parts, run, job)


def _go_on(parts: Parts, run: Run, job: Job) -> Result:
    try:
        return refresh(parts, run, job) if job.batch_ids else observe(parts, run, job)
    except FetchError as error:
        row = RunRow(
            "failed",
            attempts=error.attempts,
            http_status=error.http_status,
            response_bytes=error.response_bytes,
            rejected=error.rejected if isinstance(error, BadResponse) else 0,
            error_kind=error.kind,
            error=explained(error, parts.redact),
        )
    except DatabaseError as error:
        row = RunRow("failed", error_kind=ErrorKind.DATABASE, error=str(error))
    except Cancelled as error:
        row = RunRow("abandoned", error=str(error))
    except RunEnded as ended:
        # Its commit was made, and only the word of it was lost.
        log_outcome(job, ended.row)
        return result_of(job, run.id, ended.row)
    return _fail(parts, run, job, row)


def _fail(parts: Parts, run: Run, job: Job, row: RunRow) -> Result:
    row = replace(row, error=parts.redact(row.error or ""))
    level = parts.failure_level(job) if row.outcome == "failed" else logging.WARNING
    log.log(level, "%s: %s: %s", job, row.error_kind or row.outcome, row.error)
    try:
        ended = parts.store.fail_run(run, row, parts.clock())
    except DatabaseError as error:
        log.warning("%s: the failed run could not be recorded: %s", job, error)
        return result_of(job, run.id, row)
    if ended is not None:
        log.warning("%s: the run had ended before that, as %s", job, ended.outcome)
    return result_of(job, run.id, ended or row)


class PuttingOff(Protocol):
    """What ``sync_all`` needs of ``circuit.Circuit``."""

    def put_off(self) -> bool:
        """See ``circuit.Circuit.put_off``."""

    def last_round(self) -> None:
        """See ``circuit.Circuit.last_round``."""


def sync_all(parts: Parts, jobs: Sequence[Job], concurrency: int, circuit: PuttingOff) -> Iterator[Result]:
    """Syncs projects side by side, and gives each result as it comes.

    Where it is stopped in the middle, runs that have not begun never do, fetching ends at once, and a transaction is
    given a moment to be committed before it is given up.

    Args:
        circuit: says which projects are put off until the others were tried.
    """
    postponed: list[Job] = []

    def sync_or_put_off(job: Job) -> Result | None:
        if circuit.put_off():
            postponed.append(job)
            return None
        return sync(parts, job)

    # In threads of their own, also where there is but one: this one has to hear the signal to stop at any time, and
    # would not while the database works.
    with ThreadPoolExecutor(max_workers=max(1, min(concurrency, len(jobs))), thread_name_prefix="rfsync") as pool:
        futures: list[Future[Result | None]] = []
        try:
            futures += (pool.submit(sync_or_put_off, job) for job in jobs)
            yield from _results(futures)
            circuit.last_round()
            futures += (pool.submit(sync, parts, job) for job in postponed)
            yield from _results(futures[len(jobs) :])
        except BaseException:
            for future in futures:
                future.cancel()
            parts.fetcher.cancel()
            parts.store.stop()
            seconds = _GRACE
            while wait(futures, seconds).not_done:
                parts.store.interrupt()
                seconds = _AGAIN
            raise


def _results(futures: Iterable[Future[Result | None]]) -> Iterator[Result]:
    for future in as_completed(futures):
        result = future.result()
        if result is not None:
            yield result
