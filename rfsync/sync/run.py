"""One project, from the request to the commit."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rfsync.api.failures import describe_error
from rfsync.errors import BadResponse, Cancelled, DatabaseError, ErrorKind, FetchError
from rfsync.ledger.runs import ProjectAway, ProjectDropped, ProjectRenamed, Run, RunEnded, RunRow
from rfsync.logs import log_context, with_fields
from rfsync.sync.bugs import failed_by_bug
from rfsync.sync.departures import conclude_not_found
from rfsync.sync.observe import observe
from rfsync.sync.refresh import refresh
from rfsync.sync.result import Result, did_jobs_fail, log_outcome
from rfsync.sync.targets import follow_rename
from rfsync.sync.task import SyncContext, SyncTask, log


def sync(context: SyncContext, task: SyncTask) -> Result:
    """One run. Nothing that goes wrong is raised, not even a bug: it is part of the result, and other runs go on."""
    with log_context(workspace=task.workspace, project=task.project):
        try:
            result = _sync(context, task)
        except Exception as error:
            result = Result(task.workspace, task.project, failed_by_bug(task, error, context.redact))
        context.workspaces.tried[str(task)] = result
    return result


def _sync(context: SyncContext, task: SyncTask) -> Result:
    try:
        task, run = _begin(context, task)
    except DatabaseError as error:
        row = RunRow("failed", error_kind=ErrorKind.DATABASE, error=context.redact(str(error)))
        log.log(context.failure_level(task), "%s: %s", task, error, extra=with_fields(row.log_fields))
        return Result(task.workspace, task.project, row)
    except Cancelled as error:
        return Result(task.workspace, task.project, RunRow("abandoned", error=str(error)))
    except ProjectAway:
        return Result(task.workspace, task.project, RunRow("unchanged"), departed=True, skipped=True)
    with log_context(run_id=run.id):
        work = refresh if task.batch_ids else _observe
        return finish_run(context, run, task, partial(work, context, run, task))


def _begin(context: SyncContext, task: SyncTask) -> tuple[SyncTask, Run]:
    """Begins a run of the project that the task means, which may have another id by now."""
    begin = partial(context.store.begin_run, trigger=context.trigger, at=context.clock())
    try:
        return task, begin(task.path, task.name, itself=task.listed, insist=task.listed or task.insist)
    except ProjectRenamed as renamed:
        task = follow_rename(context, task, renamed.new)
        return task, begin(task.path, task.name, insist=task.listed or task.insist)


def _observe(context: SyncContext, run: Run, task: SyncTask) -> Result:
    try:
        return observe(context, run, task)
    except FetchError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        return conclude_not_found(context, run, task, error, partial(sync, context))


def finish_run(context: SyncContext, run: Run, task: SyncTask, work: Callable[[], Result]) -> Result:
    """Does what a run is for, and records its end if that fails."""
    try:
        result = work()
    except FetchError as error:
        row = RunRow(
            "failed", error.attempts, error.http_status, error.response_bytes,
            rejected=error.rejected if isinstance(error, BadResponse) else 0,
            error_kind=error.kind, error=describe_error(error, context.redact),
        )  # fmt: skip
        return _fail(context, run, task, row)
    except DatabaseError as error:
        return _fail(context, run, task, RunRow("failed", error_kind=ErrorKind.DATABASE, error=str(error)))
    except Cancelled as error:
        return _fail(context, run, task, RunRow("abandoned", error=str(error)))
    except RunEnded as ended:
        # It was committed, but the connection was lost before the database could say so.
        result = Result(task.workspace, task.project, ended.row, run.id, jobs_failed=did_jobs_fail(context, ended.row))
    except Exception as error:
        return _record(context, run, task, failed_by_bug(task, error, context.redact))
    if result.run_id != run.id:
        return result  # of another run, which has logged it
    try:
        log_outcome(context, run, result)
    except Exception as error:
        failed_by_bug(task, error, context.redact)  # for the log: what was committed stands
    return result


def _fail(context: SyncContext, run: Run, task: SyncTask, row: RunRow) -> Result:
    row = replace(row, error=context.redact(row.error or ""))
    level = context.failure_level(task) if row.outcome == "failed" else logging.WARNING
    log.log(level, "%s: %s: %s", task, row.error_kind or row.outcome, row.error, extra=with_fields(row.log_fields))
    return _record(context, run, task, row)


def _record(context: SyncContext, run: Run, task: SyncTask, row: RunRow) -> Result:
    ended = None
    without_row = Result(task.workspace, task.project, row)
    try:
        if row.error_kind == ErrorKind.NOT_FOUND and not run.observed:
            context.store.forget_run(run)
            return without_row
        ended = context.store.fail_run(run, row, context.clock())
    except ProjectDropped:
        return without_row
    except DatabaseError as error:
        log.warning("%s: the failed run could not be recorded: %s", task, error)
    except Exception as error:
        failed_by_bug(task, error, context.redact)
    if ended is not None:
        log.warning("%s: the run had ended before that, as %s", task, ended.outcome)
    return Result(task.workspace, task.project, ended or row, run.id, departed=run.departed)
