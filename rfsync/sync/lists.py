"""A project's lists as the API answers them: of batches, and where the key may see them of jobs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from rfsync.api.answers import Answer, Reported, parse
from rfsync.api.client import Response
from rfsync.api.failures import describe_error
from rfsync.api.lenient import Rejected
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.runs import Run
from rfsync.records import Kind
from rfsync.sync.task import SyncContext, SyncTask, log

#: Rejected records that are logged one by one; for the others, their number is.
_MAX_LOGGED: Final = 20
#: The answers that mean that a key may see no jobs.
DENIALS: Final = frozenset({ErrorKind.AUTH, ErrorKind.NOT_FOUND})
#: How long such an answer stands.
_DENIAL_STANDS: Final = timedelta(days=1)
#: ``jobs_error_kind`` of a job list that suddenly lacks too much.
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """An answer to the request for a list."""

    kind: Kind
    response: Response
    #: None: it is the one that was applied last.
    answer: Answer[Reported] | None


@dataclass(frozen=True, slots=True)
class JobsFailure:
    """The job list was asked for, and is not applied."""

    #: A word of ``ErrorKind``, or ``REFUSED``.
    kind: str
    #: For people.
    text: str
    #: See ``ordering.Sent``.
    sent_at: datetime
    sent_us: int


def fetch_list(context: SyncContext, run: Run, task: SyncTask, kind: Kind) -> ListAnswer:
    """Requests a list, and reads it unless it is the one that was applied last.

    Raises:
        FetchError: there was no valid answer.
    """
    kept = run.kept[kind]
    # An answer that nothing has changed does not say what is missing.
    etag = None if context.allow_removals else kept.etag
    path = (task.workspace, task.project, kind.value)
    response = context.fetcher.get(*path, key=task.key, etag=etag)
    if response.not_modified or (response.fingerprint == kept.fingerprint and not context.allow_removals):
        response.body.clear()  # it may be large, and is seldom needed
        return ListAnswer(kind, response, None)
    return read_list(task, kind, response)


def read_list(task: SyncTask, kind: Kind, response: Response) -> ListAnswer:
    """Reads the body of an answer, which is empty after that.

    Raises:
        BadResponse: it is no valid list.
    """
    answer = response.parse(partial(parse, kind=kind))
    log_rejected(task, kind, answer.rejected)
    response.body.clear()  # it may be hundreds of megabytes
    return ListAnswer(kind, response, answer)


def fetch_again(context: SyncContext, task: SyncTask, listed: ListAnswer) -> ListAnswer:
    """Requests a list again that turned out not to be the one applied last: meanwhile another one was.

    Raises:
        FetchError: there was no valid answer.
    """
    path = (task.workspace, task.project, listed.kind.value)
    return read_list(task, listed.kind, context.fetcher.get(*path, key=task.key, attempts=1))


def fetch_jobs(context: SyncContext, run: Run, task: SyncTask) -> ListAnswer | JobsFailure | None:
    """Requests the job list; None: it is not asked for."""
    if not _wants_jobs(context, run, task):
        return None
    health = context.workspaces.job_lists(task.workspace)
    if health.is_down:
        return JobsFailure(health.last_kind, f"not asked for: {health.why}", context.clock(), _now_us())
    try:
        listed = fetch_list(context, run, task, Kind.JOB)
    except FetchError as error:
        health.failed(error)
        return failed_jobs(context, error)
    health.answered()
    return listed


def _now_us() -> int:
    return time.monotonic_ns() // 1000


def failed_jobs(context: SyncContext, error: FetchError) -> JobsFailure:
    """The failure of the request for the job list."""
    text = describe_error(error, context.redact)
    if context.jobs.sync == "auto" and error.kind in DENIALS:
        text = f"this key sees no annotation jobs (scope annotation-job:read), and only batches are synced: {text}"
    return JobsFailure(error.kind, context.redact(text), error.sent_at or context.clock(), error.sent_us or _now_us())


def _wants_jobs(context: SyncContext, run: Run, task: SyncTask) -> bool:
    if context.jobs.sync != "auto" or run.denial is None:
        return context.jobs.sync is not False
    age = context.clock() - run.denial.at
    return not (timedelta() <= age < _DENIAL_STANDS and run.denial.key == task.key.digest)


def log_rejected(task: SyncTask, kind: Kind, rejected: Sequence[Rejected]) -> None:
    """Logs a warning for each of the first rejected records, and one with the number of the others."""
    what = "record" if kind is Kind.BATCH else "record of the job list"
    for record in rejected[:_MAX_LOGGED]:
        log.warning("%s: %s %d rejected: %s", task, what, record.position, record.reason)
    if len(rejected) > _MAX_LOGGED:
        more = "records" if kind is Kind.BATCH else "records of the job list"
        log.warning("%s: and %d more %s rejected", task, len(rejected) - _MAX_LOGGED, more)
